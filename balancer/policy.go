package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/keelson-dev/keelson/target"
)

// gRPC takes policies by name from one registry for the process, at initialisation only.
func init() { balancer.Register(builder{}) }

type builder struct{}

func (builder) Name() string { return Name }

// ParseConfig implements balancer.ConfigParser.
func (builder) ParseConfig(raw json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	return parse(raw)
}

// Build implements balancer.Builder. The policy's goroutine lives until Close.
func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	p := &lb{
		cc: cc, opts: opts, epoch: time.Now(), methods: newMethods(), instances: make(map[string]*instance), absent: make(map[string]absentee),
		poked: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	p.flights.New = func() any {
		f := &flight{policy: p}
		f.done = f.finish
		return f
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.asleep.Store(true)
	p.fallback.Store(&table{})
	p.observer.Store(newObserver(nil, opts.Target.String()))
	go p.run()
	return p
}

// lb is the policy for one connection. gRPC calls its methods one at a time. What it tells the wrapped policy goes through its own
// goroutine or holds down, so that the wrapped policy is called by one at a time too; no other lock is held meanwhile.
type lb struct {
	cc    balancer.ClientConn
	opts  balancer.BuildOptions
	epoch time.Time

	// What a pick reads.
	methods   *methods
	flights   sync.Pool
	panicking atomic.Bool
	asleep    atomic.Bool // the goroutine waits without a timer
	unchecked atomic.Bool // the wrapped policy does without health checks: what is connected serves
	fallback  atomic.Pointer[table]
	latest    atomic.Pointer[picker]
	observer  atomic.Pointer[observer]

	// The goroutine.
	poked   chan struct{}
	stop    chan struct{}
	stopped chan struct{}
	ctx     context.Context // of probes
	cancel  context.CancelFunc
	probes  sync.WaitGroup
	queue   queue
	clock   clock // the goroutine's own

	// down serialises calls of the wrapped policy; it is the first lock taken.
	down  sync.Mutex
	child balancer.Balancer

	// mu guards what follows; no call of gRPC, of the wrapped policy or of an instance's lock holder happens under it, except reading.
	mu        sync.Mutex
	cfg       *parsed
	target    *target.Target
	instances map[string]*instance // by each of their addresses
	list      []*instance          // each once
	absent    map[string]absentee  // by their first address
	nextID    uint64
	lists     uint64 // that came so far
	subs      []*subConn

	pub publisher
}

// now is the time since the policy was built.
func (p *lb) now() time.Duration { return time.Since(p.epoch) }

// poke wakes the policy's goroutine. It never blocks.
func (p *lb) poke() {
	select {
	case p.poked <- struct{}{}:
	default:
	}
}

// UpdateClientConnState implements balancer.Balancer.
func (p *lb) UpdateClientConnState(s balancer.ClientConnState) error {
	cfg, ok := s.BalancerConfig.(*parsed)
	if !ok {
		return fmt.Errorf("policy %s: configuration of type %T: %w", Name, s.BalancerConfig, balancer.ErrBadResolverState)
	}
	changed := p.update(cfg, s.ResolverState)
	s.BalancerConfig = cfg.childConfig
	p.down.Lock()
	defer p.down.Unlock()
	if p.child == nil || changed {
		if p.child != nil {
			p.child.Close()
		}
		p.child = cfg.child.Build(&upward{ClientConn: p.cc, policy: p}, p.opts)
	}
	err := p.child.UpdateClientConnState(s)
	p.poke()
	return err
}

// update takes over the configuration and the list, and reports whether another policy is wrapped from now on.
func (p *lb) update(cfg *parsed, s resolver.State) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed = p.cfg != nil && p.cfg.Policy != cfg.Policy
	p.unchecked.Store(cfg.Policy == PickFirst)
	p.cfg = cfg
	if t := target.FromState(s); t != p.target {
		p.target = t
		p.observe(t)
	}
	p.lists++
	old := p.instances
	p.instances, p.list = make(map[string]*instance, len(s.Endpoints)), p.list[:0:0]
	for _, ep := range s.Endpoints {
		if i := p.instanceOf(ep, old); i != nil {
			p.list = append(p.list, i)
		}
	}
	p.leave(old)
	p.weigh()
	for _, i := range p.list {
		i.mu.Lock()
		i.publish()
		i.mu.Unlock()
	}
	return changed
}

