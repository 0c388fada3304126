// Package validate checks requests against the protovalidate rules in their
// .proto (https://protovalidate.com) and answers INVALID_ARGUMENT, reason
// INVALID_REQUEST, with a BadRequest that holds each violation: the field's path
// as in the .proto ("user.email", "users[2].name", `labels["team"]`), the rule's
// ID as the reason ("string.email") and what would be right as the description.
//
// Messages without rules, themselves and in all that they contain, cost one
// look-up and no allocation. Content of google.protobuf.Any is not looked into.
package validate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/errs"
)

// Validator checks messages. It is safe for concurrent use; one per process is
// enough, since it keeps the compiled rules of every message type it has met.
type Validator struct {
	rules  protovalidate.Validator
	known  sync.Map // protoreflect.MessageDescriptor -> bool: has rules
	checks func(msg proto.Message) error
}

// Option changes what a Validator checks.
type Option interface{ apply(*Validator) }

type optionFunc func(*Validator)

func (f optionFunc) apply(v *Validator) { f(v) }

// WithChecks tells what is wrong with a message that no rule says, as an
// [*errs.Error] with field violations. It is asked only about messages that break
// rules, so that callers hear of both in one answer; what keeps the rules is for
// the handler to check. Of a field that a rule names, only the rule is told.
func WithChecks(f func(msg proto.Message) error) Option {
	return optionFunc(func(v *Validator) { v.checks = f })
}

// New returns a Validator. Rules are compiled when a message type is first met
// (some milliseconds), or by [Validator.Prepare].
func New(opts ...Option) (*Validator, error) {
	rules, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("make the environment for validation rules: %w", err)
	}
	v := &Validator{rules: rules, checks: func(proto.Message) error { return nil }}
	for _, o := range opts {
		o.apply(v)
	}
	return v, nil
}

// Prepare compiles the rules of message types and of all that they contain, and
// reports every rule that does not compile. Without it such a rule shows at the
// first call, as INTERNAL.
func (v *Validator) Prepare(messages ...protoreflect.MessageDescriptor) error {
	seen := map[protoreflect.MessageDescriptor]bool{}
	var faults []error
	for _, m := range messages {
		contents(m, seen)
		v.has(m)
	}
	for m := range seen {
		var broken *protovalidate.CompilationError
		if err := v.rules.Validate(dynamicpb.NewMessage(m)); errors.As(err, &broken) {
			faults = append(faults, fmt.Errorf("compile the validation rules of %s: %w", m.FullName(), err))
		}
	}
	return errors.Join(faults...)
}

// Check returns nil, or what is wrong with a message as an [*errs.Error]. A rule
// that does not compile or cannot be evaluated is an error of another kind,
// which leaves as INTERNAL. A nil message is right.
func (v *Validator) Check(msg proto.Message) error {
	if msg == nil || !v.has(msg.ProtoReflect().Descriptor()) {
		return nil
	}
	err := v.rules.Validate(msg)
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("validate %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}
	return badRequest(invalid.Violations, errs.From(v.checks(msg)))
}

// badRequest says all that is wrong: the violations of rules, and more.
func badRequest(violations []*protovalidate.Violation, more *errs.Error) error {
	var details []errs.Detail
	first, named := "", map[string]bool{}
	add := func(path, reason, what string) {
		details = append(details, errs.Field(path, reason, what))
		named[path] = true
		if len(details) > 1 {
			return
		}
		if first = what; path != "" {
			first = path + ": " + what
		}
	}
	for _, violation := range violations {
		p := violation.Proto
		what := p.GetMessage()
		if what == "" {
			what = "breaks the rule " + p.GetRuleId()
		}
		if p.GetForKey() {
			what = "key: " + what
		}
		add(protovalidate.FieldPathString(p.GetField()), p.GetRuleId(), what)
	}
	ruled := maps.Clone(named)
	for _, f := range more.Fields() {
		if !ruled[f.GetField()] {
			add(f.GetField(), f.GetReason(), f.GetDescription())
		}
	}
	if n := len(details) - 1; n > 0 {
		return errs.InvalidArgument(errs.ReasonInvalidRequest, "the request is not valid: %s (and %d more)", first, n).With(details...)
	}
	return errs.InvalidArgument(errs.ReasonInvalidRequest, "the request is not valid: %s", first).With(details...)
}

// has tells whether a message type, or anything in it, has rules.
func (v *Validator) has(d protoreflect.MessageDescriptor) bool {
	if known, ok := v.known.Load(d); ok {
		return known.(bool) //nolint:forcetypeassert // nothing else is stored
	}
	seen := map[protoreflect.MessageDescriptor]bool{}
	contents(d, seen)
	found := false
	for m := range seen {
		found = found || ruled(m)
	}
	v.known.Store(d, found)
	return found
}

// contents adds a message type and those of all its fields, at any depth.
func contents(d protoreflect.MessageDescriptor, seen map[protoreflect.MessageDescriptor]bool) {
	if d == nil || seen[d] {
		return
	}
	seen[d] = true
	for i := range d.Fields().Len() {
		contents(d.Fields().Get(i).Message(), seen) // of a map: its entry
	}
}

// ruled tells whether a message type itself carries rules. Rules that cannot be
// read count: protovalidate will say what is wrong with them.
func ruled(d protoreflect.MessageDescriptor) bool {
	if r, err := protovalidate.ResolveMessageRules(d); r != nil || err != nil {
		return true
	}
	for i := range d.Oneofs().Len() {
		if r, err := protovalidate.ResolveOneofRules(d.Oneofs().Get(i)); r != nil || err != nil {
			return true
		}
	}
	for i := range d.Fields().Len() {
		if r, err := protovalidate.ResolveFieldRules(d.Fields().Get(i)); r != nil || err != nil {
			return true
		}
	}
	return false
}

// UnaryServer returns an interceptor that checks each request. Requests that are
// no proto messages (raw frames) pass.
func UnaryServer(v *Validator) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if msg, ok := req.(proto.Message); ok {
			if err := v.Check(msg); err != nil {
				return nil, err
			}
		}
		return handler(ctx, req)
	}
}

// StreamServer returns an interceptor that checks each message a stream
// receives. What is not valid is the error of that RecvMsg: a handler that
// returns it ends the stream, one that does not may go on receiving, for the
// message is consumed.
func StreamServer(v *Validator) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, &stream{ServerStream: ss, validator: v})
	}
}

type stream struct {
	grpc.ServerStream
	validator *Validator
}

// RecvMsg receives a message and checks it.
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if msg, ok := m.(proto.Message); ok {
		return s.validator.Check(msg)
	}
	return nil
}
