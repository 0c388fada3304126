package internal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keelson-dev/keelson"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/target"
)

// PlatformRoute says where a gRPC service is forwarded to.
type PlatformRoute struct {
	// Service is the full name, such as user.v1.UserService.
	Service string
	// Target is what was dialled, as it was given to Dial or as the connection
	// shows it.
	Target string
}

// PlatformSources is where the platform service has from what it shows. All of
// it is asked again and again, from one goroutine at a time.
type PlatformSources struct {
	// Self describes the gateway: [keelson.Service.Self].
	Self func() target.Instance
	// Targets is what the gateway's client knows: [keelson.Service.Targets].
	Targets func() []keelson.TargetState
	// Contract is what the gateway serves: [keelson.Service.Contract]. Services
	// that no route names are the gateway's own. Nil, also the result: not known.
	Contract func() *keelson.Contract
	// Routes say where services are forwarded to.
	Routes []PlatformRoute
	// Draining ends watches; nil: [keelson.Draining].
	Draining func(ctx context.Context) <-chan struct{}
}

// registerPlatform adds the platform service: it shows what the chassis service's
// own client knows of the targets of the allow-list.
func (g *Gateway) registerPlatform() error {
	from := PlatformSources{Self: g.service.Self, Targets: g.forwardedTo, Contract: g.service.Contract}
	for _, s := range g.cfg.Services {
		from.Routes = append(from.Routes, PlatformRoute(s))
	}
	p, err := NewPlatform(g.cfg.Platform, from)
	if err != nil {
		return err
	}
	g.service.Go("platform", p.Run)
	platformv1.RegisterPlatformServiceServer(g.service, p)
	return nil
}

// forwardedTo are the targets of the allow-list. The gateway's own instances, which
// it may count, are not.
func (g *Gateway) forwardedTo() []keelson.TargetState {
	return slices.DeleteFunc(g.service.Targets(), func(s keelson.TargetState) bool {
		return s.Target == g.siblings
	})
}

// Platform answers keelson.platform.v1.PlatformService: it looks at what the
// gateway's own client knows, four times a second while anybody watches and once
// a second otherwise, and shows it to all. Register it, and give Run to
// [keelson.Service.Go]. Safe for concurrent use.
type Platform struct {
	platformv1.UnimplementedPlatformServiceServer
	cfg  PlatformConfig
	from PlatformSources
	wake chan struct{}

	mu       sync.RWMutex // guards what follows, and the series of all services
	services map[string]*seenService
	resolved map[string]string // what became of what was dialled
	left     room
	looks    uint64
	began    time.Time // of step 0
	step     uint64    // the next that ends
	watchers int
	view     *platformView
}

// The pauses between looks: while somebody watches, and while nobody does.
const lookOften, lookSeldom = 250 * time.Millisecond, seriesStep

// NewPlatform makes the platform service. It starts nothing. The error names
// every setting that makes no sense.
func NewPlatform(cfg PlatformConfig, from PlatformSources) (*Platform, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if from.Draining == nil {
		from.Draining = keelson.Draining
	}
	return &Platform{
		cfg: cfg.withDefaults(), from: from, wake: make(chan struct{}, 1),
		services: make(map[string]*seenService), resolved: make(map[string]string), left: room{series: mostSeries},
	}, nil
}

// Run looks until the context ends.
func (p *Platform) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-timer.C:
		}
		timer.Reset(p.look(time.Now()))
	}
}

// current is what was seen last, not longer ago than a look takes.
func (p *Platform) current() *platformView {
	p.mu.RLock()
	v := p.view
	p.mu.RUnlock()
	if now := time.Now(); v == nil || now.Sub(v.at) >= lookOften {
		p.look(now)
		p.mu.RLock()
		defer p.mu.RUnlock()
		return p.view
	}
	return v
}

// look takes over what is known now, and returns when to look again.
func (p *Platform) look(now time.Time) (pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began = now
	}
	pause = lookSeldom
	if p.watchers > 0 {
		pause = lookOften
	}
	pause -= now.Sub(p.began) % pause // so that steps end when somebody looks
	if p.view != nil && now.Sub(p.view.at) < lookOften/2 {
		return pause // somebody just has
	}
	p.gather(now)
	p.advance(now)
	p.publish(now)
	return pause
}

// gather asks the client about all services.
func (p *Platform) gather(now time.Time) {
	p.looks++
	states := p.from.Targets()
	routed := p.routed(states)
	self := p.self()
	self.listed, self.grpc = p.looks, routed.grpc[""]
	taken := map[string]bool{self.id: true}
	for _, t := range slices.Sorted(maps.Keys(routed.targets)) {
		id := platformID(t)
		if taken[id] { // two targets of one name: the second one is told apart by a digest
			id = fmt.Sprintf("%.200s-%08x", id, digestOf(t))
		}
		taken[id] = true
		s := p.service(id, t, routed.targets[t], now)
		s.listed, s.grpc = p.looks, routed.grpc[t]
		s.see(routed.targets[t], now, p.step, &p.left)
	}
	for id, s := range p.services {
		if s.listed != p.looks {
			p.forget(id)
		}
	}
}

// service finds or makes what is known of a service.
func (p *Platform) service(id, t string, state *keelson.TargetState, now time.Time) *seenService {
	s := p.services[id]
	if s != nil && s.target != t && strings.HasSuffix(t, ":///"+s.target) {
		s.target = t // now it is known what it resolves to
	}
	if s != nil && s.self == nil && s.target == t {
		return s
	}
	p.forget(id)
	var traffic *target.Traffic
	if state != nil {
		traffic = state.Traffic
	}
	s = &seenService{id: id, target: t, instances: make(map[string]*seenInstance), series: newSeries(traffic, now, p.step)}
	p.services[id] = s
	return s
}

// forget forgets a service, if it is known.
func (p *Platform) forget(id string) {
	if s := p.services[id]; s != nil {
		for key := range s.instances {
			s.drop(key, &p.left)
		}
		delete(p.services, id)
	}
}

// self finds the gateway's own entry.
func (p *Platform) self() *seenService {
	self := p.from.Self()
	id := platformID(self.Service)
	s := p.services[id]
	if s == nil || s.self == nil {
		p.forget(id)
		s = &seenService{id: id}
		p.services[id] = s
	}
	s.self = &self
	return s
}

// advance ends the steps whose time is over.
func (p *Platform) advance(now time.Time) {
	due := uint64(now.Sub(p.began) / seriesStep) //nolint:gosec // it is not negative
	if due <= p.step {
		return
	}
	for _, s := range p.services {
		s.each(func(x *series) { x.advance(now, due-p.step) })
	}
	p.step = due
}

// stepEnd is when the last step ended. The caller holds the lock.
func (p *Platform) stepEnd() time.Time {
	return p.began.Add(time.Duration(p.step) * seriesStep) //nolint:gosec // seconds of uptime
}
