package keelson

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/health"
	"github.com/keelson-dev/keelson/lifecycle"
	"github.com/keelson-dev/keelson/policy"
)

// Service is a gRPC server with everything that a service needs in production.
// It is a [grpc.ServiceRegistrar]: generated Register functions take it.
//
// Register, add workers and hooks, then Run. Its methods are safe for
// concurrent use once Run was called; before, one goroutine prepares it.
type Service struct {
	*server
	client  *Client
	health  *health.Health
	runner  *lifecycle.Runner
	start   []hook
	workers []hook
	stop    []hook

	services []registered
	contract atomic.Pointer[Contract]
	fronts   []front
	faults   []error
	ran      atomic.Bool
	live     live
	overHTTP atomic.Pointer[grpc.Server] // nil while calls by net/http are not served
}

// hook is a named piece of work that a service was given.
type hook struct {
	name string
	run  lifecycle.Func
}

// registered is a service and what implements it.
type registered struct {
	desc      *grpc.ServiceDesc
	impl      any
	described protoreflect.ServiceDescriptor // nil: not known
}

// New makes a service. It does no I/O and starts nothing. The name is that
// under which it is registered and found, and the domain of its errors: letters,
// digits, '-', '_' and '.', at most 63. The error reports every fault of the
// configuration at once.
func New(name string, cfg Config, opts ...Option) (*Service, error) {
	c, err := newCore(name, cfg, opts)
	if err != nil {
		return nil, err
	}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	s := &Service{server: newServer(c), client: client, health: health.New(health.Config{}, health.WithLogger(c.log))}
	s.describeContract()
	s.runner = lifecycle.New(s.budgets(), lifecycle.WithLogger(c.log))
	return s, errors.Join(s.checkAddresses(), s.checkDrain())
}

// checkAddresses refuses plaintext where others could listen in.
func (s *Service) checkAddresses() error {
	var faults []error
	if s.opts.listener == nil && !s.cfg.GRPC.TLS.enabled() {
		faults = append(faults, checkPlaintext("grpc.address", s.cfg.GRPC.Address, s.cfg.Insecure))
	}
	if a := s.cfg.Debug.Address; a != off && !IsLoopback(a) {
		faults = append(faults, fmt.Errorf("debug.address: %q is not on loopback, and the debug listener shows memory and accepts profiles; use 127.0.0.1:0, or off", a))
	}
	return errors.Join(faults...)
}

// checkDrain refuses a drain that would cut off calls that their policy allows.
func (s *Service) checkDrain() error {
	var faults []error
	for _, m := range s.table.Methods() {
		faults = append(faults, s.fitsDrain(m, m.Effective()))
	}
	return errors.Join(faults...)
}

// fitsDrain is checkDrain for one method.
func (s *Service) fitsDrain(m *policy.Method, e *policy.Effective) error {
	if !s.serves(m.Service) && (*s.exposed.Load())[m.Service] == nil {
		return nil
	}
	return s.unaryFits(m, e)
}

// unaryFits is fitsDrain for a method that is served.
func (s *Service) unaryFits(m *policy.Method, e *policy.Effective) error {
	if m.Kind != policy.Unary {
		return nil
	}
	if e.Timeout <= 0 {
		return fmt.Errorf("drain.calls: %s has no deadline (from %s), so that no drain is long enough for its calls: give it one, or make it a stream",
			m.FullName, e.Source(policy.FieldTimeout))
	}
	if e.Timeout <= s.cfg.Drain.Calls {
		return nil
	}
	return fmt.Errorf("drain.calls: %s is shorter than the deadline of %s (%s, from %s); calls would be cut off in every rollout: raise drain.calls or shorten the deadline",
		s.cfg.Drain.Calls, m.FullName, e.Timeout, e.Source(policy.FieldTimeout))
}

func (s *Service) serves(service string) bool {
	for _, r := range s.services {
		if r.desc.ServiceName == service {
			return true
		}
	}
	return false
}

// RegisterService adds a service; generated code calls it. Faults, such as an
// implementation that does not fit, are reported by Run. After Run was called it
// only logs that it is too late.
func (s *Service) RegisterService(desc *grpc.ServiceDesc, impl any) {
	switch err := checkHandler(desc, impl); {
	case s.ran.Load():
		s.log.Error("a service was registered too late and is not served; register before Run", "service", desc.ServiceName)
	case err != nil:
		s.faults = append(s.faults, err)
	case s.serves(desc.ServiceName):
		s.faults = append(s.faults, fmt.Errorf("register %s: it is registered already", desc.ServiceName))
	default:
		s.services = append(s.services, registered{s.wrap(desc), impl, s.description(desc.ServiceName)})
		s.describeContract()
	}
}

// OnStart adds a step that runs before calls are accepted, such as a migration
// or a warm-up. Steps run in the order they were added; the first error ends the
// start, and Run returns it. After Run was called it is logged and ignored.
func (s *Service) OnStart(name string, step func(ctx context.Context) error) {
	if s.ran.Load() {
		s.runner.OnStart(name, step)
		return
	}
	s.start = append(s.start, hook{name, step})
}

// Go adds a worker. It begins when every start step has succeeded, and its
// context ends when the calls have drained. An error, or a return before that,
// ends the service; a worker that is done for good returns [lifecycle.ErrDone].
// One that is added while the service runs begins at once; once the drain has
// begun it is logged and ignored.
func (s *Service) Go(name string, worker func(ctx context.Context) error) {
	if s.ran.Load() {
		s.runner.Go(name, worker)
		return
	}
	s.workers = append(s.workers, hook{name, worker})
}

// OnStop adds a step that runs after the drain, in the reverse order in which
// steps were added, such as closing a store. A stop step whose name is that of a
// start step runs only if that one succeeded. It may be added while the service
// runs, by a start step for instance; once the drain has begun it is logged and
// ignored. The service's own client can still be called.
func (s *Service) OnStop(name string, step func(ctx context.Context) error) {
	if s.ran.Load() {
		s.runner.OnStop(name, step)
		return
	}
	s.stop = append(s.stop, hook{name, step})
}

// Dependency adds something that all instances share, such as a database. When
// its check fails /readyz says degraded; nothing else changes, because taking
// every instance away at once turns a slow dependency into an outage.
func (s *Service) Dependency(name string, check func(ctx context.Context) error) {
	s.health.Dependency(name, check)
}

// Condition adds something that must hold for this instance alone to take
// traffic, such as its own disk. It does not hold until it is set.
func (s *Service) Condition(name string) *health.Condition { return s.health.Condition(name) }

// Logger returns the service's logger. Lines written with a call's context
// carry its correlation ID, trace and span.
func (s *Service) Logger() *slog.Logger { return s.log }

// Registerer takes the service's own metrics; they are served at /metrics.
func (s *Service) Registerer() prometheus.Registerer { return s.tel.registry }

// Name returns the name of the service.
func (s *Service) Name() string { return s.name }

// ErrorDomain is the domain of the errors that the service and its fronts make: that
// of [WithErrorDomain], or the service's name.
func (s *Service) ErrorDomain() string { return s.domain }

// Dial returns a connection made by the service's own client; see
// [Client.Dial]. The service closes it after its stop steps.
func (s *Service) Dial(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return s.client.Dial(target, opts...)
}

// Draining returns a channel that is closed when the instance asks its streams
// to end: a handler then returns [errs.Draining] with the token from which its
// client goes on. Outside a server's call the channel is nil, which blocks for
// ever.
func Draining(ctx context.Context) <-chan struct{} {
	if c := call.From(ctx); c != nil {
		return c.Draining
	}
	return nil
}
