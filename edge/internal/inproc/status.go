package inproc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	contentType   = "application/grpc"
	headerTimeout = "Grpc-Timeout"
	headerStatus  = "Grpc-Status"
	headerMessage = "Grpc-Message"
	headerDetails = "Grpc-Status-Details-Bin"
)

// split divides what a handler put into its header: the trailers of the
// handler's own are marked by [http.TrailerPrefix], gRPC's and the announcement
// of them are left out.
func split(all http.Header) (header, trailer http.Header) {
	header, trailer = make(http.Header), make(http.Header)
	for k, v := range all {
		switch {
		case strings.HasPrefix(k, http.TrailerPrefix):
			trailer[http.CanonicalHeaderKey(k[len(http.TrailerPrefix):])] = v
		case k == "Trailer" || k == "Date" || k == "Content-Type" || k == headerStatus || k == headerMessage || k == headerDetails:
		default:
			header[k] = v
		}
	}
	return header, trailer
}

// statusOf reads how a call ended. text is what the handler wrote in place of
// gRPC, when code is not 200.
func statusOf(ctx context.Context, code int, h http.Header, text []byte) *status.Status {
	said := h.Get(headerStatus)
	if said == "" {
		return unsaid(ctx, code, text)
	}
	number, err := strconv.ParseUint(said, 10, 32)
	if err != nil {
		return status.Newf(codes.Unknown, "the server ended the call with grpc-status %q, which is no number", said)
	}
	st := &spb.Status{}
	if bin := h.Get(headerDetails); bin != "" {
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(bin, "="))
		if err == nil && proto.Unmarshal(raw, st) == nil && uint64(uint32(st.GetCode())) == number { //nolint:gosec // the same 32 bits
			return known(st)
		}
	}
	return known(&spb.Status{Code: int32(uint32(number)), Message: message(h.Get(headerMessage))}) //nolint:gosec // the same 32 bits
}

// known puts UNKNOWN in place of a code that gRPC does not have, as its clients take
// it: no other protocol has a word for it.
func known(st *spb.Status) *status.Status {
	if c := codes.Code(uint32(st.GetCode())); c > codes.Unauthenticated { //nolint:gosec // as above
		st.Code = int32(codes.Unknown)
	}
	return status.FromProto(st)
}

// message decodes grpc-message; what is not percent-encoded well is kept.
func message(encoded string) string {
	decoded, err := url.PathUnescape(encoded)
	if err != nil {
		return encoded
	}
	return strings.ToValidUTF8(decoded, "\uFFFD")
}

// unsaid is the status of a call that ended without one: the caller's end of it,
// or what a handler says that did not take the request for gRPC (the table is
// that of http-grpc-status-mapping.md in grpc/grpc).
func unsaid(ctx context.Context, code int, text []byte) *status.Status {
	if err := ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return status.New(codes.DeadlineExceeded, "the deadline passed before the answer")
		}
		return status.New(codes.Canceled, "the caller went away before the answer")
	}
	said := fmt.Sprintf("the server answered with HTTP status %d and no gRPC status", code)
	if line := strings.TrimSpace(string(text)); line != "" {
		said += ": " + strings.ToValidUTF8(line, "\uFFFD")
	}
	switch code {
	case 0, http.StatusOK:
		return status.New(codes.Unavailable, "the server ended the call without a status; it may be stopping")
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return status.New(codes.Internal, said)
	case http.StatusUnauthorized:
		return status.New(codes.Unauthenticated, said)
	case http.StatusForbidden:
		return status.New(codes.PermissionDenied, said)
	case http.StatusNotFound:
		return status.New(codes.Unimplemented, said)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return status.New(codes.Unavailable, said)
	}
	return status.New(codes.Unknown, said)
}
