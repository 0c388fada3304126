package policy

import (
	"strconv"
	"strings"
	"time"
)

// Description is the policy of a method as people and tools read it.
type Description struct {
	// Method is the full name, /package.Service/Method.
	Method string `json:"method"`
	// Kind is unary, client_stream, server_stream or bidi_stream.
	Kind string `json:"kind"`
	// Idempotency is the level that the .proto declares.
	Idempotency string `json:"idempotency"`
	// Retryable tells that the contract allows the method to be sent twice.
	Retryable bool `json:"retryable"`
	// Hedgeable tells that the contract allows two instances to execute it at once.
	Hedgeable bool `json:"hedgeable"`
	// Fields are all values, in the order of [Fields].
	Fields []Value `json:"fields"`
}

// Value is one field of a policy and where it came from.
type Value struct {
	// Name is the field as configuration spells it.
	Name Field `json:"name"`
	// Value is what holds, with its unit; none, any or unlimited when nothing does.
	Value string `json:"value"`
	// Source tells where it came from; see [Effective.Source].
	Source string `json:"source"`
}

// Describe returns what holds for the method now, field by field.
func (m *Method) Describe() Description {
	e := m.Effective()
	d := Description{Method: m.FullName, Kind: m.Kind.String(), Idempotency: m.Idempotency.String(), Retryable: m.Retryable(), Hedgeable: m.Hedgeable()}
	for _, f := range Fields() {
		d.Fields = append(d.Fields, Value{Name: f, Value: e.Value(f), Source: e.Source(f)})
	}
	return d
}

// Value returns the value of a field for people: none, unlimited, and durations
// and rates with their units.
func (e *Effective) Value(f Field) string {
	switch f {
	case FieldTimeout:
		return duration(e.Timeout)
	case FieldIdleTimeout:
		return duration(e.IdleTimeout)
	case FieldRetryAttempts:
		return strconv.Itoa(e.RetryAttempts)
	case FieldHedge:
		return string(onOff(e.Hedge))
	case FieldHedgeDelay:
		return e.hedgeDelay()
	case FieldBreaker:
		return string(onOff(e.Breaker))
	case FieldCriticality:
		return strings.TrimPrefix(e.Criticality.String(), "CRITICALITY_")
	case FieldCost:
		return strconv.FormatUint(uint64(e.Cost), 10)
	case FieldRoles:
		return roles(e.Roles)
	case FieldRate:
		return rate(e.Rate)
	case FieldBurst:
		return burst(e.Rate, e.Burst)
	case FieldCallerRate:
		return rate(e.CallerRate)
	case FieldCallerBurst:
		return burst(e.CallerRate, e.CallerBurst)
	default:
		return ""
	}
}

func onOff(on bool) Switch {
	if on {
		return On
	}
	return Off
}

func (e *Effective) hedgeDelay() string {
	switch {
	case !e.Hedge:
		return "none"
	case e.HedgeDelay <= 0:
		return "95th percentile"
	default:
		return e.HedgeDelay.String()
	}
}

func duration(d time.Duration) string {
	if d <= 0 {
		return "none"
	}
	return d.String()
}

func roles(r []string) string {
	if len(r) == 0 {
		return "any"
	}
	return strings.Join(r, ", ")
}

func rate(r float64) string {
	if r <= 0 {
		return "unlimited"
	}
	return strconv.FormatFloat(r, 'g', -1, 64) + "/s"
}

func burst(r float64, n int) string {
	if r <= 0 {
		return "unlimited"
	}
	return strconv.Itoa(n)
}
