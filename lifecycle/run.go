package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// maxGrace is the most a step gets after its budget to notice that its context
// ended.
const maxGrace = 250 * time.Millisecond

var (
	errOver    = errors.New("the budget is spent")
	errEnd     = errors.New("the service has drained")
	errStarted = errors.New("the start is over")
)

// OverrunError is what a step that did not return within its budget ends with.
type OverrunError struct {
	// Step names the step, with its kind.
	Step string
	// Budget is the time it had.
	Budget time.Duration
}

// Error says which step overran, and by which budget.
func (e *OverrunError) Error() string {
	return fmt.Sprintf("%s overran its budget of %s and was abandoned", e.Step, e.Budget)
}

// LeftoverError names what was still running when the total budget was spent.
// These goroutines ignore their context.
type LeftoverError struct {
	// Names holds kind and name of each, in the order they began.
	Names []string
	// Total is the time they had.
	Total time.Duration
}

// Error lists the names.
func (e *LeftoverError) Error() string {
	return fmt.Sprintf("still running %s after the drain began (they ignore their context): %s", e.Total, strings.Join(e.Names, ", "))
}

// Run starts everything, waits until ctx ends or something fails, then drains
// and stops. It returns the first error, or nil after an orderly end. It has
// then waited for every goroutine it started, except those that it names in a
// LeftoverError. A context that ends during the start is an orderly end.
//
// A Runner runs once; a second call is an error.
func (r *Runner) Run(ctx context.Context) error {
	workers, endWorkers := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWorkers(errEnd)
	if err := r.begin(workers); err != nil {
		return err
	}
	budget := r.cfg.WorkerBudget + r.cfg.StopBudget
	ran := r.start(ctx) && r.runWorkers()
	if ran {
		select {
		case <-ctx.Done():
		case <-r.failed:
		}
		budget += r.cfg.DrainBudget
	}
	r.enter(StateDraining)
	total, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), budget, errOver)
	defer cancel()
	if ran {
		r.drain(total)
	}
	endWorkers(errEnd)
	r.awaitWorkers(total)
	r.stop(total)
	return r.finish(r.awaitAll(total), budget)
}

// begin moves from New to Starting.
func (r *Runner) begin(workers context.Context) error {
	r.mu.Lock()
	if s := r.state; s != StateNew {
		r.mu.Unlock()
		return fmt.Errorf("run: the runner is %s already; a Runner runs once, make a new one", s)
	}
	r.state, r.workerCtx = StateStarting, workers
	r.mu.Unlock()
	r.options.observe(StateStarting)
	return nil
}

func (r *Runner) enter(s State) {
	r.mu.Lock()
	r.state = s
	r.mu.Unlock()
	r.options.log.Info("lifecycle: " + s.String())
	r.options.observe(s)
}

// record keeps the first error and lets Run know.
func (r *Runner) record(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first = err
		close(r.failed)
		if r.callOff != nil {
			r.callOff(err)
		}
	}
}

// start runs the start steps and says whether all succeeded.
func (r *Runner) start(parent context.Context) bool {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(errStarted)
	r.mu.Lock()
	r.callOff = cancel
	r.mu.Unlock()
	ok := true
	for _, u := range r.units {
		// A stop step without a start step stands for what exists already.
		if u.start == nil || (ok && r.startUnit(ctx, u)) {
			r.mu.Lock()
			r.started = append(r.started, u)
			r.mu.Unlock()
			continue
		}
		ok = false
	}
	return ok
}

func (r *Runner) startUnit(ctx context.Context, u *unit) bool {
	if ctx.Err() != nil {
		return false
	}
	r.mu.Lock()
	t := r.spawn(ctx, "start step", u.name, u.start, nil)
	r.mu.Unlock()
	err := r.await(ctx, t, r.cfg.WorkerBudget)
	r.logStep(t, err)
	if err == nil {
		return true
	}
	calledOff := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if !calledOff {
		r.record(fmt.Errorf("%s: %w", t, err))
	}
	return false
}

// await waits for t. Once ctx has ended it waits no longer than extra.
func (r *Runner) await(ctx context.Context, t *task, extra time.Duration) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(extra)
	defer timer.Stop()
	select {
	case <-t.done:
		return t.err
	case <-timer.C:
		return &OverrunError{Step: t.String(), Budget: time.Since(t.began)}
	}
}

// runWorkers launches the workers and enters Running, unless one launched by a
// start step has failed already.
func (r *Runner) runWorkers() bool {
	r.mu.Lock()
	if r.first != nil {
		r.mu.Unlock()
		return false
	}
	for _, w := range r.workers {
		r.launch(w)
	}
	r.mu.Unlock()
	r.enter(StateRunning)
	return true
}

