package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/inproc"
	"github.com/keelson-dev/keelson/errs"
)

// linger is how long the rest of an upload is read and dropped when the call has
// ended before it: a client of HTTP/1.1 whose upload is cut off loses the answer.
const linger = 2 * time.Second

// upload is a call whose client streams: lines in, lines out, both as they come.
type upload struct {
	x      *exchange
	s      *inproc.Stream
	out    sink // nil: HttpBody
	rc     *http.ResponseController
	cancel context.CancelFunc
	sent   chan struct{} // closed when the body is not read any more

	until atomic.Int64 // when reading the body ends, in Unix nanoseconds; 0: not yet
	taken int          // messages that the service has, of the goroutine that sends
	idle  *idle        // nil: nothing bounds a pause

	mu    sync.Mutex
	fault *fault      // of the body; it ends the call
	late  *time.Timer // cancels a call that does not end after a fault
}

// upload makes the call of a method whose client streams.
func (x *exchange) upload(c *inproc.Call) {
	u := &upload{x: x, rc: http.NewResponseController(x.w)}
	switch t := x.accept.best(typeNDJSON, typeJSONL); {
	case x.route.answersHTTPBody():
	case t == "":
		x.fail(notAcceptable(typeNDJSON))
		return
	default:
		u.out = &lineSink{x, t}
	}
	send, f := u.sender()
	if f != nil {
		x.fail(f)
		return
	}
	// Without it HTTP/1.1 reads no more of a request once the answer has begun;
	// HTTP/2 is so anyway, and says it does not know the word.
	_ = u.rc.EnableFullDuplex()
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer cancel()
	u.cancel, u.s = cancel, c.Open(ctx)
	u.sent = make(chan struct{})
	defer u.follow(x.r.Context())()
	u.watch()
	go func() {
		defer close(u.sent)
		send()
	}()
	if u.out == nil {
		x.relayHTTPBody(u.s, func() (*status.Status, int) { return u.status(nil) })
	} else {
		u.relay(ctx)
	}
	u.idle.stop()
	u.s.Close()
	u.finish()
}

// finish waits for the goroutine that reads the body; it may be within a read.
func (u *upload) finish() {
	wait := linger
	if u.x.r.ProtoMajor != 1 || u.x.r.Context().Err() != nil {
		wait = 0 // others can be told to stop without losing the answer
	}
	u.mu.Lock()
	if u.late != nil {
		u.late.Stop()
	}
	u.mu.Unlock()
	u.until.Store(time.Now().Add(wait).UnixNano())
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-u.sent:
		return
	case <-timer.C:
	}
	if u.rc.SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = u.x.r.Body.Close()
	}
	<-u.sent
}

// drop reads the rest of a body and drops it, until the time that finish sets.
func (u *upload) drop(body io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		if until := u.until.Load(); until != 0 && time.Now().UnixNano() >= until {
			return
		}
		if _, err := body.Read(buffer); err != nil {
			return
		}
	}
}

// sender checks the header of the request and returns what reads its body and
// sends it on.
func (u *upload) sender() (func(), *fault) {
	x := u.x
	body, f := x.bodyOf()
	if f != nil {
		return nil, f
	}
	base := x.route.in.New() // what the path and the query say, for every message
	bad := x.route.fillURL(base, x.raw, x.r.URL.RawQuery)
	if f := bad.fault(); f != nil {
		return nil, f
	}
	if f := x.route.fillETag(base, x.r.Method, &x.cond); f != nil {
		return nil, f
	}
	if x.route.takesHTTPBody() {
		return func() { u.end(u.sendChunks(body, base)) }, nil
	}
	if f := x.checkType(typeNDJSON, typeJSONL, "application/ndjson"); f != nil {
		return nil, f
	}
	return func() { u.end(u.sendLines(body)) }, nil
}

// errEnded is no fault: the call ended before its upload.
var errEnded = &fault{}

// sendLines sends each line as a message.
func (u *upload) sendLines(body io.Reader) *fault {
	lines := newLineReader(u.idle.during(body), u.x.rt.config.MaxRequest)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return u.lineFault(lines.number, err)
		}
		raw, f := u.message(document{raw: line, line: lines.number})
		if f != nil {
			return u.atLine(lines.number, f)
		}
		if u.s.Send(raw) != nil {
			return errEnded
		}
		u.taken++
	}
}

// message makes a message of a line.
func (u *upload) message(line document) ([]byte, *fault) {
	x := u.x
	m := x.route.in.New()
	bad := x.route.decode.body(m, x.route.bodyField, line)
	bad.join(x.route.fillURL(m, x.raw, x.r.URL.RawQuery))
	if bad.count == 0 {
		bad = x.route.missing(m)
	}
	if f := bad.fault(); f != nil {
		return nil, f
	}
	return x.marshal(m)
}

