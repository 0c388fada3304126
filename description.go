package keelson

import "google.golang.org/protobuf/reflect/protoreflect"

// description finds what describes a service that is registered by its Go type: the
// descriptor that the service was given, or the one that is linked in.
func (s *Service) description(service string) protoreflect.ServiceDescriptor {
	linked := serviceDescriptor(service)
	for _, d := range s.opts.descriptors {
		switch {
		case string(d.FullName()) != service:
		case linked != nil && !alike(d, linked):
			s.log.Warn("what describes a service has other methods than its code, and is not used; generate both from the same .proto", "service", service, "file", d.ParentFile().Path())
		default:
			return d
		}
	}
	return linked
}

// alike tells whether two descriptors have the same methods.
func alike(a, b protoreflect.ServiceDescriptor) bool {
	if a.Methods().Len() != b.Methods().Len() {
		return false
	}
	for i := range a.Methods().Len() {
		m := a.Methods().Get(i)
		n := b.Methods().ByName(m.Name())
		if n == nil || m.Input().FullName() != n.Input().FullName() || m.Output().FullName() != n.Output().FullName() ||
			m.IsStreamingClient() != n.IsStreamingClient() || m.IsStreamingServer() != n.IsStreamingServer() {
			return false
		}
	}
	return true
}
