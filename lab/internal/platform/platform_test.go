package platform_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service counts what reaches it.
type service struct {
	userv1.UnimplementedUserServiceServer
	reached int
}

func (s *service) GetUser(_ context.Context, in *userv1.GetUserRequest) (*userv1.User, error) {
	s.reached++
	if in.GetName() == "users/none" {
		return nil, status.Error(codes.NotFound, "there is none")
	}
	return &userv1.User{Name: in.GetName()}, nil
}

// behind starts a service and a sick proxy in front of it.
func behind(t *testing.T, s *service) (*platform.Faulty, *grpc.ClientConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	userv1.RegisterUserServiceServer(server, s)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	_, text, _ := net.SplitHostPort(l.Addr().String())
	port, _ := strconv.Atoi(text)
	f, err := platform.NewFaulty(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	conn, err := grpc.NewClient(fmt.Sprintf("passthrough:///127.0.0.1:%d", f.Port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return f, conn
}

func TestASickInstanceFailsAsAHandlerWould(t *testing.T) {
	s := &service{}
	f, conn := behind(t, s)
	users := userv1.NewUserServiceClient(conn)
	u, err := users.GetUser(t.Context(), &userv1.GetUserRequest{Name: "users/ann"})
	if err != nil || u.GetName() != "users/ann" {
		t.Fatalf("through a proxy that is well: %v, %v", u, err)
	}
	if _, err := users.GetUser(t.Context(), &userv1.GetUserRequest{Name: "users/none"}); status.Code(err) != codes.NotFound {
		t.Errorf("an error of the service came as %v", err)
	}
	f.Fail(1)
	s.reached = 0
	const calls = 200
	for range calls {
		if _, err := users.GetUser(t.Context(), &userv1.GetUserRequest{Name: "users/ann"}); status.Code(err) != codes.Unavailable {
			t.Fatalf("got %v", err)
		}
	}
	if s.reached < calls/4 || s.reached > calls*3/4 {
		t.Errorf("%d of %d failed calls took effect; want about half", s.reached, calls)
	}
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("its health: %v", err)
	}
	f.Fail(0)
	f.Slow(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := users.GetUser(ctx, &userv1.GetUserRequest{Name: "users/ann"}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a slow instance answered %v", err)
	}
	f.Slow(0)
	if _, err := users.GetUser(t.Context(), &userv1.GetUserRequest{Name: "users/ann"}); err != nil {
		t.Errorf("well again: %v", err)
	}
}

func TestDroppedPacketsPassAgain(t *testing.T) {
	n, err := platform.NewNetwork()
	switch {
	case err != nil && os.Getenv("KEELSONTEST_REQUIRE_SERVERS") == "1":
		t.Fatal(err)
	case err != nil:
		t.Skipf("SKIPPED dropping packets: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func(limit time.Duration) error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), limit)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	for name, cut := range map[string]func(int) error{"to": n.To, "from": n.From} {
		if err := cut(port); err != nil {
			t.Fatal(err)
		}
		if err := dial(100 * time.Millisecond); !os.IsTimeout(err) {
			t.Errorf("packets %s the port are dropped: connecting says %v", name, err)
		}
		if err := n.Heal(); err != nil {
			t.Fatal(err)
		}
		if err := dial(10 * time.Second); err != nil {
			t.Errorf("healed: %v", err)
		}
	}
}
