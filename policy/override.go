package policy

import (
	"fmt"
	"math"
	"time"

	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// Defaults are the values below every other layer.
type Defaults struct {
	// UnaryTimeout is the deadline of unary methods; zero: 10 s.
	UnaryTimeout time.Duration
	// StreamTimeout is the deadline of streaming methods; zero: none.
	StreamTimeout time.Duration
	// RetryAttempts is how often a retryable call is sent at most, the first
	// included; zero: 3.
	RetryAttempts int
	// NoHedge keeps methods without side effects from being hedged.
	NoHedge bool
	// NoBreaker keeps clients from breaking circuits.
	NoBreaker bool
}

// The values of a zero [Defaults].
const (
	DefaultUnaryTimeout  = 10 * time.Second
	DefaultRetryAttempts = 3
	// MaxRetryAttempts is the most that gRPC takes (gRFC A6).
	MaxRetryAttempts = 5
)

func (d Defaults) withDefaults() Defaults {
	if d.UnaryTimeout == 0 {
		d.UnaryTimeout = DefaultUnaryTimeout
	}
	if d.RetryAttempts == 0 {
		d.RetryAttempts = DefaultRetryAttempts
	}
	return d
}

// maxRate is more than any instance can do.
const maxRate = 1_000_000_000

// Switch turns something on or off; empty leaves it as it is.
type Switch string

// The values of a [Switch].
const (
	On  Switch = "on"
	Off Switch = "off"
)

func (s Switch) valid() bool { return s == "" || s == On || s == Off }

// Override changes the policy of one method, or of all methods of a service.
// Zero fields change nothing. retry_attempts of a whole service are those of its
// methods that may be retried.
type Override struct {
	// Method is /package.Service/Method, or /package.Service/* for all methods
	// of a service. One that does not exist is an error.
	Method string `yaml:"method" doc:"/package.Service/Method, or /package.Service/* for all of a service"`
	// Timeout replaces the method's deadline; negative: none.
	Timeout time.Duration `yaml:"timeout" doc:"default and maximum deadline; negative: none"`
	// IdleTimeout replaces the stream's idle bound; negative: none.
	IdleTimeout time.Duration `yaml:"idle_timeout" doc:"ends a stream with no message for so long; negative: none"`
	// RetryAttempts replaces how often a call is sent; 1: never again.
	RetryAttempts int `yaml:"retry_attempts" doc:"how often a call is sent at most, the first included; 1: no retries"`
	// Hedge says whether a second instance is asked when the first is slow: on
	// or off.
	Hedge Switch `yaml:"hedge" enum:"on,off" doc:"ask a second instance when the first is slow to answer: on or off"`
	// HedgeDelay replaces after how long that is; negative: the method's own
	// 95th percentile.
	HedgeDelay time.Duration `yaml:"hedge_delay" doc:"ask the second instance after so long; negative: the method's own 95th percentile"`
	// Breaker says whether a client stops calling the method for a while when
	// most calls of it fail: on or off.
	Breaker Switch `yaml:"breaker" enum:"on,off" doc:"stop calling the method for a while when most calls of it fail: on or off"`
	// Rate and Burst bound the calls per second that one instance admits.
	Rate  float64 `yaml:"rate" doc:"calls per second that one instance admits; negative: unlimited"`
	Burst int     `yaml:"burst" doc:"calls admitted at once; default: the rate, rounded up"`
	// CallerRate and CallerBurst bound each caller by itself.
	CallerRate  float64 `yaml:"caller_rate" doc:"calls per second admitted from one caller; negative: unlimited"`
	CallerBurst int     `yaml:"caller_burst" doc:"calls admitted at once from one caller; default: the rate, rounded up"`

	// Origin tells where a field was set, for people; nil: "code".
	Origin func(Field) string `yaml:"-"`
}

func (o *Override) origin(f Field) string {
	if o.Origin == nil {
		return "code"
	}
	return o.Origin(f)
}

// base computes a method's policy from the defaults and its own options.
func (m *Method) base(d Defaults) *Effective {
	d = d.withDefaults()
	e := &Effective{Timeout: d.UnaryTimeout, RetryAttempts: 1, Cost: 1, Criticality: policyv1.Criticality_CRITICALITY_CRITICAL, sources: map[Field]string{}}
	if m.Kind != Unary {
		e.Timeout = d.StreamTimeout
	}
	if m.Retryable() {
		e.RetryAttempts = d.RetryAttempts
		e.sources[FieldRetryAttempts] = "default (" + m.retryReason() + ")"
	} else {
		e.sources[FieldRetryAttempts] = "default (" + m.noRetryReason() + ")"
	}
	e.Hedge, e.Breaker = m.Idempotency == NoSideEffects && m.Kind == Unary && !d.NoHedge, !d.NoBreaker
	e.sources[FieldHedge] = "default (" + m.hedgeReason(d) + ")"
	m.applyOption(e)
	return e
}

func (m *Method) hedgeReason(d Defaults) string {
	switch {
	case m.Kind != Unary:
		return "streams are resumed, not hedged"
	case d.NoHedge:
		return "policy.hedge is off"
	case m.Idempotency == NoSideEffects:
		return "idempotency_level NO_SIDE_EFFECTS"
	case m.Idempotency == Idempotent:
		return "IDEMPOTENT may be hedged, but is only where it is switched on"
	default:
		return "not declared idempotent"
	}
}

func (m *Method) noHedgeReason() string {
	if m.Kind != Unary {
		return "it is a stream"
	}
	return "it is not declared idempotent"
}

func (m *Method) retryReason() string {
	if m.Idempotency != IdempotencyUnknown {
		return "idempotency_level " + m.Idempotency.String()
	}
	return "the request has a request_id"
}

func (m *Method) noRetryReason() string {
	if m.Kind != Unary {
		return "streams are resumed, not retried"
	}
	return "not declared idempotent"
}

func (m *Method) applyOption(e *Effective) {
	o := m.option
	if o == nil {
		return
	}
	if t := o.GetTimeout(); t != nil {
		e.Timeout, e.sources[FieldTimeout] = t.AsDuration(), SourceOption
	}
	if t := o.GetIdleTimeout(); t != nil {
		e.IdleTimeout, e.sources[FieldIdleTimeout] = t.AsDuration(), SourceOption
	}
	if c := o.GetCriticality(); c != policyv1.Criticality_CRITICALITY_UNSPECIFIED {
		e.Criticality, e.sources[FieldCriticality] = c, SourceOption
	}
	if c := o.GetCost(); c != 0 {
		e.Cost, e.sources[FieldCost] = c, SourceOption
	}
	if r := o.GetRoles(); len(r) > 0 {
		e.Roles, e.sources[FieldRoles] = r, SourceOption
	}
}

// checkOption reports what of the .proto's option makes no sense.
func (m *Method) checkOption() error {
	timeout, idle := m.option.GetTimeout().AsDuration(), m.option.GetIdleTimeout().AsDuration()
	switch {
	case timeout < 0 || idle < 0:
		return fmt.Errorf("the .proto of %s declares a negative timeout or idle_timeout; declare zero for none", m.FullName)
	case idle > 0 && m.Kind == Unary:
		return fmt.Errorf("the .proto of %s declares an idle_timeout, but the method is unary; declare a timeout", m.FullName)
	}
	return nil
}

// apply overlays an override on a method's policy.
func (o *Override) apply(m *Method, e *Effective) {
	setDuration(&e.Timeout, o.Timeout, e, o, FieldTimeout)
	setDuration(&e.IdleTimeout, o.IdleTimeout, e, o, FieldIdleTimeout)
	if o.RetryAttempts == 1 || o.RetryAttempts > 1 && m.Retryable() { // of a whole service, those that may be retried
		e.RetryAttempts, e.sources[FieldRetryAttempts] = o.RetryAttempts, o.origin(FieldRetryAttempts)
	}
	if o.Hedge == Off || o.Hedge == On && m.Hedgeable() { // of a whole service, those that may be hedged
		e.Hedge, e.sources[FieldHedge] = o.Hedge == On, o.origin(FieldHedge)
	}
	setDuration(&e.HedgeDelay, o.HedgeDelay, e, o, FieldHedgeDelay)
	if o.Breaker != "" {
		e.Breaker, e.sources[FieldBreaker] = o.Breaker == On, o.origin(FieldBreaker)
	}
	o.applyRate(e, o.Rate, o.Burst, &e.Rate, &e.Burst, FieldRate, FieldBurst)
	o.applyRate(e, o.CallerRate, o.CallerBurst, &e.CallerRate, &e.CallerBurst, FieldCallerRate, FieldCallerBurst)
}

func setDuration(to *time.Duration, from time.Duration, e *Effective, o *Override, f Field) {
	if from != 0 {
		*to, e.sources[f] = max(from, 0), o.origin(f)
	}
}

func (o *Override) applyRate(e *Effective, rate float64, burst int, toRate *float64, toBurst *int, fr, fb Field) {
	if rate != 0 {
		*toRate, e.sources[fr] = max(rate, 0), o.origin(fr)
		*toBurst = int(math.Ceil(max(rate, 0)))
	}
	if burst != 0 {
		*toBurst, e.sources[fb] = burst, o.origin(fb)
	}
}

// validate returns what is wrong with the values themselves.
func (o *Override) validate(m *Method) []string {
	var faults []string
	if o.RetryAttempts < 0 || o.RetryAttempts > MaxRetryAttempts {
		faults = append(faults, fmt.Sprintf("retry_attempts is %d; valid are 1 (never again) to %d", o.RetryAttempts, MaxRetryAttempts))
	}
	if o.RetryAttempts > 1 && m != nil && !m.Retryable() {
		faults = append(faults, fmt.Sprintf("retry_attempts is %d, but %s may not be sent twice: %s; declare an idempotency_level or a request_id in its .proto", o.RetryAttempts, m.FullName, m.noRetryReason()))
	}
	if !o.Hedge.valid() || !o.Breaker.valid() {
		faults = append(faults, fmt.Sprintf("hedge is %q and breaker is %q; valid are on and off, and empty for no change", o.Hedge, o.Breaker))
	}
	if o.Hedge == On && m != nil && !m.Hedgeable() {
		faults = append(faults, fmt.Sprintf("hedge is on, but two instances must not execute %s at once: %s; declare an idempotency_level in its .proto", m.FullName, m.noHedgeReason()))
	}
	if o.Burst < 0 || o.CallerBurst < 0 {
		faults = append(faults, "burst and caller_burst are counts of calls, 1 or more")
	}
	if math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0) || math.IsNaN(o.CallerRate) || math.IsInf(o.CallerRate, 0) {
		faults = append(faults, "rate and caller_rate are finite numbers of calls per second")
	}
	if o.Rate > maxRate || o.CallerRate > maxRate {
		faults = append(faults, fmt.Sprintf("rate and caller_rate are at most %d calls per second; negative is unlimited", maxRate))
	}
	if o.IdleTimeout > 0 && m != nil && m.Kind == Unary {
		faults = append(faults, fmt.Sprintf("idle_timeout is for streams, and %s is unary; set its timeout", m.FullName))
	}
	return faults
}
