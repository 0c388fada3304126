package edge

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
)

// leaves tells whether metadata of an answer, by its canonical name, leaves by
// gRPC-Web and Connect. What stays is what belongs to a connection or to the edge
// (which says it by itself), what only the platform may say, and what only gRPC's own
// clients read, such as how long their retries shall wait: over HTTP that is
// Retry-After. REST sends less, see package rest; gRPC itself all that the service
// sends.
func leaves(name string) bool {
	switch name {
	case "Content-Type", "Trailer", "Grpc-Encoding", "Grpc-Accept-Encoding":
		return true // for the transcoder
	case "Content-Length", "Content-Encoding", "Date", "Host", "Set-Cookie", "Vary", "Retry-After",
		"X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "Content-Security-Policy", "Strict-Transport-Security":
		return false
	}
	return isStatus(name) || !strings.HasPrefix(name, "Grpc-") && !strings.HasPrefix(name, "Access-Control-") && !platformOnly(name) && !forwardedHeader(name)
}

// isLimit tells whether metadata says what a limit has left, which HTTP has headers
// for (draft-ietf-httpapi-ratelimit-headers).
func isLimit(name string) bool {
	return name == "Ratelimit" || strings.HasPrefix(name, "Ratelimit-")
}

// copyHeader passes on the header of the service's answer.
func copyHeader(to, from http.Header) {
	for k, v := range from {
		if !strings.HasPrefix(k, http.TrailerPrefix) && k != headerCorrelation && leaves(k) {
			to[k] = v
		}
	}
}

// copyTrailer passes on the trailer of the service's answer. The correlation ID is in
// the header of every answer already, and there stands what limits have left where the
// header is still to come.
func copyTrailer(to, from http.Header, headerToCome bool) {
	for k, v := range from {
		name, ok := strings.CutPrefix(k, http.TrailerPrefix)
		if !ok {
			if strings.HasPrefix(k, "Grpc-") && leaves(k) {
				to[k] = v
			}
			continue
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case headerToCome && name == headerCorrelation:
		case headerToCome && isLimit(name):
			to[name] = v
		case leaves(name):
			to[http.TrailerPrefix+name] = v
		}
	}
}

// putStatus is a status as gRPC's header or trailer has it.
func putStatus(h http.Header, st *status.Status) {
	h["Grpc-Status"] = []string{strconv.Itoa(int(st.Code()))}
	h["Grpc-Message"] = []string{percentEncode(st.Message())}
	delete(h, "Grpc-Status-Details-Bin")
	if raw, err := proto.Marshal(st.Proto()); err == nil && len(st.Proto().GetDetails()) > 0 {
		h["Grpc-Status-Details-Bin"] = []string{base64.RawStdEncoding.EncodeToString(raw)}
	}
}

// putRetryAfter says in HTTP's words when a client may try again (RFC 9110, section
// 10.2.3), where the status that putStatus or gRPC put says so.
func putRetryAfter(h, from http.Header) {
	if p := detailsIn(from); p != nil {
		sayRetryAfter(h, status.FromProto(p))
	}
}

// detailsIn returns the status with details that putStatus or gRPC put; nil: there is
// none.
func detailsIn(h http.Header) *spb.Status {
	details := h["Grpc-Status-Details-Bin"]
	if len(details) == 0 {
		return nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(details[0], "="))
	p := &spb.Status{}
	if err != nil || proto.Unmarshal(raw, p) != nil {
		return nil
	}
	return p
}

// knowCode puts UNKNOWN in place of a code that gRPC does not have: the transcoder
// looks up its codes in a table without asking whether they are there.
func knowCode(h http.Header) {
	v := h["Grpc-Status"]
	if len(v) == 0 {
		return
	}
	code, known := codeIn(v[0])
	if known {
		return
	}
	h["Grpc-Status"] = []string{strconv.Itoa(int(code))}
	if p := detailsIn(h); p != nil {
		p.Code = int32(code) //nolint:gosec // it is small
		if raw, err := proto.Marshal(p); err == nil {
			h["Grpc-Status-Details-Bin"] = []string{base64.RawStdEncoding.EncodeToString(raw)}
		}
	}
}

func sayRetryAfter(h http.Header, st *status.Status) {
	if after, ok := errs.From(st.Err()).RetryAfter(); ok {
		h["Retry-After"] = []string{strconv.FormatInt(int64((max(after, 0)+time.Second-1)/time.Second), 10)}
	}
}
