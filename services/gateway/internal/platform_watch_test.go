package internal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/services/gateway/internal"
	"github.com/keelson-dev/keelson/target"
)

// watcher is the client of one watch: what it took, and how the watch ended.
type watcher struct {
	grpc.ServerStreamingServer[platformv1.WatchServicesResponse]
	ctx  context.Context
	take chan *platformv1.WatchServicesResponse
	done chan error
	stop context.CancelFunc
}

// Context is the stream's.
func (w *watcher) Context() context.Context { return w.ctx }

// Send waits until the client takes the message.
func (w *watcher) Send(m *platformv1.WatchServicesResponse) error {
	select {
	case w.take <- m:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// watch begins a watch, which ends with the test.
func (w *world) watch(t *testing.T, req *platformv1.WatchServicesRequest) *watcher {
	t.Helper()
	c := &watcher{take: make(chan *platformv1.WatchServicesResponse), done: make(chan error, 1)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	go func() {
		c.done <- w.WatchServices(req, c)
		c.stop() // as gRPC does when the handler has returned
	}()
	t.Cleanup(c.stop)
	return c
}

// during are the messages that come within a time.
func (w *watcher) during(d time.Duration) (list []*platformv1.WatchServicesResponse) {
	limit := time.After(d)
	for {
		select {
		case m := <-w.take:
			list = append(list, m)
		case <-limit:
			return list
		}
	}
}

// told are messages as a person would note them.
func told(list []*platformv1.WatchServicesResponse) (out []string) {
	for _, m := range list {
		line := strings.TrimPrefix(m.GetType().String(), "TYPE_")
		if s := m.GetService(); s != nil {
			line += " " + strings.TrimPrefix(s.GetName(), "services/")
		}
		if m.GetSnapshotEnd() {
			line += " end"
		}
		out = append(out, line)
	}
	return out
}

func wantTold(t *testing.T, list []*platformv1.WatchServicesResponse, want ...string) {
	t.Helper()
	if got := told(list); !slices.Equal(got, want) {
		t.Errorf("it tells\n%q, want\n%q", got, want)
	}
}

func every(d time.Duration) *platformv1.WatchServicesRequest {
	return &platformv1.WatchServicesRequest{Interval: durationpb.New(d)}
}

func TestWatchBeginsWithASnapshotAndGoesOnAtItsInterval(t *testing.T) {
	for name, tc := range map[string]struct {
		req  *platformv1.WatchServicesRequest
		want int // updates of a service in ten seconds
	}{
		"each second unless asked for": {&platformv1.WatchServicesRequest{}, 10},
		"as asked for":                 {every(2 * time.Second), 5},
		"no more than four a second":   {every(time.Nanosecond), 40},
		"at least each minute":         {every(time.Hour), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, internal.PlatformConfig{})
				w.register("user-1")
				pass(time.Second)
				c := w.watch(t, tc.req)
				wantTold(t, c.during(100*time.Millisecond), "SNAPSHOT gateway", "SNAPSHOT user end")
				updates := 0
				for _, line := range told(c.during(10 * time.Second)) {
					if line == "UPDATE user" {
						updates++
					}
				}
				if updates < tc.want-1 || updates > tc.want {
					t.Errorf("%d updates in ten seconds, want %d", updates, tc.want)
				}
				if lines := told(c.during(61 * time.Second)); !slices.Contains(lines, "UPDATE user") {
					t.Errorf("nothing of the service in a minute: %q", lines)
				}
			})
		})
	}
}

func TestWatchTellsChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1", "user-2")
		pass(time.Second)
		c := w.watch(t, every(time.Minute))
		c.during(time.Second)
		w.traffic.End(true, time.Second)
		wantTold(t, c.during(2*time.Second)) // traffic alone waits for its turn
		w.connection("user-1", connectivity.TransientFailure, 0)
		list := c.during(300 * time.Millisecond)
		wantTold(t, list, "UPDATE user")
		if s := statuses(list[0].GetService()); s != "DEGRADED, user-1 UNREACHABLE, user-2 SERVING" || list[0].GetSendTime() == nil {
			t.Errorf("it tells %s", s)
		}
		w.connection("user-1", connectivity.Ready, target.HealthServing)
		wantTold(t, c.during(300*time.Millisecond), "UPDATE user")
		wantTold(t, c.during(5*time.Second), "HEARTBEAT")
		wantTold(t, c.during(5*time.Second), "HEARTBEAT")
	})
}

func TestWatchTellsOfServicesThatComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		c := w.watch(t, every(time.Minute))
		wantTold(t, c.during(time.Second), "SNAPSHOT gateway", "SNAPSHOT user end")
		w.mu.Lock()
		w.more = []keelson.TargetState{{Snapshot: target.Snapshot{Target: "dns:///far.example:443"}}}
		w.mu.Unlock()
		wantTold(t, c.during(time.Second), "UPDATE far.example-443")
		w.mu.Lock()
		w.more = nil
		w.mu.Unlock()
		wantTold(t, c.during(time.Second), "REMOVE far.example-443")
	})
}

