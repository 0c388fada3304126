package internal

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
)

// keyHeader carries the API key of a client. It is the gateway's to read, and
// nobody's behind it.
const keyHeader = "x-api-key"

// pushbackKey is the trailer by which a server steers retries (gRFC A6). All else
// that begins with grpc- belongs to one connection.
const pushbackKey = "grpc-retry-pushback-ms"

// passes tells whether the metadata of a key goes through the gateway, either
// way: all but what belongs to one connection (RFC 9110, section 7.6.1), what is
// gRPC's own, and what only the platform may set. Of the latter the chassis sends
// its own: the correlation ID and the trace.
func passes(key string) bool {
	switch key {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
		"host", "content-type", "content-length", "content-encoding", "accept-encoding", "user-agent", "http2-settings",
		keyHeader, call.CorrelationKey, "traceparent", "tracestate", "baggage", "forwarded", "x-real-ip":
		return false
	}
	return key != "" && key[0] != ':' &&
		!strings.HasPrefix(key, "grpc-") && !strings.HasPrefix(key, "x-forwarded-") && !strings.HasPrefix(key, "x-keelson-")
}

// sendable tells whether gRPC sends metadata: one bad value would fail the call.
// HTTP/2 peers that are not gRPC's own may have sent it.
func sendable(key string, values []string) bool {
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	if strings.HasSuffix(key, "-bin") {
		return true
	}
	for _, v := range values {
		for i := range len(v) {
			if v[i] < ' ' || v[i] > '~' {
				return false
			}
		}
	}
	return true
}

// forwarded returns what goes through of metadata, nil for nothing. The values
// are shared with md.
func forwarded(md metadata.MD) (through metadata.MD) {
	for key, values := range md {
		if !passes(key) || !sendable(key, values) {
			continue
		}
		if through == nil {
			through = make(metadata.MD, len(md))
		}
		through[key] = values
	}
	return through
}

// outgoing returns the context of the call that goes on to a backend: the
// caller's, with its cancellation, deadline and what goes through of its metadata.
func outgoing(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx) // a copy
	if md = forwarded(md); md == nil {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// trailers returns what goes through of a backend's trailer. How long clients
// must not retry goes through where the chassis does not say so itself.
func trailers(md metadata.MD, saysWhen bool) metadata.MD {
	through := forwarded(md)
	if wait := md[pushbackKey]; len(wait) == 1 && !saysWhen && sendable(pushbackKey, wait) {
		if through == nil {
			through = metadata.MD{}
		}
		through[pushbackKey] = wait
	}
	return through
}
