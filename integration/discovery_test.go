package integration_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/policy"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// registered counts the entries of the registry.
func (p *platform) registered() int {
	list, _ := file.List(p.registry())
	return len(list)
}

func TestGhostsOfKilledInstancesFailNoCall(t *testing.T) {
	p := newPlatform(t)
	a, _, _ := p.start("a"), p.start("b"), p.start("c")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 4)
	defer c.done.Wait()
	defer cancel()
	c.more(p, 200)
	a.kill()
	c.more(p, 500)
	if n := p.registered(); n != 3 {
		t.Fatalf("%d entries, want those of two instances and of a ghost", n)
	}
	late := startCallers(ctx, p.users(), 4) // knows nothing but the registry, and that is wrong
	defer late.done.Wait()
	defer cancel()
	late.more(p, 500)
	removed, err := file.Sweep(p.registry())
	if err != nil || len(removed) != 1 || removed[0].ID != "a" {
		t.Errorf("swept %v, %v", removed, err)
	}
	c.more(p, 200)
	late.more(p, 200)
}

func TestARegistryThatIsDeletedFailsNoCallAndFillsAgain(t *testing.T) {
	p := newPlatform(t)
	p.start("a")
	p.start("b")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 4)
	defer c.done.Wait()
	defer cancel()
	c.more(p, 200)
	for range 2 {
		// In one step: the instances write into it again while it is removed.
		if err := os.Rename(p.registry(), filepath.Join(t.TempDir(), "deleted")); err != nil {
			t.Fatal(err)
		}
		c.more(p, 200)
		p.wait("the instances to register again", func() bool { return p.registered() == 2 })
		c.more(p, 200)
	}
	for name, content := range map[string]string{"garbage.json": "\x00\xff", "null.json": "null", "half.json": `{"service":"user","id":"x`, "other.json": `{"service":"other","id":"x","address":"127.0.0.1:1"}`} {
		if err := os.WriteFile(filepath.Join(p.registry(), "user", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(p.registry(), "user", "dir.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	late := startCallers(ctx, p.users(), 2)
	defer late.done.Wait()
	defer cancel()
	late.more(p, 200)
	c.more(p, 200)
}

func TestScalingUpAndDownFailsNoCall(t *testing.T) {
	p := newPlatform(t)
	last := p.start("i0")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 4)
	defer c.done.Wait()
	defer cancel()
	for n := range 3 {
		c.more(p, 100)
		next := p.start(fmt.Sprintf("i%d", n+1))
		p.wait("the new instance to be called", func() bool {
			v, err := gauge(ctx, next.OpsAddress, "grpc_server_handled_total", `grpc_method="GetUser"`, `grpc_code="NotFound"`)
			return err == nil && v > 10
		})
		last.end(t)
		c.more(p, 100)
		last = next
	}
	if n := p.registered(); n != 1 {
		t.Errorf("%d entries are left", n)
	}
}

// fleet serves as many instances as it is asked for from one process.
type fleet struct {
	userv1.UnimplementedUserServiceServer
	server *grpc.Server
	health *health.Server
	served sync.WaitGroup
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	pings := keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true} // as the chassis's own servers do
	f := &fleet{server: grpc.NewServer(grpc.KeepaliveEnforcementPolicy(pings)), health: health.NewServer()}
	userv1.RegisterUserServiceServer(f.server, f)
	healthpb.RegisterHealthServer(f.server, f.health)
	t.Cleanup(func() { f.server.Stop(); f.served.Wait() })
	return f
}

func (f *fleet) GetUser(context.Context, *userv1.GetUserRequest) (*userv1.User, error) {
	return &userv1.User{}, nil
}

// listen adds an instance, and registers it.
func (f *fleet) listen(p *platform, id string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	f.served.Go(func() { _ = f.server.Serve(l) })
	driver, err := file.New(p.registry(), file.Config{})
	if err != nil {
		p.t.Fatal(err)
	}
	in := discovery.Instance{Service: "user", ID: id, Address: l.Addr().String(), PID: os.Getpid()}
	if err := driver.Register(p.t.Context(), in); err != nil {
		p.t.Fatal(err)
	}
}

// reached makes calls and returns how many each address answered.
func reached(ctx context.Context, t *testing.T, users userv1.UserServiceClient, calls int) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range calls {
		var at peer.Peer
		if _, err := users.GetUser(ctx, &userv1.GetUserRequest{Name: "users/nobody"}, grpc.Peer(&at), grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
		by[at.Addr.String()]++
	}
	return by
}

func TestFiveHundredInstancesAreAllCalled(t *testing.T) {
	p := newPlatform(t)
	f := startFleet(t)
	const many = 500
	for n := range many {
		f.listen(p, fmt.Sprintf("i%d", n))
	}
	var cfg keelson.Config
	cfg.Client.LoadBalancer = "round_robin"
	cfg.Discovery.Subset.Above = many
	// The first call waits for what so many connections at once leave of the machine.
	cfg.Methods = []policy.Override{{Method: "/user.v1.UserService/GetUser", Timeout: patience}}
	conn, err := p.clientOf(cfg).Dial("user")
	if err != nil {
		t.Fatal(err)
	}
	users := userv1.NewUserServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p.wait("each of 500 instances to be called", func() bool { return len(reached(ctx, t, users, 2*many)) == many })
}

func TestAnInstanceThatDoesNotServeGetsNoCall(t *testing.T) {
	p := newPlatform(t)
	well, sick := startFleet(t), startFleet(t)
	well.listen(p, "well")
	sick.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	sick.listen(p, "sick")
	users := p.users()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if by := reached(ctx, t, users, 200); len(by) != 1 {
		t.Errorf("the calls went to %v", by)
	}
	sick.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	p.wait("the recovered instance to be called", func() bool { return len(reached(ctx, t, users, 20)) == 2 })
	sick.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	p.wait("the sick instance to be left alone", func() bool { return len(reached(ctx, t, users, 20)) == 1 })
	well.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	p.wait("calls to say that nobody serves", func() bool {
		_, err := users.GetUser(ctx, &userv1.GetUserRequest{Name: "users/nobody"}, grpc.WaitForReady(false))
		return status.Code(err) == codes.Unavailable
	})
}
