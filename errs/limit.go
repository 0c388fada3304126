package errs

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// MaxStatusSize is the most bytes that a marshaled google.rpc.Status has when
// it leaves: message, metadata and details together. It travels in one trailer,
// base64-encoded, beside the message percent-encoded; larger ones run into the
// peer's header list limit (16 KiB here), where a call hangs or is reset
// instead of failing with its status.
const MaxStatusSize = 4096

// What a status is cut down to when it is too large. The parts that survive
// everything sum up to less than MaxStatusSize.
const (
	maxEncodedMessage = 2 * MaxStatusSize // percent-encoded in grpc-message, in bytes
	maxReason         = 63                // AIP-193
	shortMessage      = 1024
	shortDomain       = 253
	shortMetadata     = 1536
	shortText         = 256 // of one violation
)

// proto returns the error as a google.rpc.Status under the cap.
func (e *Error) proto() *spb.Status {
	p := e.assemble()
	if fits(p) {
		return p
	}
	return e.shorten()
}

func (e *Error) assemble() *spb.Status {
	p := &spb.Status{Code: int32(e.code), Message: e.message} //nolint:gosec // the same 32 bits
	for _, m := range e.details() {
		if a := pack(m); a != nil {
			p.Details = append(p.Details, a)
		}
	}
	p.Details = append(p.Details, e.extra...)
	return p
}

// details returns the standard details in their order, most important first.
func (e *Error) details() []proto.Message {
	var all []proto.Message
	if e.reason != "" || e.domain != "" || len(e.meta) > 0 {
		all = append(all, &errdetails.ErrorInfo{Reason: e.reason, Domain: e.domain, Metadata: maps.Clone(e.meta)})
	}
	if e.request != nil {
		all = append(all, proto.CloneOf(e.request))
	}
	if e.hasRetry {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.retry)})
	}
	if len(e.fields) > 0 {
		all = append(all, &errdetails.BadRequest{FieldViolations: clones(e.fields)})
	}
	if len(e.precond) > 0 {
		all = append(all, &errdetails.PreconditionFailure{Violations: clones(e.precond)})
	}
	if len(e.quota) > 0 {
		all = append(all, &errdetails.QuotaFailure{Violations: clones(e.quota)})
	}
	if e.resource != nil {
		all = append(all, proto.CloneOf(e.resource))
	}
	return all
}

// fits reports whether a status may leave: by its size, and by that of the
// message once percent-encoded.
func fits(p *spb.Status) bool {
	return proto.Size(p) <= MaxStatusSize && encodedLen(p.GetMessage()) <= maxEncodedMessage
}

// encodedLen is the length of a message in the grpc-message trailer (gRPC over
// HTTP/2, Percent-Encoded).
func encodedLen(s string) int {
	n := 0
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			n++
			continue
		}
		n += 3
	}
	return n
}

// shorten builds the largest status that fits, in this order: a message cut to
// shortMessage, ErrorInfo with as much metadata as fits shortMetadata,
// RequestInfo, RetryInfo; then violations, from the first on, ResourceInfo and
// other details, as long as there is room.
func (e *Error) shorten() *spb.Status {
	lost := &losses{}
	core := e.core(lost)
	core.meta[MetaTruncated] = allLosses
	p := core.assemble() // with the longest marker, so that the real one fits as well
	rest := []*anypb.Any{
		prefix(p, lost, e.fields, func(v []*errdetails.BadRequest_FieldViolation) proto.Message {
			return &errdetails.BadRequest{FieldViolations: v}
		}),
		prefix(p, lost, e.precond, func(v []*errdetails.PreconditionFailure_Violation) proto.Message {
			return &errdetails.PreconditionFailure{Violations: v}
		}),
		prefix(p, lost, e.quota, func(v []*errdetails.QuotaFailure_Violation) proto.Message {
			return &errdetails.QuotaFailure{Violations: v}
		}),
	}
	if e.resource != nil {
		rest = append(rest, whole(p, lost, pack(e.resource)))
	}
	for _, a := range e.extra {
		rest = append(rest, whole(p, lost, a))
	}
	core.meta[MetaTruncated] = lost.String()
	p = core.assemble()
	p.Details = append(p.Details, slices.DeleteFunc(rest, func(a *anypb.Any) bool { return a == nil })...)
	return p
}

