// Package policy says what holds for one method: its deadline, retries, cost,
// criticality, roles and rate limits, and where each value came from.
//
// Policy lives in the contract. A [Table] is compiled from the descriptors
// linked into the process: the standard idempotency_level says what may be
// retried, and the option (keelson.policy.v1.method) carries the rest. Values
// are then overlaid in one order of precedence:
//
//	defaults < proto option < configuration (code, file, environment, flags)
//
// A [Method] is resolved once, when a service is registered or a client call is
// first seen, and kept; [Method.Effective] is one atomic load, so a reload is
// seen by the next call and never by half of one.
package policy

import (
	"sync/atomic"
	"time"

	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// Kind is the shape of a method. Its String is the value of the grpc_type
// label that existing gRPC dashboards use.
type Kind uint8

// The four kinds of gRPC methods.
const (
	Unary Kind = iota
	ClientStream
	ServerStream
	BidiStream
)

// String returns unary, client_stream, server_stream or bidi_stream.
func (k Kind) String() string {
	switch k {
	case ClientStream:
		return "client_stream"
	case ServerStream:
		return "server_stream"
	case BidiStream:
		return "bidi_stream"
	default:
		return "unary"
	}
}

// KindOf tells the kind from which sides stream.
func KindOf(clientStreams, serverStreams bool) Kind {
	switch {
	case clientStreams && serverStreams:
		return BidiStream
	case clientStreams:
		return ClientStream
	case serverStreams:
		return ServerStream
	default:
		return Unary
	}
}

// Idempotency says what a method promises about being executed more than once.
type Idempotency uint8

// The levels of google.protobuf.MethodOptions.IdempotencyLevel.
const (
	IdempotencyUnknown Idempotency = iota
	NoSideEffects
	Idempotent
)

// String returns the name of the level as a .proto spells it.
func (i Idempotency) String() string {
	switch i {
	case NoSideEffects:
		return "NO_SIDE_EFFECTS"
	case Idempotent:
		return "IDEMPOTENT"
	default:
		return "IDEMPOTENCY_UNKNOWN"
	}
}

// UnknownName is the method under which calls to methods that no table holds
// are accounted, so that a hostile client cannot make metric labels.
// Streams among them are accounted by themselves, under the same name.
const UnknownName = "unknown"

// Method is one method of a [Table]. The pointer is stable for the table's
// life. All methods are safe for concurrent use.
type Method struct {
	// FullName is the name on the wire, such as /user.v1.UserService/GetUser.
	FullName string
	// Service and Name are its parts: user.v1.UserService and GetUser.
	Service, Name string
	// Kind is the method's shape.
	Kind Kind
	// Idempotency is what the .proto declares.
	Idempotency Idempotency
	// RequestID tells that the request has a string field request_id (AIP-155):
	// a write that may be retried because the server remembers it.
	RequestID bool

	option    *policyv1.MethodPolicy
	effective atomic.Pointer[Effective]
}

// Effective returns what holds for the method now. The value is immutable.
func (m *Method) Effective() *Effective { return m.effective.Load() }

// Retryable tells that the contract allows the method to be sent twice: it is
// declared idempotent, or its request carries a request_id. Only unary methods
// are: gRPC commits a stream at its first message.
func (m *Method) Retryable() bool {
	return m.Kind == Unary && (m.Idempotency != IdempotencyUnknown || m.RequestID)
}

// Hedgeable tells that the contract allows two instances to execute the method
// at the same time: it is unary and declared idempotent. A request_id is not
// enough: the second of two concurrent writes is refused.
func (m *Method) Hedgeable() bool { return m.Kind == Unary && m.Idempotency != IdempotencyUnknown }

// Field names a value of [Effective], as configuration spells it.
type Field string

// The fields of a method's policy.
const (
	FieldTimeout       Field = "timeout"
	FieldIdleTimeout   Field = "idle_timeout"
	FieldRoles         Field = "roles"
	FieldCost          Field = "cost"
	FieldCriticality   Field = "criticality"
	FieldRetryAttempts Field = "retry_attempts"
	FieldHedge         Field = "hedge"
	FieldHedgeDelay    Field = "hedge_delay"
	FieldBreaker       Field = "breaker"
	FieldRate          Field = "rate"
	FieldBurst         Field = "burst"
	FieldCallerRate    Field = "caller_rate"
	FieldCallerBurst   Field = "caller_burst"
)

// Fields lists every field in the order in which it is shown.
func Fields() []Field {
	return []Field{
		FieldTimeout, FieldIdleTimeout, FieldRetryAttempts, FieldHedge, FieldHedgeDelay, FieldBreaker, FieldCriticality, FieldCost,
		FieldRoles, FieldRate, FieldBurst, FieldCallerRate, FieldCallerBurst,
	}
}

// Effective is what holds for one method, after every layer has been applied.
type Effective struct {
	// Timeout is the deadline given to a call that has none, and the most that
	// a call may ask for. Zero: no bound (the default of streams).
	Timeout time.Duration
	// IdleTimeout ends a stream on which no message went either way for so
	// long. Zero: never.
	IdleTimeout time.Duration
	// RetryAttempts is how often a call is sent at most, the first included.
	// One: never retried.
	RetryAttempts int
	// Hedge tells that a second instance may be asked when the first is slow
	// to answer.
	Hedge bool
	// HedgeDelay is after how long that is. Zero: the 95th percentile of the
	// method's own latency.
	HedgeDelay time.Duration
	// Breaker tells that a client stops calling the method for a while when
	// most calls of it fail at a target.
	Breaker bool
	// Criticality orders calls under overload.
	Criticality policyv1.Criticality
	// Cost is the relative weight of a call, 1 for an ordinary one.
	Cost uint32
	// Roles are those of which a caller must have one; none: not restricted.
	Roles []string
	// Rate is how many calls per second one instance admits, Burst how many at
	// once. Zero rate: unlimited.
	Rate  float64
	Burst int
	// CallerRate and CallerBurst bound each caller by itself.
	CallerRate  float64
	CallerBurst int

	sources map[Field]string
}

// Source tells where the value of a field came from: "default", "proto option"
// or the place in the configuration.
func (e *Effective) Source(f Field) string {
	if s, ok := e.sources[f]; ok {
		return s
	}
	return SourceDefault
}

// Where a value can come from, when it is not a place in the configuration.
const (
	SourceDefault = "default"
	SourceOption  = "proto option"
)
