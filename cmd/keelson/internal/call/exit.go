package call

import (
	"google.golang.org/grpc/codes"
)

// ExitBase is added to the code of a status to make an exit code, as grpcurl
// does: NOT_FOUND (5) is 69.
const ExitBase = 64

// ExitError is how a command ends that is not a success.
type ExitError struct {
	// Code is the exit code of the process.
	Code int
	// Err is what is still to be shown; nil when all has been said.
	Err error
}

// Error gives the text of the error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return "the call failed"
	}
	return e.Err.Error()
}

// Unwrap gives the error.
func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is the exit code for the code of a status.
func ExitCode(c codes.Code) int {
	if c == codes.OK {
		return 0
	}
	return ExitBase + int(c)
}
