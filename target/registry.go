package target

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Registry is the live state of all targets of one client. The zero value is not usable, see [NewRegistry]. Safe for concurrent use.
type Registry struct {
	values map[any]any // not changed after NewRegistry

	mu      sync.RWMutex
	targets map[string]*Target
}

// NewRegistry returns an empty registry.
func NewRegistry(opts ...Option) *Registry {
	r := &Registry{targets: make(map[string]*Target), values: make(map[any]any)}
	for _, o := range opts {
		o.apply(r)
	}
	return r
}

// Acquire returns the state of a target and creates it on the first call; name is the dial target, for example "file:///user".
// Each call is undone by one [Registry.Release]; connections of one client to the same target share the state.
func (r *Registry) Acquire(name string) *Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.targets[name]
	if t == nil {
		t = &Target{name: name, values: r.values}
		t.lives.Store(&map[string]*Live{})
		r.targets[name] = t
	}
	t.refs++
	return t
}

// Release undoes one Acquire. After the last one the target is no longer shown, while its instances stay known to those who hold it.
func (r *Registry) Release(t *Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.refs--; t.refs <= 0 && r.targets[t.name] == t {
		delete(r.targets, t.name)
	}
}

// Lookup returns the state of a target, or nil when nothing is connected to it.
func (r *Registry) Lookup(name string) *Target {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.targets[name]
}

// Snapshot returns the state of all targets, ordered by name: the content of /debug/keelson/targets.
func (r *Registry) Snapshot() []Snapshot {
	r.mu.Lock()
	ts := make([]*Target, 0, len(r.targets))
	for _, t := range r.targets {
		ts = append(ts, t)
	}
	r.mu.Unlock()
	out := make([]Snapshot, 0, len(ts))
	for _, t := range ts {
		out = append(out, t.Snapshot())
	}
	slices.SortFunc(out, func(a, b Snapshot) int { return cmp.Compare(a.Target, b.Target) })
	return out
}

// Entry is one instance of the list that the resolver put into effect.
type Entry struct {
	// Instance is the instance.
	Instance Instance
	// Held is true for an instance that the registry no longer names and that is kept until its own connections confirm that it is gone.
	Held bool
}

// Decision is what the resolver did with the last thing it heard about a target.
type Decision struct {
	// Kind is the name of the decision, one of those of the metric keelson_resolver_decisions_total.
	Kind string `json:"kind"`
	// Reason says it in words, with the registry's error if there was one.
	Reason string `json:"reason,omitempty"`
	// Time is when it was decided.
	Time time.Time `json:"time"`
	// LastGood is when the registry last gave an answer that was put into effect, zero if never.
	LastGood time.Time `json:"last_good,omitzero"`
}

// Target is the live state of one target. Reading an instance takes no lock. Safe for concurrent use.
type Target struct {
	name   string
	values map[any]any // the registry's
	refs   int         // guarded by the registry's lock

	lives    atomic.Pointer[map[string]*Live] // by address, replaced as a whole
	mu       sync.Mutex                       // serialises writers, and guards what follows
	left     map[string]*Live                 // that are in no list any more and whose connections are not closed yet
	decision atomic.Pointer[Decision]
}

// Name returns the dial target.
func (t *Target) Name() string { return t.name }

// Instances is how many instances the list in effect has.
func (t *Target) Instances() int { return len(*t.lives.Load()) }

// Live returns the instance with this address, or nil when the list in effect has none.
func (t *Target) Live(address string) *Live { return (*t.lives.Load())[address] }

// Apply puts a list into effect: instances that stay keep their state, those that are not in it are forgotten. One that comes back before
// its connections were closed has kept its state: connections hear of lists later, and do not hear of two that cancel each other out.
func (t *Target) Apply(list []Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.lives.Load()
	next := make(map[string]*Live, len(list))
	for _, e := range list {
		l := old[e.Instance.Address]
		if l == nil {
			l = t.left[e.Instance.Address]
		}
		if l == nil {
			l = newLive(e.Instance)
		}
		l.update(e.Instance, e.Held)
		next[e.Instance.Address] = l
	}
	t.lives.Store(&next)
	if t.left == nil {
		t.left = make(map[string]*Live)
	}
	for address, l := range old {
		if next[address] == nil {
			t.left[address] = l
		}
	}
	maps.DeleteFunc(t.left, func(address string, l *Live) bool { return next[address] != nil || !l.inUse() })
}

// Decide records the last decision of the resolver.
func (t *Target) Decide(d Decision) { t.decision.Store(&d) }

// Decision returns the last decision of the resolver, the zero value before the first.
func (t *Target) Decision() Decision {
	if d := t.decision.Load(); d != nil {
		return *d
	}
	return Decision{}
}

// InstanceSnapshot is the state of one instance at one moment.
type InstanceSnapshot struct {
	Instance
	// Held says that the registry no longer names the instance, see [Entry].
	Held bool `json:"held,omitempty"`
	// Connections is how many of the client's connections are tracked.
	Connections int `json:"connections"`
	// Connection is the state of the best of them in gRPC's words, NONE without any.
	Connection string `json:"connection"`
	// Health is UNKNOWN, SERVING or NOT_SERVING.
	Health string `json:"health"`
	// Balance is what the balancing policy makes of the instance, nil while none is at work.
	Balance *Balance `json:"balance,omitempty"`
	// Traffic counts the attempts at the instance since it came into the list. It is the counter itself, which goes on counting: another one
	// means that the instance was forgotten in between.
	Traffic *Traffic `json:"traffic,omitzero"`
}

// Snapshot is the state of one target at one moment, for JSON.
type Snapshot struct {
	// Target is the dial target.
	Target string `json:"target"`
	// Decision is the last decision of the resolver.
	Decision Decision `json:"decision"`
	// Instances is the list in effect, ordered by ID and then address.
	Instances []InstanceSnapshot `json:"instances"`
}

// Snapshot returns the state of the target.
func (t *Target) Snapshot() Snapshot {
	lives := *t.lives.Load()
	s := Snapshot{Target: t.name, Decision: t.Decision(), Instances: make([]InstanceSnapshot, 0, len(lives))}
	for _, l := range lives {
		s.Instances = append(s.Instances, l.snapshot())
	}
	slices.SortFunc(s.Instances, func(a, b InstanceSnapshot) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Address, b.Address))
	})
	return s
}