// absentee is an instance that was not well when it left the list.
type absentee struct {
	*instance
	since time.Duration
}

// rememberedFor is how long what is known of an absentee is kept: a registry that flaps must not make a sick instance look like a new one.
const rememberedFor = time.Minute

// leave takes leave of the instances that are not in the list any more. The caller holds the lock.
func (p *lb) leave(old map[string]*instance) {
	now := p.now()
	maps.DeleteFunc(p.absent, func(_ string, a absentee) bool { return now-a.since > rememberedFor })
	for _, i := range old {
		if i.listed == p.lists {
			continue
		}
		if i.unobserve != nil {
			i.unobserve()
			i.unobserve = nil
		}
		if !i.closed() || i.share.Load() != i.base.Load() {
			p.absent[i.address] = absentee{i, now}
		}
	}
}

// known returns what is known of the instance at an address; nil if nothing is. The caller holds the lock.
func (p *lb) known(address string, in target.Instance, old map[string]*instance) *instance {
	if i := old[address]; i != nil {
		return i
	}
	a := p.absent[address]
	delete(p.absent, address)
	// info is written under both locks, so one is enough to read it.
	if a.instance == nil || a.info.ID != in.ID || p.now()-a.since > rememberedFor {
		return nil
	}
	return a.instance
}

// observe finds the client's logger and metrics. The caller holds the lock.
func (p *lb) observe(t *target.Target) {
	name := p.opts.Target.String()
	var set *settings
	if t != nil {
		name = t.Name()
		set, _ = t.Value(settingsKey{}).(*settings)
	}
	p.observer.Swap(newObserver(set, name)).close()
}

// instanceOf finds or makes what is known of an endpoint's instance; nil when the endpoint repeats one or has no address. The caller holds
// the lock.
func (p *lb) instanceOf(ep resolver.Endpoint, old map[string]*instance) *instance {
	if len(ep.Addresses) == 0 || p.instances[ep.Addresses[0].Addr] != nil {
		return nil
	}
	address := ep.Addresses[0].Addr
	in, ok := target.FromEndpoint(ep)
	if !ok {
		in = target.Instance{ID: address, Address: address}
	}
	i := p.known(address, in, old)
	if i == nil || i.listed == p.lists { // another endpoint has it: what was one instance is two
		p.nextID++
		i = newInstance(p, p.nextID, address, in)
	}
	i.listed = p.lists
	i.mu.Lock()
	i.info = in
	i.mu.Unlock()
	for _, a := range ep.Addresses {
		if p.instances[a.Addr] == nil {
			p.instances[a.Addr] = i
		}
	}
	if live := p.liveOf(in, address); live != nil && i.unobserve == nil {
		i.unobserve = live.Observe(i.balance)
		i.traffic.Store(live.Traffic())
	}
	return i
}

func (p *lb) liveOf(in target.Instance, address string) *target.Live {
	if p.target == nil {
		return nil
	}
	if l := p.target.Live(in.Address); l != nil {
		return l
	}
	return p.target.Live(address)
}

// ResolverError implements balancer.Balancer.
func (p *lb) ResolverError(err error) {
	p.down.Lock()
	defer p.down.Unlock()
	if p.child != nil {
		p.child.ResolverError(err)
		return
	}
	p.fail(fmt.Errorf("resolve the target: %w", err))
}

// UpdateSubConnState implements balancer.Balancer. gRPC does not call it where there is a listener, and there always is.
func (p *lb) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle implements balancer.Balancer.
func (p *lb) ExitIdle() {
	p.down.Lock()
	defer p.down.Unlock()
	if p.child != nil {
		p.child.ExitIdle()
	}
}

// Close implements balancer.Balancer. It has waited for the policy's goroutines when it returns.
func (p *lb) Close() {
	p.cancel()
	close(p.stop)
	<-p.stopped
	p.probes.Wait()
	p.down.Lock()
	if p.child != nil {
		p.child.Close()
	}
	p.down.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.list {
		if i.unobserve != nil {
			i.unobserve()
		}
	}
	for _, s := range p.subs {
		s.conn.close()
	}
	p.observer.Load().close()
}
