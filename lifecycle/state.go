package lifecycle

import "strconv"

// State says where a Runner is in its life. It only ever moves along the
// arrows:
//
//	New ──Run──▶ Starting ──all started──▶ Running
//	                │                         │
//	        a start step failed,      context ended,
//	        a worker failed, or       or a worker failed
//	        the context ended                 │
//	                │                         ▼
//	                └───────────────────▶ Draining
//	                                      │      │
//	                            no error  │      │  the first error
//	                                      ▼      ▼
//	                                  Stopped   Failed
//
// From Starting the drain steps are left out: no call has been promised
// anything yet, so Draining then only ends the workers and stops what started.
type State int

// The states, in the order in which a Runner passes them.
const (
	StateNew      State = iota // made, Run not called yet
	StateStarting              // start steps are running, one after another
	StateRunning               // everything started, workers are running
	StateDraining              // on the way down
	StateStopped               // ended without an error
	StateFailed                // ended with the error that Run returned
)

// String gives the state's name in lower case, for logs.
func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateStarting:
		return "starting"
	case StateRunning:
		return "running"
	case StateDraining:
		return "draining"
	case StateStopped:
		return "stopped"
	case StateFailed:
		return "failed"
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}
