package internal_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore returns a store on a database file, migrated. Several may share one.
func openStore(t testing.TB, path string) repository.Store {
	t.Helper()
	s, err := sqlite.New(sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func newStore(t testing.TB) repository.Store {
	return openStore(t, filepath.Join(t.TempDir(), "users.db"))
}

// instance is one running handler and a client of it.
type instance struct {
	userv1.UserServiceClient
	store repository.Store
	drain chan struct{} // close it to drain
}

// serve runs a handler behind an in-memory gRPC server until the test ends.
func serve(t testing.TB, store repository.Store, cfg internal.HandlerConfig, opts ...grpc.ServerOption) *instance {
	t.Helper()
	in := &instance{store: store, drain: make(chan struct{})}
	h, err := internal.NewHandler(store, cfg, internal.WithDraining(func(context.Context) <-chan struct{} { return in.drain }))
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(opts...)
	userv1.RegisterUserServiceServer(srv, h)
	conn, err := grpc.NewClient("passthrough:///mem", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	in.UserServiceClient = userv1.NewUserServiceClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(lis) }()
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		_ = conn.Close()
		srv.Stop()
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return in
}

func newInstance(t testing.TB) *instance { return serve(t, newStore(t), internal.HandlerConfig{}) }

// soon bounds what a test waits for, so that a failure is a failure and not a
// hanging test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func create(t testing.TB, c userv1.UserServiceClient, id string, u *userv1.User) *userv1.User {
	t.Helper()
	if u == nil {
		u = &userv1.User{}
	}
	if u.GetEmail() == "" {
		u.Email = id + "@example.com"
	}
	got, err := c.CreateUser(soon(t), &userv1.CreateUserRequest{User: u, UserId: id})
	if err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	return got
}

// wantError checks code and reason of an error, and the field it names when
// field is not empty.
func wantError(t testing.TB, err error, code codes.Code, reason, field string) *errs.Error {
	t.Helper()
	e := errs.From(errs.FromWire(err))
	if e.Code() != code || e.Reason() != reason {
		t.Fatalf("error is %v; want %v %s", err, code, reason)
	}
	if e.Domain() != internal.Domain {
		t.Errorf("domain is %q; want %q", e.Domain(), internal.Domain)
	}
	if field == "" {
		return e
	}
	for _, f := range e.Fields() {
		if f.GetField() == field {
			return e
		}
	}
	t.Fatalf("error %v names the fields %v; want %s", err, e.Fields(), field)
	return nil
}

func wantOK[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
