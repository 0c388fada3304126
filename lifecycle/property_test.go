package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/keelson-dev/keelson/lifecycle"
)

// behaviour is what one step does.
type behaviour int

const (
	succeeds behaviour = iota
	breaks
	panics
	waits   // until its context ends
	lingers // some seconds past anything
	ignores // its context, until the test is over
	behaviours
)

// world runs steps of random behaviour and keeps what happened.
type world struct {
	journal
	over chan struct{}
}

func (w *world) step(kind string, i int, b behaviour) lifecycle.Func {
	return func(ctx context.Context) error {
		w.add("%s %d begins", kind, i)
		switch b {
		case breaks:
			return fmt.Errorf("%s %d: %w", kind, i, errBroken)
		case panics:
			panic(fmt.Sprintf("%s %d", kind, i))
		case waits:
			<-ctx.Done()
			return ctx.Err()
		case lingers:
			<-time.After(7 * time.Second)
		case ignores:
			<-w.over
		}
		w.add("%s %d is done", kind, i)
		return nil
	}
}

func (w *world) of(prefix, suffix string) []string {
	var found []string
	for _, line := range w.all() {
		if rest, ok := strings.CutPrefix(line, prefix+" "); ok {
			if i, ok := strings.CutSuffix(rest, " "+suffix); ok {
				found = append(found, i)
			}
		}
	}
	return found
}

func TestAnyServiceEndsInOrderAndInTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) []int {
			return rapid.SliceOfN(rapid.IntRange(0, int(behaviours)-1), 0, 4).Draw(rt, label)
		}
		starts, drains, workers, stops := draw("starts"), draw("drains"), draw("workers"), draw("stops")
		budgets := rapid.SliceOfN(rapid.IntRange(0, 8), 4, 4).Draw(rt, "budgets")
		life := time.Duration(rapid.IntRange(0, 20).Draw(rt, "life")) * time.Second
		synctest.Test(t, func(t *testing.T) {
			w := &world{over: make(chan struct{})}
			defer func() {
				close(w.over)
				<-time.After(time.Minute) // what lingers ends
			}()
			cfg := lifecycle.Config{DrainBudget: 10 * time.Second, WorkerBudget: 3 * time.Second, StopBudget: 4 * time.Second}
			var states []lifecycle.State
			var draining time.Time
			r := lifecycle.New(cfg, lifecycle.WithObserver(func(s lifecycle.State) {
				states = append(states, s)
				if s == lifecycle.StateDraining {
					draining = time.Now()
				}
			}))
			for i, b := range starts {
				r.OnStart(fmt.Sprint(i), w.step("start", i, behaviour(b)))
				stop := succeeds
				if i < len(stops) {
					stop = behaviour(stops[i])
				}
				r.OnStop(fmt.Sprint(i), w.step("stop", i, stop))
			}
			for i, b := range workers {
				r.Go(fmt.Sprint(i), w.step("worker", i, behaviour(b)))
			}
			for i, b := range drains {
				r.OnDrain(lifecycle.Step{Name: fmt.Sprint(i), Budget: time.Duration(budgets[i]) * time.Second, Run: w.step("drain", i, behaviour(b))})
			}
			began := time.Now()
			err := r.Run(after(t, life))
			if time.Since(draining) > cfg.Total() {
				t.Errorf("the drain took %s, longer than %s", time.Since(draining), cfg.Total())
			}
			if late := draining.Sub(began) - life; late > cfg.WorkerBudget {
				t.Errorf("draining began %s after the end was asked for", late)
			}
			w.verify(t, states, starts, drains, err)
		})
	})
}

func (w *world) verify(t *testing.T, states []lifecycle.State, starts, drains []int, err error) {
	t.Helper()
	want := w.of("start", "is done")
	slices.Reverse(want)
	if got := w.of("stop", "begins"); !slices.Equal(got, want) {
		// A start step that only lingers past the end may finish after it was
		// given up: then it is not stopped.
		if len(got) > len(want) || !slices.Equal(got, want[len(want)-len(got):]) {
			t.Errorf("stopped %v, started in reverse %v", got, want)
		}
	}
	ran := slices.Contains(states, lifecycle.StateRunning)
	begun := w.of("drain", "begins")
	if ran && len(begun) != len(drains) || !ran && len(begun) > 0 || !slices.IsSorted(begun) {
		t.Errorf("drain steps %v of %d, running reached: %v", begun, len(drains), ran)
	}
	if ran && len(w.of("start", "is done")) != len(starts) {
		t.Errorf("running with %v of %d started", want, len(starts))
	}
	for i, line := range w.all() {
		if strings.HasPrefix(line, "drain") && slices.ContainsFunc(w.all()[:i], func(s string) bool { return strings.HasPrefix(s, "stop") && strings.HasSuffix(s, "begins") }) && strings.HasSuffix(line, "begins") {
			t.Errorf("%s after a stop step began", line)
		}
	}
	last := states[len(states)-1]
	if (err == nil) != (last == lifecycle.StateStopped) {
		t.Errorf("state %s with error %v", last, err)
	}
	if p := new(lifecycle.PanicError); errors.As(err, &p) && len(p.Stack) == 0 {
		t.Error("a panic without its stack")
	}
}
