package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// rss is the resident memory of an instance in bytes, read from Linux's /proc.
func rss(t *testing.T, i *instance) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read on Linux only")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("there is no VmRSS")
	return 0
}

// statusError is a status that came inside a message as the error it is; nil
// when there is none.
func statusError(s *spb.Status) error { return status.FromProto(s).Err() }

// TestIdleUserWatchersAreSmall opens watchers on one instance and measures what
// its process grows by, and how long one change takes to reach all.
// KEELSONTEST_USER_WATCHERS sets how many; the published figure is for 5000.
func TestIdleUserWatchersAreSmall(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		n := size(t, "KEELSONTEST_USER_WATCHERS", 1000)
		c := p.run("a")
		conns := make([]userv1.UserServiceClient, 16)
		for i := range conns {
			conns[i] = userv1.NewUserServiceClient(p.dial(c.Address))
			must[*userv1.ListUsersResponse](t)(conns[i].ListUsers(bounded(t), &userv1.ListUsersRequest{}))
		}
		ctx, cancel := context.WithCancel(bounded(t))
		before := rss(t, c.instance)
		var ready, told atomic.Int64
		var watching sync.WaitGroup
		fromNow := false
		for i := range n {
			s, err := conns[i%len(conns)].WatchUsers(ctx, &userv1.WatchUsersRequest{IncludeInitialState: &fromNow})
			if err != nil {
				t.Fatal(err)
			}
			watching.Go(func() {
				for counter := &ready; ; counter = &told {
					if _, err := s.Recv(); err != nil {
						return
					}
					counter.Add(1)
				}
			})
		}
		p.wait("all watchers", func() bool { return ready.Load() == int64(n) })
		each := (rss(t, c.instance) - before) / int64(n)
		began := time.Now()
		makeUser(t, c, "told-to-all")
		p.wait("all to be told", func() bool { return told.Load() >= int64(n) })
		t.Logf("%d watchers: %.1f KiB each, %s until one change reached all; %.1f KiB each then", n, float64(each)/1024, time.Since(began).Round(time.Millisecond), float64((rss(t, c.instance)-before)/int64(n))/1024)
		if each > 32<<10 {
			t.Errorf("a watcher takes %d bytes; want less than 32 KiB", each)
		}
		cancel()
		watching.Wait()
	})
}

// TestUserWatchersThatNeverReadAreCutOff imports users past watchers that read
// nothing. The instance's memory stays bounded; each watcher finds, when it
// reads at last, the reason and a token from which the rest follows without gap.
// KEELSONTEST_USER_CHANGES sets how many changes there are.
func TestUserWatchersThatNeverReadAreCutOff(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		n := size(t, "KEELSONTEST_USER_CHANGES", 12_000)
		c := p.run("a", "KEELSON_USERS__WATCH__RING=1024")
		must[*importing](t)(runImport(t, c, "warm-up", 2000)) // what imports take is not the watchers'
		before := rss(t, c.instance)
		idle := make([]userv1.UserService_WatchUsersClient, 50)
		fromNow := false
		for i := range idle {
			idle[i] = must[userv1.UserService_WatchUsersClient](t)(userv1.NewUserServiceClient(p.dial(c.Address)).WatchUsers(t.Context(), &userv1.WatchUsersRequest{IncludeInitialState: &fromNow}))
			must[*userv1.WatchUsersResponse](t)(idle[i].Recv())
		}
		must[*importing](t)(runImport(t, c, "pastwatchers", n))
		p.wait("the watchers to be cut off", func() bool {
			open, err := gauge(bounded(t), c.OpsAddress, "user_watchers")
			return err == nil && open == 0
		})
		grown := rss(t, c.instance) - before
		t.Logf("%d changes past %d watchers that never read: the server grew by %d MiB", n, len(idle), grown>>20)
		if grown > 128<<20 {
			t.Errorf("the server grew by %d MiB", grown>>20)
		}
		for _, s := range idle[:3] {
			readOn(t, c, s, n)
		}
	})
}

// readOn reads a stream that was cut off to its end, and on from its token.
func readOn(t *testing.T, c userv1.UserServiceClient, s userv1.UserService_WatchUsersClient, n int) {
	t.Helper()
	for next := 0; next < n; {
		e, err := s.Recv()
		if err != nil {
			token, ok := errs.ResumeToken(errs.FromWire(err))
			if !errors.Is(errs.FromWire(err), errs.Aborted("SLOW_CONSUMER", "")) || !ok {
				t.Fatalf("after %d changes the stream ended with %v", next, err)
			}
			s = must[userv1.UserService_WatchUsersClient](t)(c.WatchUsers(t.Context(), &userv1.WatchUsersRequest{StartRevision: token}))
			continue
		}
		if want := fmt.Sprintf("users/pastwatchers-%07d", next); e.GetUser().GetName() != want {
			t.Fatalf("change %d is of %s; want %s", next, e.GetUser().GetName(), want)
		}
		next++
	}
}
