// Package collectors registers Prometheus collectors that several parts of a
// program may share.
package collectors

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Shared registers c, or returns the equal collector that is registered already.
// A nil registerer is off. A collector that cannot be registered (another metric
// has its name) counts, unseen: a clash of names in somebody's registry is no
// reason to go without what it counts.
func Shared[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var dup prometheus.AlreadyRegisteredError
	if errors.As(reg.Register(c), &dup) {
		if have, ok := dup.ExistingCollector.(C); ok {
			return have
		}
	}
	return c
}
