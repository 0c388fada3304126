package internal

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// Domain is the domain of the reasons that the gateway itself answers with. What
// a backend says keeps that of the backend.
const Domain = "gateway.keelson.dev"

// retryAfter is when a client may try again what no backend could be asked.
const retryAfter = time.Second

// own completes an error that the gateway, and no backend, answers with.
func own(e *errs.Error) error {
	if _, says := e.RetryAfter(); e.Code() == codes.Unavailable && !says {
		e = e.With(errs.RetryAfter(retryAfter))
	}
	if e.Domain() == "" {
		e = e.With(errs.Domain(Domain))
	}
	return e
}

// notReady says that no instance can take a call.
func notReady(target string, waited time.Duration) error {
	return own(errs.Unavailable(errs.ReasonNoReadyInstance, "no instance of %s was ready within %s; try again", target, waited.Round(time.Millisecond)))
}

// lost says that a call broke on its way, with nothing of the addresses inside;
// begun: the instance had begun to answer.
func lost(target string, begun bool, cause error) error {
	when := "before it answered; whether the call had an effect is not known"
	if begun {
		when = "while it answered; what came until then holds, and whether more would have come is not known"
	}
	return own(errs.Unavailable(errs.ReasonConnectionLost, "the connection to an instance of %s was lost %s", target, when).With(errs.Cause(cause)))
}

// cardinality says that a call has not the one message that its method takes, as the
// chassis says it (statuscodes.md of gRPC).
func cardinality(came string) error {
	return own(errs.Unimplemented(errs.ReasonMessageCount, "the method takes one message, and %s came", came))
}

// ReasonNotGRPC says that what answers for a target speaks something else.
const ReasonNotGRPC = "NOT_GRPC"

// otherHTTP begins what grpc-go says of an answer that is HTTP and not gRPC. A piece
// of its body follows, which is not for clients.
const otherHTTP = "unexpected HTTP status code received from server: "

// notGRPC says that an answer was not gRPC, such as the page of a proxy, with the code
// that gRPC has for its HTTP status.
func notGRPC(target string, e *errs.Error) error {
	code, _, _ := strings.Cut(strings.TrimPrefix(e.Message(), otherHTTP), ";")
	return own(errs.New(e.Code(), ReasonNotGRPC, "what answers for %s is HTTP and not gRPC, status %.40q", target, code).With(errs.Cause(e)))
}

// sizes bound the messages that are sent on. They are looked at before gRPC does,
// which would end the call with words of its own.
type sizes struct{ request, answer int }

func (s sizes) checkRequest(target string, msg *keelson.Frame) error {
	if n := msg.Len(); n > s.request {
		return own(errs.ResourceExhausted(errs.ReasonRequestTooLarge, "a message of %d bytes is larger than the %d that may be sent to %s (client.max_send); send less at once", n, s.request, target).
			With(errs.Meta("max_bytes", strconv.Itoa(s.request))))
	}
	return nil
}

func (s sizes) checkAnswer(target string, msg *keelson.Frame) error {
	if n := msg.Len(); n > s.answer {
		return own(errs.ResourceExhausted(errs.ReasonResponseTooLarge, "%s answered with a message of %d bytes, more than the %d that may be sent on (grpc.max_send); ask for less at once", target, n, s.answer).
			With(errs.Meta("max_bytes", strconv.Itoa(s.answer))))
	}
	return nil
}

// answer is how a backend, or the way there, ended a call.
type answer struct {
	err             error
	header, trailer metadata.MD
	peer            *peer.Peer
}

// failure returns the error with which a call to a target ends. What a backend
// said passes as it is; for what the gateway could not do it says so itself. ctx
// is the call's, which its client, the drain or a deadline may have ended.
func (a *answer) failure(ctx context.Context, target string) error {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
	}
	e := errs.From(a.err)
	switch {
	case !e.Remote(): // said by the chassis's client: a breaker, a deadline, nobody ready
		return own(e)
	case len(a.header) == 0 && len(a.trailer) == 0 && strings.HasPrefix(e.Message(), otherHTTP):
		return notGRPC(target, e)
	case e.Code() == codes.Unavailable && a.broken(e):
		return lost(target, len(a.header) > 0, a.err)
	}
	return errs.Verbatim(a.err)
}

// broken tells whether gRPC, not a backend, made an UNAVAILABLE. A backend's own
// came with headers or trailers, which have a content type at least. Where the
// stream broke after the headers, what gRPC says is all that tells it from a
// backend without trailers of its own; it may have addresses of the inside.
func (a *answer) broken(e *errs.Error) bool {
	if len(a.header) == 0 && len(a.trailer) == 0 {
		return true
	}
	if len(a.trailer) > 0 || e.Reason() != "" {
		return false
	}
	return transportSays(e.Message()) || a.peer != nil && a.peer.Addr != nil && strings.Contains(e.Message(), a.peer.Addr.String())
}

// transportSays tells whether a message is one with which grpc-go's transport
// (internal/transport/http2_client.go, v1.85.0) ends the streams of a connection.
// Its errors have the same type as those of a server, a server need not send
// trailers of its own, and gRPC's stats, which would tell, cost each call more than
// it does itself. So texts decide in this one case: an UNAVAILABLE without a reason
// behind headers. A test fails when grpc-go is another version than the one whose
// texts these are.
func transportSays(message string) bool {
	for _, begin := range [...]string{
		"connection error: ", "error reading from server: ", "closing transport due to: ", "transport is closing", "the connection is draining",
		"the stream is rejected because server is draining", "keepalive ping failed to receive ACK", "closing connection since the server is not reading",
		"received goaway ", "stream terminated by RST_STREAM with error code: ",
	} {
		if strings.HasPrefix(message, begin) {
			return true
		}
	}
	return false
}

// saysWhen tells whether the chassis itself tells retries when to come again.
func saysWhen(err error) bool {
	e := errs.From(err)
	if e == nil || e.Code() != codes.Unavailable {
		return false
	}
	_, says := e.RetryAfter()
	return says
}
