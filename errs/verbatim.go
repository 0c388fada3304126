package errs

import (
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

type verbatim struct{ err error }

func (v *verbatim) Error() string { return v.err.Error() }
func (v *verbatim) Unwrap() error { return v.err }

// Verbatim marks err so that [Status] passes the status in it on as it is,
// whatever its code: for gateways, whose callers are to see what the service
// behind said. Details keep their order, also unknown ones; only what is
// missing is added (ErrorInfo, RequestInfo), and the cap still holds. An err
// without a status is treated as if it were not wrapped. Nil is nil.
func Verbatim(err error) error {
	if err == nil {
		return nil
	}
	return &verbatim{err: err}
}

// verbatim returns the status that e came as, with what is missing.
func (e *Error) verbatim(domain, correlationID string) *status.Status {
	p := e.GRPCStatus().Proto()
	p.Message = valid(p.GetMessage())
	var kept []*anypb.Any
	info, request := false, false
	for _, a := range p.GetDetails() {
		if !utf8.ValidString(a.GetTypeUrl()) {
			continue // cannot be marshaled
		}
		if a.MessageIs((*errdetails.ErrorInfo)(nil)) {
			if info || a.UnmarshalTo(&errdetails.ErrorInfo{}) != nil {
				continue
			}
			info = true
		}
		request = request || a.MessageIs((*errdetails.RequestInfo)(nil))
		kept = append(kept, a)
	}
	if !info {
		kept = append(kept, pack(&errdetails.ErrorInfo{Reason: CodeName(codes.Code(uint32(p.GetCode()))), Domain: valid(domain)})) //nolint:gosec // the same 32 bits
	}
	if !request && correlationID != "" {
		kept = append(kept, pack(&errdetails.RequestInfo{RequestId: correlationID}))
	}
	p.Details = kept
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
