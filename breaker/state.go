package breaker

// State is the state of a [Breaker]. Its number is the value of the metric
// keelson_breaker_state.
type State int32

// The states.
const (
	// Closed lets all calls through and counts how they end.
	Closed State = iota
	// HalfOpen lets a few through, to see how they end.
	HalfOpen
	// Open lets none through.
	Open
)

// String returns closed, half_open or open.
func (s State) String() string {
	switch s {
	case HalfOpen:
		return "half_open"
	case Open:
		return "open"
	default:
		return "closed"
	}
}
