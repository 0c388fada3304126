package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// anyVerb is the kind of a custom rule that takes every HTTP method.
const anyVerb = "*"

// everything is the body of a rule that takes the whole message.
const everything = "*"

// route is one rule of one method, compiled.
type route struct {
	verb      string
	template  *template
	method    protoreflect.MethodDescriptor
	procedure string
	in, out   protoreflect.MessageType
	decode    decoder
	encode    encoder

	variables []fieldPath // of the template's variables, in their order
	hasBody   bool
	bodyField protoreflect.FieldDescriptor // nil: the whole message, or no body
	response  protoreflect.FieldDescriptor // nil: the whole message
	bound     map[string]bool              // proto paths that the path or the body binds

	etags    []fieldPath // where If-Match goes
	etag     fieldPath   // where ETag comes from; nil: there is none
	mask     protoreflect.FieldDescriptor
	resume   *resume
	idles    bool // the .proto says how long a stream may be idle
	demands  bool // the request, or a message within it, has fields that must be there
	creates  bool
	location *route // the rule that reads what this one creates
}

// options returns the http rule of a method and its additional bindings.
func options(md protoreflect.MethodDescriptor) ([]*annotations.HttpRule, error) {
	rule := &annotations.HttpRule{}
	if found, err := extension(md.Options(), annotations.E_Http, rule); err != nil || !found {
		return nil, err
	}
	rules := []*annotations.HttpRule{rule}
	for _, more := range rule.GetAdditionalBindings() {
		if len(more.GetAdditionalBindings()) > 0 {
			return nil, errors.New("additional_bindings within additional_bindings; http.proto allows one level")
		}
		rules = append(rules, more)
	}
	return rules, nil
}

// extension reads a message that extends options, also when their file was
// parsed without knowing it (it is among the unknown fields then) or with a type
// made at run time.
func extension(opts proto.Message, ext protoreflect.ExtensionType, into proto.Message) (found bool, err error) {
	if opts == nil || !opts.ProtoReflect().IsValid() {
		return false, nil
	}
	if !proto.HasExtension(opts, ext) {
		raw, err := proto.Marshal(opts)
		if err != nil {
			return false, fmt.Errorf("read the method's options: %w", err)
		}
		opts = opts.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(raw, opts); err != nil {
			return false, fmt.Errorf("read the method's options: %w", err)
		}
		if !proto.HasExtension(opts, ext) {
			return false, nil
		}
	}
	raw, err := proto.Marshal(opts.ProtoReflect().Get(ext.TypeDescriptor()).Message().Interface())
	if err == nil {
		err = proto.Unmarshal(raw, into)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", ext.TypeDescriptor().FullName(), err)
	}
	return true, nil
}

// pattern returns the HTTP method and the path of a rule.
func pattern(rule *annotations.HttpRule) (verb, path string, err error) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get, nil
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put, nil
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post, nil
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete, nil
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch, nil
	case *annotations.HttpRule_Custom:
		kind := p.Custom.GetKind()
		if kind != anyVerb && (kind == "" || strings.ContainsFunc(kind, func(r rune) bool { return r < 'A' || r > 'Z' })) {
			return "", "", fmt.Errorf("the kind %q of a custom rule is no HTTP method in capitals, and not \"*\"", kind)
		}
		return kind, p.Custom.GetPath(), nil
	}
	return "", "", errors.New("the rule names no HTTP method; one of get, put, post, delete, patch and custom must be set")
}

