package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal collects what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string{}, j.lines...)
}

// says gives a step that only writes that it ran.
func (j *journal) says(line string) lifecycle.Func {
	return func(context.Context) error { j.add("%s", line); return nil }
}

var errBroken = errors.New("broken")

func fails(context.Context) error { return errBroken }

func untilEnd(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// after gives a context that ends after d.
func after(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestEverythingRunsInTheWrittenOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := lifecycle.New(lifecycle.Config{}, lifecycle.WithObserver(func(s lifecycle.State) { j.add("%s", s) }))
		r.OnStop("store", j.says("stop store"))
		r.OnStart("migrate", j.says("start migrate"))
		r.OnStart("listen", func(context.Context) error {
			j.add("start listen")
			r.OnStop("late", j.says("stop late"))
			r.Go("early", func(ctx context.Context) error { <-ctx.Done(); j.add("early ends"); return nil })
			return nil
		})
		r.OnStop("listen", j.says("stop listen"))
		r.Go("worker", func(ctx context.Context) error {
			<-ctx.Done()
			synctest.Wait()
			j.add("worker ends")
			return ctx.Err()
		})
		r.OnDrain(lifecycle.Step{Name: "a", Run: j.says("drain a")}, lifecycle.Step{Name: "b", Run: j.says("drain b")})
		if err := r.Run(after(t, time.Minute)); err != nil {
			t.Error(err)
		}
		want := []string{
			"starting", "start migrate", "start listen", "running",
			"draining", "drain a", "drain b", "early ends", "worker ends",
			"stop listen", "stop late", "stop store", "stopped",
		}
		if diff := cmp.Diff(want, j.all()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOnlyWhatStartedIsStopped(t *testing.T) {
	var j journal
	r := lifecycle.New(lifecycle.Config{})
	for _, name := range []string{"a", "b", "c"} {
		start := j.says("start " + name)
		if name == "b" {
			start = fails
		}
		r.OnStart(name, start)
		r.OnStop(name, j.says("stop "+name))
	}
	r.OnStop("given", j.says("stop given"))
	r.OnDrain(lifecycle.Step{Name: "drain", Run: j.says("drain")})
	r.Go("worker", func(context.Context) error { j.add("worker"); return nil })
	err := r.Run(t.Context())
	if !errors.Is(err, errBroken) || err.Error() != `start step "b": broken` {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"start a", "stop given", "stop a"}, j.all()); diff != "" {
		t.Error(diff)
	}
	if s := r.State(); s != lifecycle.StateFailed {
		t.Errorf("state %s", s)
	}
}

func TestAContextThatEndsDuringTheStartIsAnOrderlyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := lifecycle.New(lifecycle.Config{})
		r.OnStart("a", j.says("start a"))
		r.OnStop("a", j.says("stop a"))
		r.OnStart("slow", untilEnd)
		r.OnStop("slow", j.says("stop slow"))
		r.OnStart("never", j.says("start never"))
		if err := r.Run(after(t, time.Second)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"start a", "stop a"}, j.all()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheFirstErrorWins(t *testing.T) {
	second := errors.New("second")
	for _, tt := range []struct {
		name string
		add  func(*lifecycle.Runner)
		want string
	}{
		{"worker", func(r *lifecycle.Runner) { r.Go("w", fails) }, `worker "w": broken`},
		{"worker that just returns", func(r *lifecycle.Runner) { r.Go("w", func(context.Context) error { return nil }) }, `worker "w" returned while the service was running; return lifecycle.ErrDone when the work is finished`},
		{"worker that panics", func(r *lifecycle.Runner) { r.Go("w", func(context.Context) error { panic("oh") }) }, `worker "w": panic: oh`},
		{"worker of a start step", func(r *lifecycle.Runner) {
			r.OnStart("s", func(ctx context.Context) error { r.Go("w", fails); <-ctx.Done(); return ctx.Err() })
		}, `worker "w": broken`},
		{"start step that panics", func(r *lifecycle.Runner) { r.OnStart("s", func(context.Context) error { panic(errBroken) }) }, `start step "s": panic: broken`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := lifecycle.New(lifecycle.Config{})
				tt.add(r)
				r.OnDrain(lifecycle.Step{Name: "d", Run: func(context.Context) error { return second }})
				r.OnStop("x", func(context.Context) error { return second })
				if err := r.Run(t.Context()); err == nil || err.Error() != tt.want {
					t.Errorf("error %v, want %s", err, tt.want)
				}
			})
		})
	}
}

func TestAWorkerMayFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := lifecycle.New(lifecycle.Config{})
		r.Go("backfill", func(context.Context) error { return fmt.Errorf("all rows: %w", lifecycle.ErrDone) })
		r.Go("server", untilEnd)
		began := time.Now()
		if err := r.Run(after(t, time.Hour)); err != nil || time.Since(began) != time.Hour {
			t.Errorf("ended after %s with %v", time.Since(began), err)
		}
	})
}

func TestAStepThatOverrunsIsLeftBehindAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var log bytes.Buffer
		r := lifecycle.New(lifecycle.Config{DrainBudget: 10 * time.Second}, lifecycle.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		began := time.Now().Add(time.Second) // of the drain
		r.OnDrain(
			lifecycle.Step{Name: "slow", Budget: time.Second, Run: func(context.Context) error {
				<-time.After(3 * time.Second)
				j.add("slow ends after %s", time.Since(began))
				return nil
			}},
			lifecycle.Step{Name: "wait", Budget: time.Second, Run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
			lifecycle.Step{Name: "next", Run: func(context.Context) error { j.add("next after %s", time.Since(began)); return nil }},
		)
		err := r.Run(after(t, time.Second))
		var over *lifecycle.OverrunError
		if !errors.As(err, &over) || err.Error() != `drain step "slow" overran its budget of 1s and was abandoned` {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff([]string{"next after 2.25s", "slow ends after 3s"}, j.all()); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(log.String(), "step failed") || !strings.Contains(log.String(), "name=slow") {
			t.Errorf("the log does not name the step:\n%s", log.String())
		}
	})
}

func TestABestEffortStepNeverFailsTheService(t *testing.T) {
	r := lifecycle.New(lifecycle.Config{})
	r.OnDrain(lifecycle.Step{Name: "deregister", BestEffort: true, Run: fails})
	ctx, cancel := context.WithCancel(t.Context())
	r.Go("w", func(ctx context.Context) error { cancel(); return untilEnd(ctx) })
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestWhatIgnoresItsContextIsNamedAndDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		deaf := func(context.Context) error { <-release; return nil }
		cfg := lifecycle.Config{DrainBudget: 4 * time.Second, WorkerBudget: 2 * time.Second, StopBudget: 2 * time.Second}
		r := lifecycle.New(cfg)
		var j journal
		r.OnStop("last", func(ctx context.Context) error { j.add("last, alive: %v", ctx.Err() == nil); return nil })
		r.OnStop("stop", deaf)
		r.Go("deaf", deaf)
		r.OnDrain(
			lifecycle.Step{Name: "hang", Run: deaf},
			lifecycle.Step{Name: "stop server", Run: j.says("stop server")},
		)
		began := time.Now()
		err := r.Run(after(t, time.Second))
		if took := time.Since(began) - time.Second; took != cfg.Total() {
			t.Errorf("the drain took %s, want %s", took, cfg.Total())
		}
		var left *lifecycle.LeftoverError
		if !errors.As(err, &left) {
			t.Fatalf("error %v", err)
		}
		if diff := cmp.Diff([]string{`worker "deaf"`, `drain step "hang"`, `stop step "stop"`}, left.Names); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"stop server", "last, alive: true"}, j.all()); diff != "" {
			t.Error(diff)
		}
		close(release)
	})
}

func TestARunnerRunsOnce(t *testing.T) {
	r := lifecycle.New(lifecycle.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := r.Run(ctx); err == nil || !strings.Contains(err.Error(), "the runner is stopped already") {
		t.Errorf("error %v", err)
	}
}

func TestWhatComesTooLateIsLogged(t *testing.T) {
	var log bytes.Buffer
	r := lifecycle.New(lifecycle.Config{}, lifecycle.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
	r.OnStart("a", fails)
	r.OnStop("b", fails)
	r.OnDrain(lifecycle.Step{Name: "c", Run: fails})
	r.Go("d", fails)
	if got := strings.Count(log.String(), "added too late, ignored"); got != 4 {
		t.Errorf("%d warnings in\n%s", got, log.String())
	}
}

func TestStatesHaveNames(t *testing.T) {
	var names []string
	for s := lifecycle.StateNew; s <= lifecycle.StateFailed+1; s++ {
		names = append(names, s.String())
	}
	want := []string{"new", "starting", "running", "draining", "stopped", "failed", "state(6)"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
