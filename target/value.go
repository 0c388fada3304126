package target

// Option is an option of [NewRegistry].
type Option interface{ apply(*Registry) }

type optionFunc func(*Registry)

func (f optionFunc) apply(r *Registry) { f(r) }

// WithValue hangs something on the registry that belongs to one client and that code which gRPC holds globally must find: a balancing
// policy is registered once per process and reaches its client's logger and metrics this way, see [Target.Value]. As for contexts, the
// key is of a type of its own, so that packages do not collide.
func WithValue(key, value any) Option {
	return optionFunc(func(r *Registry) { r.values[key] = value })
}

// Value returns what [WithValue] hung on the registry that the target belongs to, or nil.
func (t *Target) Value(key any) any { return t.values[key] }
