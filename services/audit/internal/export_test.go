package internal

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// SealPage and OpenPage are page tokens.
func SealPage(q repository.Query, position int64) string { return sealPage(q, position) }
func OpenPage(q repository.Query, token string) (int64, error) {
	var v violations
	openPage(&q, token, &v)
	return q.After, v.err()
}

// WithMetrics registers the metrics.
func WithMetrics(r prometheus.Registerer) (Option, error) {
	m, err := newInstruments(r)
	return withInstruments(m), err
}
func RegisterMetrics(r prometheus.Registerer) error { _, err := newInstruments(r); return err }
