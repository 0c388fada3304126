package internal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/audit/internal"
	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// record runs a recorder until stop is called.
func record(store repository.Ledger, users userv1.UserServiceClient, owner string, opts ...internal.Option) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r := internal.NewRecorder(store, users, owner, internal.RecorderConfig{Batch: 5}, opts...)
	running.Go(func() { _ = r.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// pass lets time pass by the clock of the bubble that it is called in.
func pass(d time.Duration) { <-time.After(d) }

// settle lets pass what is longer than any lease, patience or pause.
func settle() { pass(30 * time.Second) }

func wantLines(t *testing.T, store repository.Store, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, lines(history(t, store))); d != "" {
		t.Errorf("the history (-want +got):\n%s", d)
	}
}

func TestTheHistorySaysWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		d.rename("old", "Old")
		d.remove("old", true)
		defer record(store, d, "a")()
		settle()
		d.put("ada", func(u *userv1.User) { u.Email = "ada@example.com"; u.Labels = map[string]string{"a": "1", "b": "2"} })
		d.rename("ada", "Ada")
		d.put("ada", func(u *userv1.User) {
			u.Email, u.GivenName, u.FamilyName, u.Labels = "", "A", "L", map[string]string{"a": "1"}
		})
		d.suspend("ada", true)
		d.suspend("ada", false)
		d.remove("ada", true)
		d.remove("ada", false)
		d.remove("ada", true)
		d.purge("ada")
		d.rename("ada", "Another Ada")
		settle()
		wantLines(t, store, "GAP", "DELETED old inferred", "CREATED ada", "UPDATED ada [display_name]",
			"UPDATED ada [email family_name given_name labels]", "SUSPENDED ada", "ACTIVATED ada", "DELETED ada", "UNDELETED ada",
			"DELETED ada", "PURGED ada", "CREATED ada")
		all := history(t, store)
		if first, last := all[2], all[len(all)-1]; first.UserUID == last.UserUID {
			t.Error("two users of one name have the same UID")
		}
		if all[3].ChangeTime.Sub(all[2].ChangeTime) != time.Second {
			t.Errorf("changes have the times %v and %v; want those of the user service", all[2].ChangeTime, all[3].ChangeTime)
		}
	})
}

func TestAGapIsClosedByComparing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		for _, id := range []string{"same", "renamed", "deleted", "purged"} {
			d.rename(id, id)
		}
		stop := record(store, d, "a")
		settle()
		stop()
		d.rename("renamed", "twice")
		d.rename("renamed", "again")
		d.suspend("deleted", true)
		d.remove("deleted", true)
		d.remove("purged", true)
		d.purge("purged")
		d.suspend("new", true)
		d.rename("gone", "came")
		d.purge("gone")
		d.forget()
		defer record(store, d, "b")()
		settle()
		d.rename("same", "seen again")
		settle()
		wantLines(t, store, "GAP", "CREATED deleted inferred", "CREATED purged inferred", "CREATED renamed inferred", "CREATED same inferred",
			"GAP", "DELETED deleted inferred", "SUSPENDED new inferred", "UPDATED renamed [display_name] inferred", "PURGED purged inferred",
			"UPDATED same [display_name]")
	})
}

func TestAReplacedUserServiceMakesAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		d.rename("ada", "Ada")
		d.rename("ada", "Ada L")
		stop := record(store, d, "a")
		settle()
		stop()
		d.mu.Lock() // an older copy is put back: ada as before the renaming
		d.users["ada"].Etag, d.users["ada"].DisplayName, d.epoch = `"older"`, "Ada", d.epoch+1
		d.mu.Unlock()
		defer record(store, d, "a")()
		settle()
		wantLines(t, store, "GAP", "CREATED ada inferred", "GAP", "UPDATED ada [display_name] inferred")
	})
}

func TestAChangeToldTwiceIsKeptOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		defer record(store, d, "a")()
		settle()
		again := func(kind userv1.WatchUsersResponse_Type, u *userv1.User) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.tell(kind, u)
		}
		d.rename("ada", "Ada")
		again(userv1.WatchUsersResponse_TYPE_MODIFIED, d.users["ada"])
		d.remove("ada", true)
		ada := d.users["ada"]
		d.purge("ada")
		again(userv1.WatchUsersResponse_TYPE_DELETED, ada)
		settle()
		wantLines(t, store, "GAP", "CREATED ada", "DELETED ada", "PURGED ada")
	})
}

