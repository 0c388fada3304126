package discovery_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/target"
)

// platform is a file registry, servers on loopback that stand in it, and a client.
type platform struct {
	t       *testing.T
	dir     string
	driver  *file.Driver
	targets *target.Registry
	client  *grpc.ClientConn
}

// server is one instance: all it serves is its own health, and who answered is told by its address.
type server struct {
	discovery.Instance
	grpc   *grpc.Server
	health *health.Server
}

const patience = 30 * time.Second

func start(t *testing.T, cfg discovery.Config) *platform {
	t.Helper()
	p := &platform{t: t, dir: filepath.Join(t.TempDir(), "registry"), targets: target.NewRegistry()}
	var err error
	if p.driver, err = file.New(p.dir, file.Config{}); err != nil {
		t.Fatal(err)
	}
	b := discovery.NewResolver(p.driver, cfg, discovery.WithTargets(p.targets))
	p.client = dial(t, "file:///user", b)
	return p
}

func dial(t *testing.T, dialled string, b ...resolver.Builder) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(dialled, grpcx.Resolvers(b...), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+balancer.Name+`":{"policy":"round_robin"}}],"healthCheckConfig":{"serviceName":""}}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func serve(t *testing.T, id string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{grpc: grpc.NewServer(), health: health.NewServer()}
	s.Instance = discovery.Instance{Service: "user", ID: id, Address: l.Addr().String()}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.grpc.Serve(l) }()
	t.Cleanup(func() { s.grpc.Stop(); <-done })
	return s
}

func (p *platform) register(list ...*server) {
	p.t.Helper()
	for _, s := range list {
		if err := p.driver.Register(p.t.Context(), s.Instance); err != nil {
			p.t.Fatal(err)
		}
	}
}

// call makes one call that fails fast and returns who answered.
func call(t *testing.T, c *grpc.ClientConn, opts ...grpc.CallOption) (addr string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var who peer.Peer
	_, err = grpc_health_v1.NewHealthClient(c).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, append(opts, grpc.Peer(&who))...)
	if who.Addr != nil {
		addr = who.Addr.String()
	}
	return addr, err
}

// answered calls n times without a failure and returns who answered.
func (p *platform) answered(n int) map[string]bool {
	p.t.Helper()
	who := map[string]bool{}
	for range n {
		addr, err := call(p.t, p.client)
		if err != nil {
			p.t.Fatalf("call failed: %v; state: %+v", err, p.targets.Snapshot())
		}
		who[addr] = true
	}
	return who
}

// ready waits for the first answer and then until all of these answer.
func (p *platform) ready(list ...*server) {
	p.t.Helper()
	if _, err := call(p.t, p.client, grpc.WaitForReady(true)); err != nil {
		p.t.Fatal(err)
	}
	keelsontest.Eventually(p.t, "all instances to answer", func() bool { return p.onlyThese(list) })
}

func (p *platform) onlyThese(list []*server) bool {
	who := p.answered(2 * len(list))
	for _, s := range list {
		if !who[s.Address] {
			return false
		}
	}
	return len(who) == len(list)
}

func (p *platform) decision() string {
	if s := p.targets.Lookup("file:///user"); s != nil {
		return s.Decision().Kind
	}
	return ""
}

func TestCallsGoOnWithoutTheRegistry(t *testing.T) {
	p := start(t, discovery.Config{})
	a, b, c := serve(t, "a"), serve(t, "b"), serve(t, "c")
	p.register(a, b, c)
	p.ready(a, b, c)
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	keelsontest.Eventually(t, "the resolver to notice", func() bool { return p.decision() == "kept" })
	if !p.onlyThese([]*server{a, b, c}) {
		t.Error("not all instances get calls while the registry is away")
	}
	p.register(a, b, c)
	keelsontest.Eventually(t, "the resolver to recover", func() bool { k := p.decision(); return k == "accepted" || k == "unchanged" || k == "held" })
	p.ready(a, b, c)
}

func TestScaleUpIsSeen(t *testing.T) {
	p := start(t, discovery.Config{})
	a, b, c := serve(t, "a"), serve(t, "b"), serve(t, "c")
	p.register(a)
	p.ready(a)
	p.register(b, c)
	p.ready(a, b, c)
}

func TestEmptiedDirectoryIsHeldWhileInstancesServe(t *testing.T) {
	p := start(t, discovery.Config{Hold: time.Nanosecond})
	a, b, c := serve(t, "a"), serve(t, "b"), serve(t, "c")
	p.register(a, b, c)
	p.ready(a, b, c)
	for _, s := range []*server{a, b, c} {
		if err := os.Remove(filepath.Join(p.dir, "user", s.ID+".json")); err != nil {
			t.Fatal(err)
		}
	}
	held := func() (n int) {
		for _, in := range p.targets.Snapshot()[0].Instances {
			if in.Held {
				n++
			}
		}
		return n
	}
	keelsontest.Eventually(t, "all three to be held", func() bool { return held() == 3 })
	p.ready(a, b, c)

	b.grpc.Stop()
	p.register(a)
	keelsontest.Eventually(t, "the one that is gone to be let go", func() bool { return len(p.targets.Snapshot()[0].Instances) == 2 })
	p.ready(a, c)
}

func TestInstanceThatAsksForNoCallsGetsNoneAndIsShown(t *testing.T) {
	p := start(t, discovery.Config{})
	a, b := serve(t, "a"), serve(t, "b")
	p.register(a, b)
	p.ready(a, b)
	b.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	p.ready(a)
	snapshot := p.targets.Snapshot()[0].Instances
	if got := snapshot[0]; got.Connection != "READY" || got.Health != "SERVING" {
		t.Errorf("the one that serves: %+v", got)
	}
	if got := snapshot[1]; got.Connection != "READY" || got.Health != "NOT_SERVING" {
		t.Errorf("the one that does not: %+v", got)
	}
	b.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	p.ready(a, b)
}

func TestKilledInstanceIsPassedOver(t *testing.T) {
	p := start(t, discovery.Config{})
	a, b := serve(t, "a"), serve(t, "b")
	p.register(a, b)
	p.ready(a, b)
	b.grpc.Stop()
	keelsontest.Eventually(t, "its connection to be seen as gone", func() bool {
		usable, observed := p.targets.Lookup("file:///user").Live(b.Address).Usable()
		return observed && !usable
	})
	p.ready(a)
}

func TestFailFastCallSaysWhatIsMissing(t *testing.T) {
	p := start(t, discovery.Config{})
	_, err := call(t, p.client)
	if status.Code(err) != codes.Unavailable {
		t.Fatalf("got %v, want UNAVAILABLE", err)
	}
	for _, part := range []string{`service "user"`, p.dir, "nothing is registered yet"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	a := serve(t, "a")
	p.register(a)
	p.ready(a)
}

func TestPlainAddressIsDialled(t *testing.T) {
	s := serve(t, "a")
	targets := target.NewRegistry()
	for _, dialled := range []string{s.Address, "dns:///" + s.Address, "passthrough:///" + s.Address, "dns:///localhost" + s.Address[strings.LastIndex(s.Address, ":"):]} {
		c := dial(t, dialled,
			discovery.Wrap(resolver.Get("dns"), discovery.Config{}, discovery.WithTargets(targets)),
			discovery.Wrap(resolver.Get("passthrough"), discovery.Config{}, discovery.WithTargets(targets)))
		if addr, err := call(t, c); err != nil || addr != s.Address {
			t.Errorf("%s: %q answered, %v", dialled, addr, err)
		}
	}
	if got := len(targets.Snapshot()); got != 3 { // the first two are one target
		t.Errorf("%d targets shown, want 3: %+v", got, targets.Snapshot())
	}
}
