package internal_test

import (
	"context"
	"flag"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

var watchers = flag.Int("watchers", 200, "idle watchers in BenchmarkWatchers; the published figure is for 5000")

// BenchmarkWatchers opens idle watchers on one instance, with all of the
// chassis, and changes users one after another. It reports the memory that one
// watcher takes in the server and the client together (they share the process;
// bytes/watcher is an upper bound of the server's), and the time from a change
// until all have it.
//
//	go test -run '^$' -bench Watchers ./services/user/internal -watchers 5000
func BenchmarkWatchers(b *testing.B) {
	cfg := internal.DefaultConfig()
	cfg.Store.SQLite.Path = filepath.Join(b.TempDir(), "users.db")
	cfg.GRPC.Address, cfg.Ops.Address, cfg.Debug.Address = "127.0.0.1:0", "off", "off"
	cfg.Log.Level = "error"
	address, stop := startAlone(b, cfg)
	defer stop()
	conns := make([]userv1.UserServiceClient, 16)
	for i := range conns {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns[i] = userv1.NewUserServiceClient(conn)
		if _, err := conns[i].ListUsers(b.Context(), &userv1.ListUsersRequest{}); err != nil {
			b.Fatal(err)
		}
	}
	before := memory()
	ctx, cancel := context.WithCancel(b.Context())
	var got, ended sync.WaitGroup
	got.Add(*watchers)
	for i := range *watchers {
		s, err := conns[i%len(conns)].WatchUsers(ctx, &userv1.WatchUsersRequest{})
		if err != nil {
			b.Fatal(err)
		}
		ended.Go(func() {
			for {
				m, err := s.Recv()
				if err != nil {
					return
				}
				if m.GetUser() != nil || m.GetInitialStateEnd() { // else it says that nothing happened for long
					got.Done()
				}
			}
		})
	}
	got.Wait() // for the bookmarks that end the initial states
	perWatcher := float64(memory()-before) / float64(*watchers)
	got.Add(*watchers)
	create(b, conns[0], "anna", nil)
	got.Wait()
	var spread time.Duration
	for b.Loop() {
		got.Add(*watchers)
		start := time.Now()
		if _, err := conns[0].UpdateUser(ctx, &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", DisplayName: start.String()}}); err != nil {
			b.Fatal(err)
		}
		got.Wait()
		spread += time.Since(start)
	}
	b.ReportMetric(perWatcher, "bytes/watcher")
	b.ReportMetric(float64(spread.Milliseconds())/float64(b.N), "ms/change-to-all")
	cancel()
	ended.Wait()
}

// memory is what heap and stacks take after a collection.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// startAlone runs the service on a port of its own.
func startAlone(tb testing.TB, cfg internal.Config) (address string, stop func()) {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	service, err := keelson.New(internal.Name, cfg.Config, keelson.WithListener(lis))
	if err != nil {
		tb.Fatal(err)
	}
	if err := internal.Register(service, cfg); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	return lis.Addr().String(), func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	}
}
