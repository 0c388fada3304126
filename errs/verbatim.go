package errs

import (
	"slices"
	"unicode/utf8"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

type verbatim struct{ err error }

func (v *verbatim) Error() string { return v.err.Error() }
func (v *verbatim) Unwrap() error { return v.err }

// Verbatim marks err so that [Status] passes the status in it on as it is,
// whatever its code: for gateways, whose callers are to see what the service
// behind said. Nothing is added, and details keep their order, also unknown
// ones; the cap still holds. An err without a status is treated as if it were
// not wrapped. Nil is nil.
func Verbatim(err error) error {
	if err == nil {
		return nil
	}
	return &verbatim{err: err}
}

// verbatim returns the status that e came as. What would make it not fit is cut
// as in any other, which then needs the domain for its marker.
func (e *Error) verbatim(domain string) *status.Status {
	p := e.GRPCStatus().Proto()
	p.Message = valid(p.GetMessage())
	p.Details = slices.DeleteFunc(p.GetDetails(), func(a *anypb.Any) bool {
		return !utf8.ValidString(a.GetTypeUrl()) // cannot be marshaled
	})
	st := status.FromProto(p)
	if fits(p) {
		return st
	}
	return status.FromProto(parse(st).leaving(domain).proto())
}

// pack marshals a detail whose strings are known to be valid; the bytes are the
// same for the same detail.
func pack(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil
	}
	return a
}
