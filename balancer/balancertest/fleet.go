package balancertest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/target"
)

// connectTime is what a connection may take, and the longest pause between two attempts.
const connectTime = 2 * time.Second

// Name is the target that a fleet is dialled by.
const Name = "fleet:///test"

// Fleet is a target with instances. It is closed, with its connections, when the test ends. Safe for concurrent use.
type Fleet struct {
	tb        testing.TB
	registry  *target.Registry
	target    *target.Target
	mu        sync.Mutex
	instances []*Instance
	byAddress map[string]*Instance
	resolver  *manual.Resolver
	conns     []*grpc.ClientConn
	closed    bool
}

// New starts a fleet of n instances, all in the list. The options are those of the client's live state, such as balancer.Observe.
func New(tb testing.TB, n int, opts ...target.Option) *Fleet {
	tb.Helper()
	f := &Fleet{
		tb: tb, registry: target.NewRegistry(opts...), byAddress: make(map[string]*Instance), resolver: manual.NewBuilderWithScheme("fleet"),
	}
	f.target = f.registry.Acquire(Name)
	for k := range n {
		address := fmt.Sprintf("10.0.%d.%d:80", k/250, k%250+1)
		i := newInstance(target.Instance{Service: "test", ID: fmt.Sprintf("test-%d", k), Address: address})
		f.instances = append(f.instances, i)
		f.byAddress[address] = i
		i.Start()
	}
	f.resolver.InitialState(f.state(f.instances))
	tb.Cleanup(f.Close)
	return f
}

// Instance returns the k-th instance, from 0.
func (f *Fleet) Instance(k int) *Instance { return f.instances[k] }

// Target returns the live state of the target.
func (f *Fleet) Target() *target.Target { return f.target }

// Publish puts a list into effect; without instances it is all of them.
func (f *Fleet) Publish(list ...*Instance) {
	if len(list) == 0 {
		list = f.instances
	}
	f.resolver.UpdateState(f.state(list))
}

func (f *Fleet) state(list []*Instance) resolver.State {
	var s resolver.State
	var entries []target.Entry
	for _, i := range list {
		ep := resolver.Endpoint{Addresses: []resolver.Address{{Addr: i.Target.Address}}}
		s.Endpoints = append(s.Endpoints, target.SetEndpoint(ep, i.Target))
		entries = append(entries, target.Entry{Instance: i.Target})
	}
	f.target.Apply(entries)
	return target.SetState(s, f.target)
}

// Dial connects to the fleet with the policy of package balancer and client-side health checks, and waits until every instance that is up
// is connected, unless the policy connects to instances only as calls come (ring_hash, pick_first). The test fails if the configuration is
// not valid.
func (f *Fleet) Dial(cfg balancer.Config, opts ...grpc.DialOption) *grpc.ClientConn {
	f.tb.Helper()
	entry, err := cfg.JSON()
	if err != nil {
		f.tb.Fatal(err)
	}
	conn := f.DialWith(fmt.Sprintf(`{"loadBalancingConfig":[%s],"healthCheckConfig":{"serviceName":""}}`, entry), opts...)
	if cfg.Policy != balancer.RingHash && cfg.Policy != balancer.PickFirst {
		f.settle()
	}
	return conn
}

// DialWith is Dial with a whole service config. It does not wait.
func (f *Fleet) DialWith(serviceConfig string, opts ...grpc.DialOption) *grpc.ClientConn {
	f.tb.Helper()
	conn, err := grpc.NewClient(Name, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithContextDialer(f.dial),
		grpcx.Resolvers(f.resolver),
		grpcx.NoProxy(),
		grpcx.Connecting(connectTime, connectTime),
	}, opts...)...)
	if err != nil {
		f.tb.Fatal(err)
	}
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	conn.Connect()
	return conn
}

// settleTime is how long the policy may gather pickers.
const settleTime = 200 * time.Millisecond

// settle waits until every instance that is up is usable.
func (f *Fleet) settle() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(f.instances, f.awaited) {
		select {
		case <-tick.C:
		case <-f.tb.Context().Done():
			return
		}
	}
	<-time.After(settleTime)
}

// awaited tells whether the instance is in the list, is up, and is not usable yet.
func (f *Fleet) awaited(i *Instance) bool {
	l := f.target.Live(i.Target.Address)
	if l == nil {
		return false
	}
	usable, _ := l.Usable()
	i.mu.Lock()
	defer i.mu.Unlock()
	return !usable && i.listener != nil
}

func (f *Fleet) dial(ctx context.Context, address string) (net.Conn, error) {
	f.mu.Lock()
	i, closed := f.byAddress[address], f.closed
	f.mu.Unlock()
	if i == nil || closed {
		return nil, fmt.Errorf("dial %s: no such instance", address)
	}
	return i.dial(ctx)
}

// Close ends the connections and the instances. A test need not call it, but one in a bubble of testing/synctest must, before the bubble's
// function returns.
func (f *Fleet) Close() {
	f.mu.Lock()
	conns := f.conns
	f.conns, f.closed = nil, true
	f.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	for _, i := range f.instances {
		i.Resume()
		i.Kill()
	}
}

// Shares returns which part of the calls that were made during do reached each instance.
func (f *Fleet) Shares(do func()) []float64 {
	before := make([]int64, len(f.instances))
	for k, i := range f.instances {
		before[k] = i.Calls()
	}
	do()
	shares, sum := make([]float64, len(f.instances)), 0.0
	for k, i := range f.instances {
		shares[k] = float64(i.Calls() - before[k])
		sum += shares[k]
	}
	for k := range shares {
		shares[k] /= max(1, sum)
	}
	return shares
}

// Load is how calls are made: at a fixed rate, whether or not earlier ones have ended.
type Load struct {
	// Rate is calls per second, for Duration.
	Rate     float64
	Duration time.Duration
	// Deadline is of each call; 0 is a second.
	Deadline time.Duration
	// Slow is the part of the calls, 0 to 1, that are UnaryCall; the others are EmptyCall.
	Slow float64
}

// Outcome is what became of the calls of a [Load].
type Outcome struct {
	// Calls is how many were made, and Failed how many of them did not succeed.
	Calls, Failed int
	// Errors are the first ten failures.
	Errors []error
}

// Run makes the calls and waits for them. It makes no more of them when the context ends.
func (l Load) Run(ctx context.Context, conn *grpc.ClientConn) Outcome {
	if l.Deadline == 0 {
		l.Deadline = time.Second
	}
	client := testpb.NewTestServiceClient(conn)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		out Outcome
	)
	n := int(l.Rate * l.Duration.Seconds())
	every := time.Duration(float64(time.Second) / l.Rate)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for k := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, l.Deadline)
			defer cancel()
			var err error
			if float64(k*37%100) < 100*l.Slow { // spread over each hundred
				_, err = client.UnaryCall(ctx, &testpb.SimpleRequest{})
			} else {
				_, err = client.EmptyCall(ctx, &testpb.Empty{})
			}
			mu.Lock()
			defer mu.Unlock()
			out.Calls++
			if err != nil {
				out.Failed++
				if len(out.Errors) < 10 {
					out.Errors = append(out.Errors, err)
				}
			}
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return out
		}
	}
	wg.Wait()
	return out
}
