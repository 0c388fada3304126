package keelson

// Describes tells what is known of a service that was exposed: served, whether it
// is exposed at all, and described, whether its methods are known. One that is
// served and not described is reached by native gRPC only; a front of other
// protocols says so instead of denying that it is there. It is safe for concurrent
// use.
func (s *Service) Describes(service string) (served, described bool) {
	e := (*s.exposed.Load())[service]
	return e != nil, e != nil && e.desc != nil
}

// ErrorDomain is the domain of the errors that the service and its fronts make: that
// of [WithErrorDomain], or the service's name.
func (s *Service) ErrorDomain() string { return s.domain }