// TestAPurgeIsNoLag purges a user that was deleted long ago.
func TestAPurgeIsNoLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		d.now = time.Now().AddDate(0, 0, -30)
		d.rename("ada", "Ada")
		registry := prometheus.NewRegistry()
		opts := wantOK[internal.Option](t)(internal.WithMetrics(registry))
		defer record(store, d, "a", opts)()
		settle()
		d.purge("ada")
		synctest.Wait() // before the next bookmark
		wantLines(t, store, "GAP", "CREATED ada inferred", "PURGED ada")
		if lag := gauge(t, registry, "keelson_audit_recorder_lag_seconds"); lag > 2 {
			t.Errorf("the history is said to be %gs behind; it has the last change", lag)
		}
	})
}

// gauge reads a metric.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	for _, family := range wantOK[[]*dto.MetricFamily](t)(registry.Gather()) {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestASilentWatchIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		silent := make(chan struct{})
		var messages int
		d.cut = func() error {
			if messages++; messages == 3 {
				<-silent // as an instance that was stopped
			}
			return nil
		}
		stop := record(store, d, "a")
		defer stop()
		defer close(silent)
		pass(2500 * time.Millisecond) // the end of the initial state, and bookmarks
		d.rename("ada", "Ada")
		time.AfterFunc(6*time.Second, func() { silent <- struct{}{} })
		settle()
		wantLines(t, store, "GAP", "CREATED ada")
	})
}

// unreliable is a store that loses answers and requests.
type unreliable struct {
	repository.Store
	before, after func() error
}

func (u *unreliable) Append(ctx context.Context, b repository.Batch, d time.Duration) (repository.State, error) {
	if err := u.before(); err != nil {
		return repository.State{}, err
	}
	s, err := u.Store.Append(ctx, b, d)
	if err == nil {
		err = u.after()
	}
	return s, err
}

// TestAHistoryThatWaitsIsSeen fills the disk of the store for a while.
func TestAHistoryThatWaitsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		d.now = time.Now()
		registry := prometheus.NewRegistry()
		var full atomic.Bool
		fill := func() error {
			if full.Load() {
				return fmt.Errorf("%w: the disk is full", repository.ErrUnavailable)
			}
			return nil
		}
		r := internal.NewRecorder(&unreliable{Store: store, before: fill, after: func() error { return nil }}, d, "a", internal.RecorderConfig{}, wantOK[internal.Option](t)(internal.WithMetrics(registry)))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) })
		defer running.Wait()
		defer cancel()
		lag := func() float64 { return gauge(t, registry, "keelson_audit_recorder_lag_seconds") }
		settle()
		if err := r.Check(ctx); err != nil || lag() > 2 {
			t.Errorf("while all is well: %v, %gs behind", err, lag())
		}
		full.Store(true)
		d.rename("ada", "Ada")
		settle()
		if err := r.Check(ctx); !errors.Is(err, repository.ErrUnavailable) || lag() < 25 {
			t.Errorf("while the disk is full: %v, %gs behind", err, lag())
		}
		full.Store(false)
		settle()
		if err := r.Check(ctx); err != nil || lag() > 2 {
			t.Errorf("after that: %v, %gs behind", err, lag())
		}
		wantLines(t, store, "GAP", "CREATED ada")
	})
}

