package hedge

import (
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
)

// How good an answer is; less is better.
const (
	well   = iota
	fault  // the caller's: another instance says the same
	failed // another instance may do better
)

func rank(err error) int {
	if err == nil {
		return well
	}
	switch errs.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unauthenticated:
		return fault
	default:
		return failed
	}
}