// newRoute compiles one rule.
func newRoute(md protoreflect.MethodDescriptor, rule *annotations.HttpRule) (*route, error) {
	verb, path, err := pattern(rule)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(path)
	if err != nil {
		return nil, err
	}
	r := &route{
		verb: verb, template: t, method: md,
		procedure: "/" + string(md.Parent().FullName()) + "/" + string(md.Name()),
		in:        typeOf(md.Input()), out: typeOf(md.Output()),
		bound: map[string]bool{},
	}
	if err := errors.Join(r.bindPath(), r.bindBody(rule.GetBody()), r.bindResponse(rule.GetResponseBody())); err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, path, err)
	}
	if err := r.bindPolicy(); err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, path, err)
	}
	r.bindETags()
	r.bindMask()
	r.demands = demands(md.Input(), map[protoreflect.FullName]bool{})
	r.creates = verb == http.MethodPost && !r.streamsIn() && !r.streamsOut() &&
		strings.HasPrefix(string(md.Name()), "Create") && md.Output().FullName() != operationName
	return r, nil
}

func (r *route) streamsIn() bool  { return r.method.IsStreamingClient() }
func (r *route) streamsOut() bool { return r.method.IsStreamingServer() }

// bindPath finds the fields of the template's variables.
func (r *route) bindPath() error {
	for _, v := range r.template.variables {
		path, err := resolve(r.in.Descriptor(), v.path)
		if err != nil {
			return fmt.Errorf("variable: %w", err)
		}
		if fd := path.leaf(); fd.IsList() || fd.Message() != nil {
			return fmt.Errorf("variable %q: a path can hold one scalar, the field is repeated or a message", v.path)
		}
		r.variables = append(r.variables, path)
		r.bound[path.String()] = true
	}
	return nil
}

func (r *route) bindBody(body string) error {
	switch body {
	case "":
		if r.streamsIn() {
			return errors.New(`a method whose client streams needs a body, such as "*"`)
		}
		return nil
	case everything:
		r.hasBody = true
		return nil
	}
	fd := r.in.Descriptor().Fields().ByName(protoreflect.Name(body))
	if fd == nil {
		return fmt.Errorf("body: %s has no field %q%s", r.in.Descriptor().FullName(), body, suggest(body, fieldNames(r.in.Descriptor())))
	}
	r.hasBody, r.bodyField = true, fd
	r.bound[body] = true
	return nil
}

func (r *route) bindResponse(field string) error {
	if field == "" {
		return nil
	}
	out := r.out.Descriptor()
	if r.response = out.Fields().ByName(protoreflect.Name(field)); r.response == nil {
		return fmt.Errorf("response_body: %s has no field %q%s", out.FullName(), field, suggest(field, fieldNames(out)))
	}
	return nil
}

// bindETags finds the fields named etag: of the request, or of the resource in
// its body, and of the answer.
func (r *route) bindETags() {
	if r.streamsIn() {
		return
	}
	if fd := etagField(r.in.Descriptor()); fd != nil {
		r.etags = append(r.etags, fieldPath{fd})
	}
	if fd := r.resourceField(); fd != nil {
		if inner := etagField(fd.Message()); inner != nil {
			r.etags = append(r.etags, fieldPath{fd, inner})
		}
	}
	if r.streamsOut() || r.response != nil {
		return
	}
	if fd := etagField(r.out.Descriptor()); fd != nil {
		r.etag = fieldPath{fd}
	}
}

// resourceField returns the field of the request that holds the resource.
func (r *route) resourceField() protoreflect.FieldDescriptor {
	fd := r.bodyField
	if fd == nil || fd.Message() == nil || fd.IsList() || fd.IsMap() || isOneValue(fd.Message()) {
		return nil
	}
	return fd
}

func etagField(md protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	fd := md.Fields().ByName("etag")
	if fd == nil || fd.Kind() != protoreflect.StringKind || fd.IsList() {
		return nil
	}
	return fd
}

// bindMask finds the update_mask of a PATCH (AIP-134).
func (r *route) bindMask() {
	fd := r.in.Descriptor().Fields().ByName("update_mask")
	if r.verb == http.MethodPatch && r.resourceField() != nil && fd != nil &&
		fd.Message() != nil && !fd.IsList() && fd.Message().FullName() == maskName {
		r.mask = fd
	}
}

// String returns the rule as it is spoken of.
func (r *route) String() string { return r.verb + " " + r.template.text }
