package logs

import (
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// maxError is the longest text of an error that a line holds, in bytes.
const maxError = 1 << 10

// maxName is the longest name of a method that callers may put into a line.
const maxName = 256

// buffers are reused by lines; a global pool of scratch space holds no state.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// End writes the line of a call that has ended: [call.Call.End] comes first.
// Successes are sampled, failures always written; below the level nothing is.
// It does not allocate when the call succeeded.
func (l *Log) End(c *call.Call) {
	if l == nil {
		return
	}
	at := level(c)
	if at < l.level.Level() || c.Code == codes.OK && !l.sampled() {
		return
	}
	b := buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	line := l.appendCall((*b)[:0], c, at)
	l.sink.write(line, at >= slog.LevelError)
	release(b, line)
}

// release returns a buffer to the pool, unless one long line has made it large.
func release(b *[]byte, used []byte) {
	if cap(used) <= 64<<10 {
		*b = used
		buffers.Put(b)
	}
}

func (l *Log) appendCall(b []byte, c *call.Call, at slog.Level) []byte {
	now := c.Start.Add(c.Duration)
	b = append(b, `{"`+keyTime+`":"`...)
	b = appendTime(b, now)
	b = append(b, `","`+keyLevel+`":"`...)
	b = appendLevel(b, at)
	b = append(b, `","`+keyMessage+`":"`...)
	b = append(append(append(b, c.Method.Name...), ' '), errs.CodeName(c.Code)...)
	b = append(append(b, '"'), l.static...)
	b = appendContext(b, c)
	b = appendOutcome(b, c)
	if c.Method.FullName == policy.UnknownName {
		b = appendOriginal(b, c)
	}
	b = appendEnds(b, c)
	if left, ok := c.DeadlineLeft(now); ok {
		b = appendIntField(b, keyLeft, int64(left))
	}
	if c.Method.Kind != policy.Unary {
		b = appendIntField(b, keyReceived, c.Received.Load())
		b = appendIntField(b, keySent, c.Sent.Load())
	}
	if c.Code != codes.OK {
		b = appendFailure(b, c)
	}
	return append(b, '}', '\n')
}

// appendContext appends what every line of a call has.
func appendContext(b []byte, c *call.Call) []byte {
	if sc := c.SpanContext; sc.IsValid() {
		trace, span := sc.TraceID(), sc.SpanID()
		b = appendHexField(b, keyTrace, trace[:])
		b = appendHexField(b, keySpan, span[:])
	}
	return appendIdentity(b, c)
}

func appendIdentity(b []byte, c *call.Call) []byte {
	if c.CorrelationID != "" {
		b = appendStringField(b, keyCorrelation, c.CorrelationID)
	}
	if c.Method.Name == "" { // what never was a call of any method has an ID all the same
		return b
	}
	b = appendStringField(b, keyRPCService, c.Method.Service)
	return appendStringField(b, keyRPCMethod, c.Method.Name)
}

func appendOutcome(b []byte, c *call.Call) []byte {
	action, outcome := actionServer, "failure"
	if c.Side == call.Client {
		action = actionClient
	}
	switch c.Code {
	case codes.OK:
		outcome = "success"
	case codes.Canceled:
		outcome = "unknown"
	}
	b = appendStringField(b, keyAction, action)
	b = appendStringField(b, keyOutcome, outcome)
	b = appendIntField(b, keyDuration, int64(c.Duration))
	b = appendStringField(b, keyRPCType, c.Method.Kind.String())
	b = appendIntField(b, keyStatus, int64(c.Code))
	return appendStringField(b, keyCode, errs.CodeName(c.Code))
}

// appendOriginal appends the name that a caller used for a method that nothing
// serves.
func appendOriginal(b []byte, c *call.Call) []byte {
	if name, ok := grpc.Method(c.Context); ok {
		return appendStringField(b, keyOriginal, cut(name, maxName))
	}
	return b
}

// appendEnds appends who was at the other end.
func appendEnds(b []byte, c *call.Call) []byte {
	if c.Side == call.Server {
		if c.Peer != nil {
			b = appendPeer(b, "client", c.Peer)
		}
		return b
	}
	if c.Peer != nil {
		b = appendPeer(b, "server", c.Peer)
	}
	if c.Target != "" {
		b = appendStringField(b, keyTarget, c.Target)
	}
	return appendIntField(b, keyAttempts, int64(c.Attempts.Load()))
}

func appendFailure(b []byte, c *call.Call) []byte {
	if c.Code == codes.DeadlineExceeded && c.Timeout > 0 {
		b = appendIntField(b, keyTimeout, int64(c.Timeout/time.Nanosecond))
		b = appendStringField(b, keySource, c.TimeoutSource)
	}
	if c.Failure == nil {
		return b
	}
	if reason := errs.Reason(c.Failure); reason != "" {
		b = appendStringField(b, keyErrorType, reason)
	}
	return appendStringField(b, keyError, cut(c.Failure.Error(), maxError))
}