func (u *upload) lineFault(number int, err error) *fault {
	if errors.Is(err, errLineTooLong) {
		return u.atLine(number, tooLarge(u.x.rt.config.MaxRequest, "the line has more than %d bytes, counted after decompression; split it"))
	}
	return u.atLine(number, u.x.unreadable(err))
}

// atLine says at which line a fault is, once, and what became of those before it.
func (u *upload) atLine(number int, f *fault) *fault {
	e := errs.From(f.err)
	where, before := "", ""
	if !f.placed {
		where = "line " + strconv.Itoa(number) + ": "
	}
	switch u.taken {
	case 0:
	case 1:
		before = "; one line before it was taken, and may have had its effect"
	default:
		before = "; " + strconv.Itoa(u.taken) + " lines before it were taken, and may have had their effect"
	}
	at := errs.New(e.Code(), e.Reason(), "%s%s%s", where, e.Message(), before).With(errs.Cause(e))
	for k, v := range e.Metadata() {
		at = at.With(errs.Meta(k, v))
	}
	for _, v := range e.Fields() {
		at = at.With(errs.Field(v.GetField(), v.GetReason(), v.GetDescription()))
	}
	return &fault{http: f.http, err: at.With(errs.Meta("line", strconv.Itoa(number)), errs.Meta("taken", strconv.Itoa(u.taken)))}
}

// sendChunks sends a body that is no JSON, in pieces.
func (u *upload) sendChunks(body io.Reader, base protoreflect.Message) *fault {
	const size = 64 << 10
	buffer, from := make([]byte, size), u.idle.during(body)
	contentType := u.x.r.Header.Get("Content-Type")
	for m, first := base, true; ; m, first, contentType = u.x.route.in.New(), false, "" {
		n, err := from.Read(buffer)
		if n > 0 || first {
			setHTTPBody(httpBodyIn(m, u.x.route.bodyField), contentType, buffer[:n])
			raw, f := u.x.marshal(m)
			if f != nil {
				return f
			}
			if u.s.Send(raw) != nil {
				return errEnded
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return u.x.unreadable(err)
		}
	}
}

// relay writes results as they come.
func (u *upload) relay(ctx context.Context) {
	results := newBacklog(u.x.rt.config.MaxBuffered)
	var broken *fault // of a result
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer results.close()
		for {
			raw, err := u.s.Recv()
			if err != nil {
				return
			}
			var line []byte
			if line, broken = u.x.encodeMessage(u.out, raw); broken != nil {
				u.s.Cancel()
				return
			}
			if !results.put(ctx, line) {
				return
			}
		}
	}()
	w := u.write(results)
	<-received
	u.s.Cancel() // after a broken result or a client that is gone; else it has ended
	st, code := u.status(broken)
	switch {
	case w != nil:
		w.end(st)
	case st.Code() != codes.OK:
		u.x.refuse(u.s, st, code)
		_ = u.rc.Flush() // the upload may go on
	default:
		u.x.open(u.s, u.out).end(st)
	}
}

// write writes results until there are no more. It returns nil when there were
// none.
func (u *upload) write(results *backlog) *streamWriter {
	var w *streamWriter
	for {
		lines, ok := results.take()
		if !ok {
			return w
		}
		if w == nil {
			w = u.x.open(u.s, u.out)
		}
		for _, line := range lines {
			if !w.write(line) {
				u.cancel() // the client is gone
				return w
			}
			results.written(len(line))
			u.idle.touch()
		}
	}
}

// status returns how the upload ended: by the first cause that is known. The end of
// the request is none: net/http ends it, too, when a body of HTTP/1.1 breaks off or
// does not come, and then its reader knows why.
func (u *upload) status(broken *fault) (*status.Status, int) {
	gone := u.x.r.Context().Err()
	if gone != nil {
		u.finish()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range []*fault{broken, u.fault} {
		if f != nil && f != errEnded {
			return u.x.status(f), f.http
		}
	}
	if gone != nil {
		return u.x.gone(), 0
	}
	return u.ofCall(), 0
}

// ofCall returns the status of the call. A server that waits for a message when the
// deadline passes says so in gRPC's name and not in the service's: without a reason.
func (u *upload) ofCall() *status.Status {
	st := u.s.Status()
	select {
	case <-u.sent:
		return st
	default:
	}
	if st.Code() == codes.DeadlineExceeded && len(st.Proto().GetDetails()) == 0 {
		return u.x.status(&fault{err: context.DeadlineExceeded})
	}
	return st
}
