package rest

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/inproc"
	"github.com/keelson-dev/keelson/errs"
)

// timeoutHeader is how long a call may take, in seconds, as Google's interfaces
// have it.
const timeoutHeader = "X-Server-Timeout"

// serve answers a request that has a route.
func (x *exchange) serve() {
	var f *fault
	if x.cond, f = parseConditions(x.r.Header); f != nil {
		x.fail(f)
		return
	}
	c, f := x.call()
	if f != nil {
		x.fail(f)
		return
	}
	switch {
	case x.route.streamsIn():
		x.upload(c)
	case x.route.streamsOut():
		x.stream(c)
	default:
		x.unary(c)
	}
}

// call returns the call that the request makes.
func (x *exchange) call() (*inproc.Call, *fault) {
	c := &inproc.Call{
		Handler: x.rt.config.Handler, Method: x.route.procedure, Header: x.rt.metadata(x.r, x.id),
		Host: x.r.Host, RemoteAddr: x.r.RemoteAddr, TLS: x.r.TLS,
	}
	text := x.r.Header.Get(timeoutHeader)
	if text == "" {
		return c, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0) {
		return nil, invalid(timeoutHeader, "is "+quoted(text)+", it must be seconds, more than 0, such as 2.5")
	}
	c.Timeout = time.Duration(min(seconds*float64(time.Second), math.MaxInt64/2))
	return c, nil
}

// request makes the request message of all but client streams.
func (x *exchange) request() (protoreflect.Message, *fault) {
	m := x.route.in.New()
	raw, bad, f := x.fillBody(m)
	if f != nil {
		return nil, f
	}
	bad.join(x.route.fillURL(m, x.raw, x.r.URL.RawQuery))
	if f := bad.fault(); f != nil {
		return nil, f
	}
	if f := x.route.fillETag(m, x.r.Method, &x.cond); f != nil {
		return nil, f
	}
	x.route.fillMask(m, raw)
	bad = x.route.missing(m)
	return m, bad.fault()
}

// fillBody reads the body into the message and returns it, and what is wrong with
// its fields. A fault is what keeps it from being read.
func (x *exchange) fillBody(m protoreflect.Message) ([]byte, violations, *fault) {
	if !x.route.hasBody {
		return nil, violations{}, x.noBody()
	}
	if holder := httpBodyIn(m, x.route.bodyField); holder != nil {
		raw, f := x.readAll()
		if f == nil {
			setHTTPBody(holder, x.r.Header.Get("Content-Type"), raw)
		}
		return nil, violations{}, f
	}
	if f := x.checkType(typeJSON); f != nil {
		return nil, violations{}, f
	}
	raw, f := x.readAll()
	if f != nil {
		return nil, violations{}, f
	}
	raw = withoutMark(raw)
	return raw, x.route.decode.body(m, x.route.bodyField, document{raw: raw, line: 1}), nil
}

// unary makes a call and answers with what it answers.
func (x *exchange) unary(c *inproc.Call) {
	if !x.route.answersHTTPBody() && !x.accept.takesJSON() {
		x.fail(notAcceptable(typeJSON))
		return
	}
	m, f := x.request()
	if f != nil {
		x.fail(f)
		return
	}
	reply, f := x.invoke(c, m)
	if f != nil {
		x.fail(f)
		return
	}
	x.rt.copyHeaders(x.w.Header(), reply.Header, reply.Trailer)
	x.correlate(reply.Trailer)
	if reply.Status.Code() != codes.OK {
		x.failWith(reply.Status, 0)
		return
	}
	out, err := x.route.parse(reply.Message)
	if err != nil {
		x.fail(broken("the answer does not parse as %s", x.route.method.Output().FullName(), err))
		return
	}
	x.answer(m, out)
}

