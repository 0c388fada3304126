package keelson

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/policy"
)

// Frame is one message as bytes, which nobody decodes: what a gateway passes on.
// The zero value is an empty message. It may be sent by several goroutines at
// once, but received into and freed by one only.
type Frame struct{ grpcx.Frame }

// NewFrame returns a message of these bytes, which must not change any more.
func NewFrame(b []byte) *Frame { return &Frame{*grpcx.NewFrame(b)} }

// Fresh implements [hedge.Opaque].
func (f *Frame) Fresh() hedge.Opaque { return &Frame{} }

// Adopt implements [hedge.Opaque].
func (f *Frame) Adopt(from hedge.Opaque) {
	if other, ok := from.(*Frame); ok {
		f.Take(&other.Frame)
	}
}

// WithFrames lets handlers receive and send [Frame]s besides proto messages. Every
// service that exposes others with [Service.Expose] wants it. It turns off other
// codecs than protobuf, and does nothing for a client.
func WithFrames() Option { return optionFunc(func(o *options) { o.frames = true }) }

// RawFrames is the option of a connection whose calls send and receive [Frame]s
// besides proto messages. Of frames nobody knows whether they hold a request_id,
// so a call is sent again only if its method is declared idempotent.
func RawFrames() grpc.DialOption { return grpcx.SendFrames() }

// Contract is what a service serves at a moment: its own services and those it
// exposes, without health and reflection, ordered by name. It is never changed.
type Contract struct {
	Services []protoreflect.ServiceDescriptor
	// Undescribed are the names of the services that are exposed and whose methods
	// are not known yet, ordered. They are reached by native gRPC only; a front of
	// other protocols says so instead of denying that they are there.
	Undescribed []string
}

// Contract returns what the service serves now, as far as descriptors are known:
// another pointer whenever a service came or went. It is safe for concurrent use.
func (s *Service) Contract() *Contract { return s.contract.Load() }

// exposed is a service of somebody else that is served without its Go types.
type exposed struct {
	desc    protoreflect.ServiceDescriptor // nil: not known
	methods map[string]*method             // by full name
	unknown *method                        // of a service whose methods are not known
}

// Expose serves a service without its Go types, before or while the service
// runs: h answers all of its methods, on streams of [Frame]s; it finds the method
// with [grpc.MethodFromServerStream]. Deadlines, limits, telemetry and the policy
// that the descriptor declares apply as to any other method.
//
// Without a descriptor (nil) every method of that name is served, accounted as
// unknown, with the policy of streams; gRPC's reflection does not show it.
// Exposing a service again replaces it; calls in flight keep what they have. The
// error says why a service cannot be exposed; nothing has changed then.
func (s *Service) Expose(service string, desc protoreflect.ServiceDescriptor, h grpc.StreamHandler) error {
	switch {
	case service == "" || strings.Contains(service, "/"):
		return fmt.Errorf("expose %q: it is no name of a service; give it as in user.v1.UserService", service)
	case h == nil:
		return fmt.Errorf("expose %s: there is no handler", service)
	case desc != nil && string(desc.FullName()) != service:
		return fmt.Errorf("expose %s: the descriptor is that of %s", service, desc.FullName())
	case s.serves(service):
		return fmt.Errorf("expose %s: the service serves it itself", service)
	}
	s.exposing.Lock()
	defer s.exposing.Unlock()
	all := *s.exposed.Load()
	if now := all[service]; now == nil || now.desc != desc {
		s.forget(service)
	}
	e := &exposed{desc: desc}
	if err := s.describe(e, service, h); err != nil {
		if all[service] == nil {
			s.forget(service)
		}
		return err
	}
	all = maps.Clone(all)
	all[service] = e
	s.replace(all)
	s.client.forget(service)
	s.health.SetServing(service)
	return nil
}

// describe fills the methods of a service that is exposed.
func (s *Service) describe(e *exposed, service string, h grpc.StreamHandler) error {
	if e.desc == nil {
		e.unknown = s.exposedMethod(s.table.UnknownStream(), h)
		return nil
	}
	s.table.Add(e.desc)
	e.methods = make(map[string]*method, e.desc.Methods().Len())
	var faults []error
	for i := range e.desc.Methods().Len() {
		p := s.table.Lookup("/" + service + "/" + string(e.desc.Methods().Get(i).Name()))
		faults = append(faults, s.unaryFits(p, p.Effective()))
		e.methods[p.FullName] = s.exposedMethod(p, h)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("expose %s: %w", service, err)
	}
	return nil
}

func (s *Service) exposedMethod(p *policy.Method, h grpc.StreamHandler) *method {
	return &method{server: s.server, policy: p, metrics: s.tel.served.For(p), stream: h, forwards: true}
}

// Withdraw ends the serving of a service that was exposed: its methods are
// unknown from the next call on. Calls in flight go on.
func (s *Service) Withdraw(service string) {
	s.exposing.Lock()
	defer s.exposing.Unlock()
	all := maps.Clone(*s.exposed.Load())
	if all[service] == nil {
		return
	}
	delete(all, service)
	s.replace(all)
	s.forget(service)
	s.client.forget(service)
	s.tel.called.Forget(service)
	s.health.Remove(service)
}

// forget drops what the policy, the limits and the metrics hold of a service. The
// caller holds the lock.
func (s *Service) forget(service string) {
	for _, m := range s.table.Methods() {
		if m.Service == service {
			s.limiter.Forget(m)
		}
	}
	s.table.Remove(service)
	s.tel.served.Forget(service)
}

// replace puts another set of exposed services into effect. The caller holds the
// lock.
func (s *Service) replace(all map[string]*exposed) {
	s.exposed.Store(&all)
	s.describeContract()
}

// describeContract makes the contract anew. The caller holds the lock, or
// prepares the service.
func (s *Service) describeContract() {
	c := &Contract{}
	for _, r := range s.services {
		if r.described != nil {
			c.Services = append(c.Services, r.described)
		}
	}
	for name, e := range *s.exposed.Load() {
		if e.desc == nil {
			c.Undescribed = append(c.Undescribed, name)
		} else {
			c.Services = append(c.Services, e.desc)
		}
	}
	slices.Sort(c.Undescribed)
	slices.SortFunc(c.Services, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	s.contract.Store(c)
}

// forwarded finds the method of an exposed service; nil where there is none.
func (s *server) forwarded(fullName string) *method {
	service, _, _ := strings.Cut(strings.TrimPrefix(fullName, "/"), "/")
	e := (*s.exposed.Load())[service]
	switch {
	case e == nil:
		return nil
	case e.unknown != nil:
		return e.unknown
	default:
		return e.methods[fullName]
	}
}
