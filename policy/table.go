package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/internal/nearest"
	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// Table holds the methods that a process serves or calls. Reading is one
// atomic load and a map look-up; adding and applying copy. Safe for concurrent
// use.
type Table struct {
	methods       atomic.Pointer[map[string]*Method]
	unknown       *Method
	unknownStream *Method

	mu        sync.Mutex // guards writers
	defaults  Defaults
	overrides []Override
}

// NewTable returns a table that holds the methods of the given services.
func NewTable(services ...protoreflect.ServiceDescriptor) *Table {
	t := &Table{unknown: unknown(Unary), unknownStream: unknown(BidiStream)}
	t.methods.Store(&map[string]*Method{})
	t.Add(services...)
	return t
}

func unknown(k Kind) *Method {
	m := &Method{FullName: UnknownName, Service: UnknownName, Name: UnknownName, Kind: k}
	m.effective.Store(m.base(Defaults{}))
	return m
}

// Linked returns the services of every descriptor linked into the process.
func Linked() []protoreflect.ServiceDescriptor {
	var services []protoreflect.ServiceDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			services = append(services, f.Services().Get(i))
		}
		return true
	})
	return services
}

// Lookup returns the method with a full name, or the table's unknown method.
// It does not allocate.
func (t *Table) Lookup(fullName string) *Method {
	if m, ok := (*t.methods.Load())[fullName]; ok {
		return m
	}
	return t.unknown
}

// Unknown returns the method under which all others are accounted.
func (t *Table) Unknown() *Method { return t.unknown }

// UnknownStream returns the method under which a client accounts for streams of
// methods that no table holds: like every stream, they have no deadline.
func (t *Table) UnknownStream() *Method { return t.unknownStream }

// Methods returns all methods, ordered by full name.
func (t *Table) Methods() []*Method {
	return slices.SortedFunc(maps.Values(*t.methods.Load()), func(a, b *Method) int {
		return strings.Compare(a.FullName, b.FullName)
	})
}

// Add puts the methods of services into the table, under the policy in force.
// A method that the table holds already is kept, with its pointer.
func (t *Table) Add(services ...protoreflect.ServiceDescriptor) {
	var add []*Method
	for _, s := range services {
		for i := range s.Methods().Len() {
			add = append(add, fromDescriptor(s, s.Methods().Get(i)))
		}
	}
	t.add(add)
}

// AddMethod puts one method without a descriptor into the table and returns
// it, or the one that is there already. It is for services registered by hand.
func (t *Table) AddMethod(service, name string, kind Kind) *Method {
	m := &Method{FullName: "/" + service + "/" + name, Service: service, Name: name, Kind: kind}
	t.add([]*Method{m})
	return t.Lookup(m.FullName)
}

// Remove takes the methods of a service out of the table, for targets that are
// not known at start (a gateway's). Calls that hold a method keep it.
func (t *Table) Remove(service string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(*t.methods.Load())
	maps.DeleteFunc(next, func(_ string, m *Method) bool { return m.Service == service })
	t.methods.Store(&next)
}

func (t *Table) add(methods []*Method) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(*t.methods.Load())
	for _, m := range methods {
		if _, ok := next[m.FullName]; ok {
			continue
		}
		m.effective.Store(t.compile(m, t.defaults, t.overrides))
		next[m.FullName] = m
	}
	t.methods.Store(&next)
}