// invoke makes the call, again if another etag of If-Match is the current one.
func (x *exchange) invoke(c *inproc.Call, m protoreflect.Message) (*inproc.Reply, *fault) {
	const attempts = 3
	for n := 1; ; n++ {
		raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m.Interface())
		if err != nil {
			return nil, broken("the request cannot be sent as %s", x.route.method.Input().FullName(), err)
		}
		reply := c.Unary(x.r.Context(), raw)
		if n == attempts || !x.route.again(m, &x.cond, reply.Status) {
			return reply, nil
		}
	}
}

func broken(format string, name protoreflect.FullName, err error) *fault {
	return wrong(errs.Internal(errs.ReasonInternal, format, name).With(errs.Cause(err)))
}

func notAcceptable(offers string) *fault {
	return &fault{
		http: http.StatusNotAcceptable,
		err:  errs.InvalidArgument(ReasonNotAcceptable, "nothing that Accept names can be answered; take %s", offers).With(errs.Meta("offers", offers)),
	}
}

// answer writes the answer of a unary call.
func (x *exchange) answer(in, out protoreflect.Message) {
	h := x.w.Header()
	var tag entityTag
	if fd := x.route.etag; fd != nil {
		if t, ok := tagOf(out.Get(fd.leaf()).String()); ok {
			tag = t
			h.Set("Etag", tag.String())
		}
	}
	if x.conditional(tag) {
		return
	}
	code := http.StatusOK
	if x.route.creates && !validatesOnly(in) {
		code = http.StatusCreated
		if location, ok := x.route.locationOf(out); ok {
			h.Set("Location", location)
		}
	}
	body, contentType, err := x.route.body(out)
	if err != nil {
		x.fail(broken("the answer %s has no JSON form", x.route.method.Output().FullName(), err))
		return
	}
	h.Set("Content-Type", contentType)
	x.write(code, body)
}

// conditional answers a read whose condition does not hold (RFC 9110, 13.2.2). What
// has no tag matches none.
func (x *exchange) conditional(tag entityTag) bool {
	switch {
	case !isRead(x.r.Method):
	case x.cond.hasMatch && !x.cond.match.strong(tag):
		x.fail(mismatch("the resource is at another etag than If-Match names"))
		return true
	case x.cond.hasNoneMatch && tag.opaque != "" && x.cond.noneMatch.weak(tag):
		x.w.Header().Set(correlationHeader, x.id)
		x.w.WriteHeader(http.StatusNotModified)
		return true
	}
	return false
}

// body returns what the answer is over HTTP.
func (r *route) body(out protoreflect.Message) (body []byte, contentType string, err error) {
	if holder := httpBodyOut(out, r.response); holder != nil {
		contentType, body = getHTTPBody(holder)
		return body, contentType, nil
	}
	if r.response != nil {
		body, err = r.encode.field(out, r.response)
	} else {
		body, err = r.encode.message(out.Interface())
	}
	return body, typeJSON, err
}

// parse reads a message of the service. One that lacks a field that must be there is
// shown as it is: the service's clients over gRPC have it so too.
func (r *route) parse(raw []byte) (protoreflect.Message, error) {
	m := r.out.New()
	err := proto.UnmarshalOptions{Resolver: r.encode.types, AllowPartial: true}.Unmarshal(raw, m.Interface())
	return m, err //nolint:wrapcheck // callers say what it was
}

// validatesOnly tells whether a request asked for the checks alone (AIP-163).
func validatesOnly(in protoreflect.Message) bool {
	fd := in.Descriptor().Fields().ByName("validate_only")
	return fd != nil && fd.Kind() == protoreflect.BoolKind && !fd.IsList() && in.Get(fd).Bool()
}

// locationOf returns the path of a created resource.
func (r *route) locationOf(out protoreflect.Message) (string, bool) {
	fd := out.Descriptor().Fields().ByName("name")
	if r.location == nil || fd == nil || fd.Kind() != protoreflect.StringKind || fd.IsList() {
		return "", false
	}
	return r.location.template.expand([]string{out.Get(fd).String()})
}
