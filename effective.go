package keelson

// Config returns the configuration in effect when the service was made, defaults
// filled in: what an optional package has to agree with. What is reloadable may
// have changed since.
func (s *Service) Config() Config { return s.cfg }