// core returns what survives in any case, cut to its size.
func (e *Error) core(lost *losses) *Error {
	c := &Error{
		code: e.code, reason: cut(e.reason, maxReason), domain: cut(e.domain, shortDomain), message: cut(e.message, shortMessage),
		retry: e.retry, hasRetry: e.hasRetry, meta: map[string]string{},
	}
	lost.message = len(c.message) < len(e.message)
	if e.request != nil {
		c.request = &errdetails.RequestInfo{RequestId: cut(e.request.GetRequestId(), maxRequestID)}
		lost.details = !proto.Equal(c.request, e.request)
	}
	lost.metadata = c.reason != e.reason || c.domain != e.domain
	room := shortMetadata
	for _, k := range metaOrder(e.meta) {
		if n := len(k) + len(e.meta[k]) + 8; n <= room { // 8: tags and lengths of the entry
			c.meta[k], room = e.meta[k], room-n
			continue
		}
		lost.metadata = true
	}
	return c
}

// metaOrder returns the keys in the order of their worth: the resume token
// first, since without it a stream cannot go on, then by name.
func metaOrder(meta map[string]string) []string {
	keys := slices.Sorted(maps.Keys(meta))
	sort.SliceStable(keys, func(i, j int) bool { return keys[i] == MetaResumeToken && keys[j] != MetaResumeToken })
	return slices.DeleteFunc(keys, func(k string) bool { return k == MetaTruncated })
}

// prefix packs as many violations, from the first on, as there is room for in
// p, and adds them to it.
func prefix[V violation](p *spb.Status, lost *losses, all []V, detail func([]V) proto.Message) *anypb.Any {
	short := make([]V, len(all))
	for i, v := range all {
		short[i] = shortViolation(v, lost)
	}
	n := sort.Search(len(short), func(i int) bool { return !fitsWith(p, pack(detail(short[:i+1]))) })
	if n < len(all) {
		lost.violations = true
	}
	if n == 0 {
		return nil
	}
	a := pack(detail(short[:n]))
	p.Details = append(p.Details, a)
	return a
}

type violation interface {
	proto.Message
	GetDescription() string
}

// shortViolation returns v with a description of at most shortText bytes.
func shortViolation[V violation](v V, lost *losses) V {
	if len(v.GetDescription()) <= shortText {
		return v
	}
	lost.violations = true
	c := proto.CloneOf(v)
	r := c.ProtoReflect()
	fd := r.Descriptor().Fields().ByName("description")
	r.Set(fd, protoreflect.ValueOfString(cut(v.GetDescription(), shortText)))
	return c
}

// whole adds a detail to p if there is room.
func whole(p *spb.Status, lost *losses, a *anypb.Any) *anypb.Any {
	if a == nil || !fitsWith(p, a) {
		lost.details = true
		return nil
	}
	p.Details = append(p.Details, a)
	return a
}

func fitsWith(p *spb.Status, a *anypb.Any) bool {
	return proto.Size(p)+proto.Size(&spb.Status{Details: []*anypb.Any{a}}) <= MaxStatusSize
}

// losses is what the marker says.
type losses struct{ message, metadata, violations, details bool }

const allLosses = "message,metadata,violations,details"

func (l *losses) String() string {
	var words []string
	for i, lost := range []bool{l.message, l.metadata, l.violations, l.details} {
		if lost {
			words = append(words, strings.Split(allLosses, ",")[i])
		}
	}
	return strings.Join(words, ",")
}

// valid returns s as valid UTF-8, which is what protobuf strings must be.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// cut returns at most n bytes of s, cut between two runes, with an ellipsis if
// there is room for one.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const ellipsis = "\u2026"
	end := max(n-len(ellipsis), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