// launch starts a worker. r.mu is held.
func (r *Runner) launch(w worker) {
	ctx := r.workerCtx
	r.spawn(ctx, "worker", w.name, w.f, func(t *task) { r.workerReturned(ctx, t) })
}

// workerReturned decides what the return of a worker means.
func (r *Runner) workerReturned(ctx context.Context, t *task) {
	draining := r.State() >= StateDraining
	ended := ctx.Err() != nil
	switch err := t.err; {
	case errors.Is(err, ErrDone), err == nil && draining, ended && errors.Is(err, context.Canceled):
		r.logStep(t, nil)
	case err == nil:
		err = fmt.Errorf("%s returned while the service was running; return lifecycle.ErrDone when the work is finished", t)
		r.logStep(t, err)
		r.record(err)
	default:
		r.logStep(t, err)
		r.record(fmt.Errorf("%s: %w", t, err))
	}
}

// awaitWorkers waits for the workers, and leaves the stop steps their time.
func (r *Runner) awaitWorkers(total context.Context) {
	budget := min(r.cfg.WorkerBudget, max(remaining(total)-r.cfg.StopBudget, r.grace()))
	ctx, cancel := context.WithTimeoutCause(total, budget, errOver)
	defer cancel()
	for _, t := range r.unfinished() {
		if t.kind != "worker" {
			continue
		}
		select {
		case <-t.done:
		case <-ctx.Done():
		}
	}
}

// drain runs the drain steps in their order.
func (r *Runner) drain(total context.Context) {
	ctx, cancel := context.WithTimeoutCause(total, r.cfg.DrainBudget, errOver)
	defer cancel()
	r.mu.Lock()
	steps := slices.Clone(r.drains)
	r.mu.Unlock()
	for _, s := range steps {
		r.bounded(ctx, total, kindDrain, s)
	}
}

// stop runs the stop steps of what started, last first. Each gets an equal
// share of the time that is left.
func (r *Runner) stop(total context.Context) {
	r.mu.Lock()
	var stops []Step
	for _, u := range slices.Backward(r.started) {
		if u.stop != nil {
			stops = append(stops, Step{Name: u.name, Run: u.stop})
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(total, min(r.cfg.StopBudget, remaining(total))-r.grace(), errOver)
	defer cancel()
	for i, s := range stops {
		s.Budget = max(remaining(ctx)/time.Duration(len(stops)-i), 1)
		r.bounded(ctx, total, "stop step", s)
	}
}

// grace is part of the stop budget, so that it lengthens nothing.
func (r *Runner) grace() time.Duration { return min(maxGrace, r.cfg.StopBudget/4) }

// remaining is the time until ctx ends, which has a deadline.
func remaining(ctx context.Context) time.Duration {
	end, _ := ctx.Deadline()
	return max(time.Until(end), 0)
}

// bounded runs one step within its budget and the context's; one that overruns
// is left behind, before total ends in any case.
func (r *Runner) bounded(ctx, total context.Context, kind string, s Step) {
	budget := remaining(ctx)
	if s.Budget > 0 {
		budget = min(budget, s.Budget)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errOver)
	defer cancel()
	r.mu.Lock()
	t := r.spawn(ctx, kind, s.Name, s.Run, nil)
	r.mu.Unlock()
	err := r.await(ctx, t, min(r.grace(), remaining(total)))
	var over *OverrunError
	if errors.As(err, &over) && over.Step == t.String() {
		over.Budget = budget
	}
	r.logStep(t, err)
	if err == nil || s.BestEffort {
		return
	}
	if over == nil {
		err = fmt.Errorf("%s: %w", t, err)
	}
	r.record(err)
}

// kindDrain is the kind of the drain's steps, in logs and errors.
const kindDrain = "drain step"

func (r *Runner) logStep(t *task, err error) {
	log := r.options.log.With("kind", t.kind, "name", t.name, "duration", time.Since(t.began))
	if err != nil {
		log.Error("lifecycle: step failed", "error", err.Error())
		return
	}
	level := slog.LevelDebug
	if t.kind == kindDrain {
		level = slog.LevelInfo // how a rollout went is worth a line
	}
	log.Log(context.Background(), level, "lifecycle: step done")
}

// finish enters the last state and makes the error of Run.
func (r *Runner) finish(left []*task, total time.Duration) error {
	r.mu.Lock()
	err := r.first
	r.mu.Unlock()
	if len(left) > 0 {
		leftover := &LeftoverError{Total: total}
		for _, t := range left {
			leftover.Names = append(leftover.Names, t.String())
		}
		if err == nil {
			err = leftover
		} else {
			err = fmt.Errorf("%w; %w", err, leftover)
		}
	}
	if err != nil {
		r.enter(StateFailed)
		return err
	}
	r.enter(StateStopped)
	return nil
}