// TestTheHistoryIsExactWhateverBreaks breaks watches, appends and recorders at
// every point while users change, and compares the history with what happened.
func TestTheHistoryIsExactWhateverBreaks(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { breakEverything(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func breakEverything(t *testing.T, random *rand.Rand) {
	var mu sync.Mutex
	intn := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	d, store := newDirectory(), newStore(t)
	stop := record(store, d, "first")
	settle() // past the initial state, which shows each user once
	stop()
	cuts := []error{
		errs.FromWire(errs.Draining("x")), errs.FromWire(errs.Aborted("SLOW_CONSUMER", "slow")),
		errs.FromWire(errs.Aborted("WATCH_EXPIRED", "old")), errs.FromWire(errs.Unavailable("CONNECTION_LOST", "killed")), errors.New("nonsense"),
	}
	d.cut = func() error {
		if intn(12) == 0 {
			return cuts[intn(len(cuts))]
		}
		return nil
	}
	lost := func() error {
		if intn(10) == 0 {
			return fmt.Errorf("%w: injected", repository.ErrUnavailable)
		}
		return nil
	}
	flaky := &unreliable{Store: store, before: lost, after: lost}
	for round := range 12 {
		one, other := record(flaky, d, fmt.Sprint("a", round)), record(flaky, d, fmt.Sprint("b", round))
		for range 20 {
			act(d, intn, fmt.Sprint("user", intn(5)))
			pass(time.Duration(intn(200)) * time.Millisecond)
		}
		one()
		other()
	}
	d.cut = nil
	stop = record(store, d, "last")
	settle()
	stop()
	wantExact(t, store, d)
}

// wantExact compares the history, but for the gap that it begins with, with what
// happened.
func wantExact(t *testing.T, store repository.Store, d *directory) {
	t.Helper()
	var want, got []string
	for _, m := range d.log {
		want = append(want, fmt.Sprint(m.GetUser().GetUid(), m.GetUser().GetEtag(), m.GetType() == userv1.WatchUsersResponse_TYPE_DELETED))
	}
	for i, c := range history(t, store) {
		if c.Position != int64(i)+1 {
			t.Fatalf("position %d is at place %d", c.Position, i+1)
		}
		if c.Inferred || (c.Kind == repository.KindGap) != (i == 0) {
			t.Errorf("the history has %v", c)
		}
		if i > 0 {
			got = append(got, fmt.Sprint(c.UserUID, c.UserETag, c.Kind == repository.KindPurged))
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the history (-happened +kept):\n%s", d)
	}
}

// act changes a user in some way.
func act(d *directory, n func(int) int, id string) {
	d.mu.Lock()
	u := d.users[id]
	d.mu.Unlock()
	deleted := u.GetDeleteTime() != nil
	switch choice := n(6); {
	case u == nil:
		d.rename(id, "new")
	case deleted && choice < 3:
		d.purge(id)
	case deleted:
		d.remove(id, false)
	case choice == 0:
		d.remove(id, true)
	case choice == 1:
		d.suspend(id, u.GetState() == userv1.User_STATE_ACTIVE)
	default:
		d.rename(id, fmt.Sprint("name ", n(1_000_000)))
	}
}

// freezing is the store of a process that can be stopped, as SIGSTOP does, until
// the channel is closed.
type freezing struct {
	repository.Store
	stopped atomic.Pointer[chan struct{}]
}

func (f *freezing) run() {
	if c := f.stopped.Load(); c != nil {
		<-*c
	}
}

func (f *freezing) Append(ctx context.Context, b repository.Batch, d time.Duration) (repository.State, error) {
	f.run()
	return f.Store.Append(ctx, b, d)
}

func (f *freezing) Renew(ctx context.Context, fence int64, d time.Duration) error {
	f.run()
	return f.Store.Renew(ctx, fence, d)
}

func TestAStoppedRecorderChangesNothingWhenItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		process := &freezing{Store: store}
		defer record(process, d, "first")()
		settle()
		frozen := make(chan struct{})
		process.stopped.Store(&frozen)
		d.rename("ada", "Ada") // the first one is about to append it
		settle()
		wantLines(t, store, "GAP")
		defer record(store, d, "second")()
		settle()
		d.rename("ada", "Ada L")
		settle()
		want := []string{"GAP", "CREATED ada", "UPDATED ada [display_name]"}
		wantLines(t, store, want...)
		close(frozen)
		settle()
		wantLines(t, store, want...)
		d.suspend("ada", true)
		settle()
		wantLines(t, store, append(want, "SUSPENDED ada")...)
	})
}

func TestAnotherRecorderTakesOver(t *testing.T) {
	for _, c := range []struct {
		name   string
		killed bool
		most   time.Duration // until it has taken over
	}{
		{"after an ordered end, almost at once", false, 500 * time.Millisecond},
		{"after a crash, when the lease is over", true, 2500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, store := newDirectory(), newStore(t)
				process := &freezing{Store: store}
				stop := record(process, d, "first")
				defer func() { stop() }()
				settle()
				defer record(store, d, "second")()
				settle()
				if c.killed {
					dead := make(chan struct{})
					process.stopped.Store(&dead)
					defer close(dead)
				} else {
					stop()
				}
				d.rename("ada", "Ada")
				pass(c.most)
				wantLines(t, store, "GAP", "CREATED ada")
			})
		})
	}
}

func TestRefusalsOfTheWatchThatPassMakeNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, store := newDirectory(), newStore(t)
		stop := record(store, d, "a")
		settle()
		stop()
		refusals := 0
		d.refuse = func(*userv1.WatchUsersRequest) error {
			if refusals++; refusals < 8 {
				return errs.FromWire(errs.New(codes.Internal, "BROKEN", "broken"))
			}
			return nil
		}
		defer record(store, d, "b")()
		d.rename("ada", "Ada")
		settle()
		wantLines(t, store, "GAP", "CREATED ada")
	})
}
