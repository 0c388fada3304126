package grpcx

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"
)

// Refused is what gRPC says of a message that is larger than allowed.
type Refused struct {
	TooLarge
	// Sending tells that it was to be sent; otherwise it was received.
	Sending bool
}

// SizeRefused reads the message of a RESOURCE_EXHAUSTED that either end of a call
// may have made because of a message's size; false: it says something else. gRPC
// has no type or detail for it, so it is told by its text (rpc_util.go and
// stream.go, v1.85.0): root's TestWhatIsTooLargeSaysSo fails when that changes.
func SizeRefused(message string) (r Refused, ok bool) {
	for _, begin := range [...]string{"grpc: received message larger than max ", "trying to send message larger than max "} {
		if rest, found := strings.CutPrefix(message, begin); found {
			r.Sending = begin[0] == 't'
			n, _ := fmt.Sscanf(rest, "(%d vs. %d)", &r.Size, &r.Most)
			return r, n == 2
		}
	}
	if rest, found := strings.CutPrefix(message, "grpc: received message after decompression larger than max "); found {
		n, _ := fmt.Sscanf(rest, "%d", &r.Most)
		return r, n == 1
	}
	return r, false
}

// MostReceived is the size of the largest message that a call with these options
// receives; connection: where they do not say.
func MostReceived(opts []grpc.CallOption, connection int) int {
	for _, o := range opts {
		if limit, ok := o.(grpc.MaxRecvMsgSizeCallOption); ok {
			connection = limit.MaxRecvMsgSize
		}
	}
	return connection
}
