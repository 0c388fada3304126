package rest

import (
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// entityTag is one of RFC 9110, 8.8.3. opaque is with its quotes.
type entityTag struct {
	weak   bool
	opaque string
}

// tagList is the value of If-Match or If-None-Match.
type tagList struct {
	any  bool // "*"
	tags []entityTag
}

// maxTags is how many tags a condition may have.
const maxTags = 16

// parseTags parses If-Match or If-None-Match. Tags without quotes are taken as
// if they had them: many clients forget.
func parseTags(lines []string) (l tagList, ok bool) {
	for _, line := range lines {
		for part := range splitList(line) {
			if part == "*" {
				l.any = true
				continue
			}
			tag, ok := parseTag(part)
			if !ok || len(l.tags) == maxTags {
				return tagList{}, false
			}
			l.tags = append(l.tags, tag)
		}
	}
	return l, l.any != (len(l.tags) > 0) // one of them, and not both
}

func parseTag(text string) (entityTag, bool) {
	t := entityTag{opaque: text}
	if after, weak := strings.CutPrefix(text, "W/"); weak {
		t = entityTag{true, after}
	}
	if !strings.HasPrefix(t.opaque, `"`) {
		t.opaque = `"` + t.opaque + `"`
	}
	inner := t.opaque[1:]
	if !strings.HasSuffix(inner, `"`) || len(inner) < 1 {
		return t, false
	}
	for i := range len(inner) - 1 { // etagc: no quote, no space, no control character
		if c := inner[i]; c <= ' ' || c == '"' || c == 0x7f {
			return t, false
		}
	}
	return t, true
}

// tagOf makes an entity tag of a field etag, which is one already or the text in
// one; ok is false when it cannot be one.
func tagOf(field string) (entityTag, bool) {
	if field == "" {
		return entityTag{}, false
	}
	return parseTag(field)
}

// String returns the tag as it stands in a header.
func (t entityTag) String() string {
	if t.weak {
		return "W/" + t.opaque
	}
	return t.opaque
}

// strong tells whether a condition holds by the strong comparison (RFC 9110,
// 8.8.3.2), which If-Match uses.
func (l tagList) strong(t entityTag) bool {
	for _, have := range l.tags {
		if !have.weak && !t.weak && have.opaque == t.opaque {
			return true
		}
	}
	return l.any
}

// weak tells the same by the weak comparison, which If-None-Match uses.
func (l tagList) weak(t entityTag) bool {
	for _, have := range l.tags {
		if have.opaque == t.opaque {
			return true
		}
	}
	return l.any
}

// conditions are the preconditions of a request.
type conditions struct {
	match, noneMatch       tagList
	hasMatch, hasNoneMatch bool
	// sent is set when If-Match became the etag of the request.
	sent bool
}

func parseConditions(h http.Header) (conditions, *fault) {
	var c conditions
	for _, one := range []struct {
		name string
		list *tagList
		has  *bool
	}{{"If-Match", &c.match, &c.hasMatch}, {"If-None-Match", &c.noneMatch, &c.hasNoneMatch}} {
		lines := h[one.name]
		if len(lines) == 0 {
			continue
		}
		list, ok := parseTags(lines)
		if !ok {
			return c, invalid(one.name, `is not "*" and not a list of at most 16 entity tags, such as "5kx0" with its quotes (RFC 9110, 8.8.3)`)
		}
		*one.list, *one.has = list, true
	}
	return c, nil
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// fillETag puts If-Match into the request's etag, so that the service compares
// and changes in one step.
func (r *route) fillETag(m protoreflect.Message, httpMethod string, c *conditions) *fault {
	if c.hasNoneMatch && !isRead(httpMethod) && !(c.noneMatch.any && r.creates) {
		return unsupported("If-None-Match", "cannot be checked by %s; creating never replaces what exists", r)
	}
	if !c.hasMatch || isRead(httpMethod) {
		return nil
	}
	if len(r.etags) == 0 {
		return unsupported("If-Match", "cannot be checked by %s: its request has no etag", r)
	}
	if c.match.any {
		fd := r.in.Descriptor().Fields().ByName("allow_missing")
		if fd != nil && fd.Kind() == protoreflect.BoolKind && !fd.IsList() && m.Get(fd).Bool() {
			return invalid("allow_missing", `and If-Match: * exclude each other: one takes what does not exist, the other does not`)
		}
		return nil
	}
	tag, ok := c.match.firstStrong()
	if !ok {
		return mismatch("If-Match has only weak tags, which never match for a change (RFC 9110, 13.1.1)")
	}
	path := r.etags[0]
	holder := path.message(m)
	if have := holder.Get(path.leaf()).String(); have != "" {
		if given, ok := tagOf(have); !ok || !c.match.strong(given) {
			return invalid(path.String(), "and If-Match name different etags; send one of them")
		}
		tag = have
	}
	holder.Set(path.leaf(), protoreflect.ValueOfString(tag))
	c.sent = true
	return nil
}

func (l tagList) firstStrong() (string, bool) {
	for _, t := range l.tags {
		if !t.weak {
			return t.opaque, true
		}
	}
	return "", false
}

func unsupported(header, format string, r *route) *fault {
	e := errs.InvalidArgument(ReasonPreconditionUnsupported, header+" "+format, r)
	return wrong(e.With(errs.Field(header, ReasonPreconditionUnsupported, e.Message())))
}

func mismatch(why string) *fault {
	return &fault{http: http.StatusPreconditionFailed, err: errs.Aborted(ReasonETagMismatch, "%s", why)}
}

// again tells whether a call that failed by its etag is to be made once more:
// when the etag is another one of If-Match, or the same written without quotes.
// It puts that into the request.
func (r *route) again(m protoreflect.Message, c *conditions, st *status.Status) bool {
	if !c.sent || st.Code() != codes.Aborted {
		return false
	}
	info := errorInfo(st)
	current := info.GetMetadata()["current_etag"]
	if info.GetReason() != ReasonETagMismatch || current == "" {
		return false
	}
	tag, ok := tagOf(current)
	path := r.etags[0]
	holder := path.message(m)
	if !ok || !c.match.strong(tag) || holder.Get(path.leaf()).String() == current {
		return false
	}
	holder.Set(path.leaf(), protoreflect.ValueOfString(current))
	return true
}

// errorInfo returns the ErrorInfo of a status, or nil.
func errorInfo(st *status.Status) *errdetails.ErrorInfo {
	for _, a := range st.Proto().GetDetails() {
		info := &errdetails.ErrorInfo{}
		if a.MessageIs(info) && a.UnmarshalTo(info) == nil {
			return info
		}
	}
	return nil
}