func TestWatchOfASlowClientSkipsStatesAndNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1")
		pass(30 * time.Second)
		c := w.watch(t, &platformv1.WatchServicesRequest{Interval: durationpb.New(time.Second), History: true})
		began := time.Now()
		var calls []float32
		messages := 0
		last := time.Duration(0)
		for time.Since(began) < 2*time.Minute {
			m := <-c.take
			if m.GetService().GetName() == "services/user" {
				h := m.GetService().GetHistory()
				messages++
				calls = append(calls, h.GetCallsPerSecond()...)
				if i := m.GetService().GetInstances()[0].GetHistory(); len(i.GetInFlight()) != len(h.GetInFlight()) {
					t.Errorf("the instance has a history of %d steps, the service of %d", len(i.GetInFlight()), len(h.GetInFlight()))
				}
				last = m.GetSendTime().AsTime().Sub(m.GetService().GetReadTime().AsTime())
			}
			w.traffic.End(false, time.Millisecond)
			<-time.After(7 * time.Second)
		}
		if messages > 12 || last > time.Second {
			t.Errorf("%d states of the service in two minutes, the last of them %s old as it was sent", messages, last)
		}
		sum := float32(0)
		for _, x := range calls {
			sum += x
		}
		if want := int(time.Since(began)/time.Second) + 30; len(calls) < want-20 || len(calls) > want || sum < 10 {
			t.Errorf("%d steps in %d seconds, with %v calls", len(calls), want, sum)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		happen func(w *world, c *watcher)
		want   func(t *testing.T, err error)
		within time.Duration
	}{
		"when the gateway drains": {func(w *world, _ *watcher) { close(w.draining) }, func(t *testing.T, err error) {
			wantError(t, err, codes.Unavailable, errs.ReasonDraining)
		}, 100 * time.Millisecond},
		"when it has reached its age": {func(_ *world, c *watcher) { c.during(10 * time.Minute) }, func(t *testing.T, err error) {
			wantError(t, err, codes.Aborted, internal.ReasonWatchExpired)
		}, 0},
		"when its client has left": {func(_ *world, c *watcher) { c.stop() }, func(t *testing.T, err error) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		}, 0},
		"when its client reads no more": {func(*world, *watcher) {}, func(t *testing.T, err error) {
			wantError(t, err, codes.Aborted, internal.ReasonSlowConsumer)
		}, 17 * time.Second},
		"soon when it drains and its client reads no more": {func(w *world, _ *watcher) { pass(5 * time.Second); close(w.draining) }, func(t *testing.T, err error) {
			wantError(t, err, codes.Unavailable, errs.ReasonDraining)
		}, 1100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, internal.PlatformConfig{})
				c := w.watch(t, &platformv1.WatchServicesRequest{})
				c.during(1500 * time.Millisecond)
				tc.happen(w, c)
				began := time.Now()
				err := <-c.done
				if took := time.Since(began); took > tc.within {
					t.Errorf("it took %s, want %s at most", took, tc.within)
				}
				tc.want(t, err)
			})
		})
	}
}

func TestWatchRefusesAnIntervalThatIsNone(t *testing.T) {
	w := newWorld(t, internal.PlatformConfig{})
	for _, d := range []*durationpb.Duration{{}, {Seconds: -1}, {Seconds: 1, Nanos: -1}} {
		c := w.watch(t, &platformv1.WatchServicesRequest{Interval: d})
		wantError(t, <-c.done, codes.InvalidArgument, internal.ReasonInvalidRequest)
	}
}

func TestWatchersShareOneSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1")
		looks := func(d time.Duration) int {
			w.mu.Lock()
			before := w.asked
			w.mu.Unlock()
			pass(d)
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.asked - before
		}
		if n := looks(20 * time.Second); n < 19 || n > 21 {
			t.Errorf("%d looks in 20 seconds while nobody watches", n)
		}
		var all []*watcher
		for range 20 {
			c := w.watch(t, every(250*time.Millisecond))
			go func() {
				for {
					select {
					case <-c.take:
					case <-c.ctx.Done():
						return
					}
				}
			}()
			all = append(all, c)
		}
		pass(time.Second)
		if n := looks(20 * time.Second); n < 79 || n > 81 {
			t.Errorf("%d looks in 20 seconds for 20 watchers", n)
		}
		for _, c := range all {
			c.stop()
		}
		pass(time.Second)
		if n := looks(20 * time.Second); n > 21 {
			t.Errorf("%d looks in 20 seconds after all have left", n)
		}
	})
}
