package discovery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/internal/collectors"
)

// resolverMetrics are nil-safe by holding unregistered collectors when there is no registerer.
type resolverMetrics struct {
	decisions *prometheus.CounterVec
	dropped   *prometheus.CounterVec
	instances *prometheus.GaugeVec
	known     *prometheus.GaugeVec
	held      *prometheus.GaugeVec
	stale     *prometheus.GaugeVec
	lastGood  *prometheus.GaugeVec
	updates   *prometheus.CounterVec
	cache     *prometheus.CounterVec
}

func newResolverMetrics(reg prometheus.Registerer) resolverMetrics {
	return resolverMetrics{
		decisions: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_resolver_decisions_total",
			Help: "What the resolver decided about each answer or error of a registry.",
		}, []string{"target", "decision"})),
		dropped: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_resolver_dropped_entries_total",
			Help: "Entries of a registry's answers that were left out: unreadable, invalid or duplicate.",
		}, []string{"target", "reason"})),
		instances: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_resolver_instances",
			Help: "Instances in the list in effect, held ones included.",
		}, []string{"target"})),
		known: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_resolver_known_instances",
			Help: "Instances of the fleet, of which those in effect are all or a part.",
		}, []string{"target"})),
		stale: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_resolver_stale",
			Help: "1 while the registry says that its answers may be out of date, otherwise 0.",
		}, []string{"target"})),
		updates: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_resolver_updates_total",
			Help: "Lists that connections were given, each of which makes a balancer build a new picker.",
		}, []string{"target"})),
		cache: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_resolver_cache_operations_total",
			Help: "Reads and writes of the copy of the last good list on disk, by result: ok, missing or error.",
		}, []string{"target", "operation", "result"})),
		held: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_resolver_held_instances",
			Help: "Instances kept although the registry no longer names them.",
		}, []string{"target"})),
		lastGood: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_resolver_last_good_timestamp_seconds",
			Help: "When the registry last gave an answer that was put into effect, in Unix time.",
		}, []string{"target"})),
	}
}

type registrationMetrics struct {
	registered *prometheus.GaugeVec
	attempts   *prometheus.CounterVec
}

func newRegistrationMetrics(reg prometheus.Registerer) registrationMetrics {
	return registrationMetrics{
		registered: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_registration_registered",
			Help: "1 while the instance is known to stand in the registry, otherwise 0.",
		}, []string{"service"})),
		attempts: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_registration_attempts_total",
			Help: "Attempts to register, check and deregister, by result: ok, missing (the registry has lost the instance) or error.",
		}, []string{"service", "operation", "result"})),
	}
}

// forget takes away the gauges of a target: what they say is not so.
func (m resolverMetrics) forget(name string) {
	for _, g := range []*prometheus.GaugeVec{m.instances, m.known, m.held, m.stale, m.lastGood} {
		g.DeleteLabelValues(name)
	}
}

// forgetAll takes away the counters of a target too.
func (m resolverMetrics) forgetAll(name string) {
	m.forget(name)
	for _, c := range []*prometheus.CounterVec{m.decisions, m.dropped, m.updates, m.cache} {
		c.DeletePartialMatch(prometheus.Labels{"target": name})
	}
}
