package inproc

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Call says what is called, and for whom. It may be used for many calls, also
// at once, as long as nobody changes it.
type Call struct {
	// Handler serves gRPC. Required.
	Handler http.Handler
	// Method is the full name, "/package.Service/Method".
	Method string
	// Header is the request metadata, with canonical keys; values of keys that
	// end in -Bin are base64. Keys that gRPC itself sets (Content-Type, Te,
	// Grpc-Timeout) are overwritten. It is not kept and not changed.
	Header http.Header
	// Host is the :authority; RemoteAddr the peer, as in [http.Request]. Both may
	// be empty.
	Host, RemoteAddr string
	// TLS is the state of the connection that the call came over; nil: none.
	TLS *tls.ConnectionState
	// Timeout is sent as grpc-timeout. Zero: none, the server's own policy holds.
	Timeout time.Duration
}

// Reply is the whole answer to a unary call.
type Reply struct {
	// Header and Trailer are the response metadata, with canonical keys.
	Header, Trailer http.Header
	// Message is the answer; nil when the call failed.
	Message []byte
	// Status is how the call ended; never nil.
	Status *status.Status
}

// Unary sends one message and waits for the answer. It starts no goroutine. A
// server that answers with none or with several messages gets INTERNAL. When ctx
// ends first, the status is CANCELED or DEADLINE_EXCEEDED.
func (c *Call) Unary(ctx context.Context, message []byte) *Reply {
	body := &unaryBody{message: message}
	body.prefix = frameHeader(len(message))
	w := &unaryWriter{header: make(http.Header, 8)}
	c.serve(ctx, w, body)
	reply := &Reply{}
	reply.Header, reply.Trailer = split(w.header)
	reply.Status = statusOf(ctx, w.code, w.header, w.text)
	if reply.Status.Code() != codes.OK {
		return reply
	}
	message, err := w.message()
	switch {
	case err == nil:
	case ctx.Err() != nil: // the server saw that nobody waits
		reply.Status = unsaid(ctx, w.code, nil)
	default:
		reply.Status = status.New(codes.Internal, err.Error())
	}
	reply.Message = message
	return reply
}

// serve runs the handler, and keeps its panics from the process: what a server
// of net/http would do for it.
func (c *Call) serve(ctx context.Context, w http.ResponseWriter, body body) {
	defer func() {
		if recover() != nil {
			h := w.Header()
			h.Set(headerStatus, strconv.Itoa(int(codes.Internal)))
			h.Set(headerMessage, "the server broke off the call")
		}
	}()
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: c.Method}, RequestURI: c.Method,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: c.header(), Body: body, ContentLength: -1,
		Host: c.Host, RemoteAddr: c.RemoteAddr, TLS: c.TLS,
	}).WithContext(ctx)
	c.Handler.ServeHTTP(w, r)
}

// header returns the request's header.
func (c *Call) header() http.Header {
	h := make(http.Header, len(c.Header)+4)
	for k, v := range c.Header {
		h[k] = v
	}
	h["Content-Type"] = []string{contentType}
	h["Te"] = []string{"trailers"}
	delete(h, headerTimeout)
	if c.Timeout > 0 {
		h[headerTimeout] = []string{timeout(c.Timeout)}
	}
	return h
}

// timeout formats a duration as gRPC does: at most eight digits and a unit.
// It rounds up, so that no call gets less time than it asked for.
func timeout(d time.Duration) string {
	const most = 99_999_999
	for _, u := range []struct {
		size time.Duration
		name string
	}{{1, "n"}, {time.Microsecond, "u"}, {time.Millisecond, "m"}, {time.Second, "S"}, {time.Minute, "M"}} {
		if n := (d + u.size - 1) / u.size; n <= most {
			return strconv.FormatInt(int64(n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64((d+time.Hour-1)/time.Hour), 10) + "H"
}