// Apply replaces the defaults and the overrides. It changes nothing when
// anything is wrong, and then reports all faults at once. Methods that nothing
// holds are faults that name the nearest one, and so is an option in a .proto
// that makes no sense. When all that is well, each of accept is asked about each
// method and what would hold for it; the method still has what holds now.
//
// Overrides are laid one over the other in their order, so that a later one wins.
func (t *Table) Apply(d Defaults, overrides []Override, accept ...func(m *Method, next *Effective) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	methods := t.Methods()
	if err := t.checkAll(d, overrides, methods); err != nil {
		return err
	}
	var faults []error
	next := make([]*Effective, len(methods))
	for i, m := range methods {
		next[i] = t.compile(m, d, overrides)
		for _, ask := range accept {
			faults = append(faults, ask(m, next[i]))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	t.defaults, t.overrides = d, slices.Clone(overrides)
	for i, m := range methods {
		m.effective.Store(next[i])
	}
	return nil
}

func (t *Table) checkAll(d Defaults, overrides []Override, methods []*Method) error {
	var faults []error
	for i := range overrides {
		faults = append(faults, check(&overrides[i], *t.methods.Load()))
	}
	if d.RetryAttempts < 0 || d.RetryAttempts > MaxRetryAttempts {
		faults = append(faults, fmt.Errorf("retry attempts are %d; valid are 1 (never again) to %d", d.RetryAttempts, MaxRetryAttempts))
	}
	for _, m := range methods {
		faults = append(faults, m.checkOption())
	}
	return errors.Join(faults...)
}

func (t *Table) compile(m *Method, d Defaults, overrides []Override) *Effective {
	e := m.base(d)
	for i := range overrides {
		if overrides[i].matches(m) {
			overrides[i].apply(m, e)
		}
	}
	return e
}

func (o *Override) matches(m *Method) bool {
	if service, all := strings.CutSuffix(o.Method, "/*"); all {
		return service == "/"+m.Service
	}
	return o.Method == m.FullName
}

// suggest says which method a misspelt name may mean, or how one is written.
func suggest(name string, methods map[string]*Method) string {
	near := nearest.To(name, len(name)/2, maps.Keys(methods))
	if near == "" {
		return "; a method is written /package.Service/Method"
	}
	return fmt.Sprintf("; did you mean %q?", near)
}

func check(o *Override, methods map[string]*Method) error {
	var faults []string
	m := methods[o.Method]
	if m == nil && !matchesAny(o, methods) {
		faults = append(faults, "no such method"+suggest(o.Method, methods))
	}
	faults = append(faults, o.validate(m)...)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("override of method %q (%s): %s", o.Method, o.origin("method"), strings.Join(faults, "; "))
}

func matchesAny(o *Override, methods map[string]*Method) bool {
	for _, m := range methods {
		if o.matches(m) {
			return true
		}
	}
	return false
}

func fromDescriptor(s protoreflect.ServiceDescriptor, d protoreflect.MethodDescriptor) *Method {
	m := &Method{
		FullName: "/" + string(s.FullName()) + "/" + string(d.Name()),
		Service:  string(s.FullName()),
		Name:     string(d.Name()),
		Kind:     KindOf(d.IsStreamingClient(), d.IsStreamingServer()),
	}
	if f := d.Input().Fields().ByName("request_id"); f != nil && f.Kind() == protoreflect.StringKind && !f.IsList() {
		m.RequestID = true
	}
	options, ok := d.Options().(*descriptorpb.MethodOptions)
	if !ok || options == nil {
		return m
	}
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		m.Idempotency = NoSideEffects
	case descriptorpb.MethodOptions_IDEMPOTENT:
		m.Idempotency = Idempotent
	}
	m.option = methodOption(options)
	return m
}

// methodOption reads (keelson.policy.v1.method). A descriptor that came over
// the wire (reflection, a descriptor set) holds it as an unknown field or a
// dynamic message: both are read by way of the bytes.
func methodOption(options *descriptorpb.MethodOptions) *policyv1.MethodPolicy {
	if o, ok := proto.GetExtension(options, policyv1.E_Method).(*policyv1.MethodPolicy); ok && o != nil {
		return o
	}
	raw, err := proto.Marshal(options)
	if err != nil {
		return nil
	}
	known := &descriptorpb.MethodOptions{}
	if err := proto.Unmarshal(raw, known); err != nil || !proto.HasExtension(known, policyv1.E_Method) {
		return nil
	}
	o, _ := proto.GetExtension(known, policyv1.E_Method).(*policyv1.MethodPolicy)
	return o
}
