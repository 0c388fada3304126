package openapi

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// extension returns an extension of a descriptor's options, the zero value when
// it is not there. Descriptors that came over the wire or out of a file keep
// extensions as unknown bytes or as dynamic messages; writing and reading the
// options makes them what their Go types say. fresh is an empty message of the
// options' type.
func extension[T any](options protoreflect.ProtoMessage, fresh proto.Message, of protoreflect.ExtensionType) T {
	var none T
	if options == nil || !options.ProtoReflect().IsValid() {
		return none
	}
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil || len(wire) == 0 {
		return none
	}
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, fresh); err != nil {
		return none
	}
	if !proto.HasExtension(fresh, of) {
		return none
	}
	value, _ := proto.GetExtension(fresh, of).(T)
	return value
}

func httpRule(m protoreflect.MethodDescriptor) *annotations.HttpRule {
	return extension[*annotations.HttpRule](m.Options(), &descriptorpb.MethodOptions{}, annotations.E_Http)
}

func methodPolicy(m protoreflect.MethodDescriptor) *policyv1.MethodPolicy {
	return extension[*policyv1.MethodPolicy](m.Options(), &descriptorpb.MethodOptions{}, policyv1.E_Method)
}

func resource(m protoreflect.MessageDescriptor) *annotations.ResourceDescriptor {
	return extension[*annotations.ResourceDescriptor](m.Options(), &descriptorpb.MessageOptions{}, annotations.E_Resource)
}

func messageRules(m protoreflect.MessageDescriptor) *validate.MessageRules {
	return extension[*validate.MessageRules](m.Options(), &descriptorpb.MessageOptions{}, validate.E_Message)
}

func oneofRules(o protoreflect.OneofDescriptor) *validate.OneofRules {
	return extension[*validate.OneofRules](o.Options(), &descriptorpb.OneofOptions{}, validate.E_Oneof)
}

// fieldOptions is what a field's options say.
type fieldOptions struct {
	behavior   map[annotations.FieldBehavior]bool
	names      []string // of behavior, in their order
	reference  *annotations.ResourceReference
	format     annotations.FieldInfo_Format
	rules      *validate.FieldRules
	deprecated bool
	legacy     bool // required, as proto2 has it
}

func optionsOf(f protoreflect.FieldDescriptor) fieldOptions {
	read := fieldOptions{behavior: map[annotations.FieldBehavior]bool{}, legacy: f.Cardinality() == protoreflect.Required}
	if o, ok := f.Options().(*descriptorpb.FieldOptions); ok {
		read.deprecated = o.GetDeprecated()
	}
	for _, b := range extension[[]annotations.FieldBehavior](f.Options(), &descriptorpb.FieldOptions{}, annotations.E_FieldBehavior) {
		read.behavior[b] = true
		read.names = append(read.names, b.String())
	}
	read.reference = extension[*annotations.ResourceReference](f.Options(), &descriptorpb.FieldOptions{}, annotations.E_ResourceReference)
	read.format = extension[*annotations.FieldInfo](f.Options(), &descriptorpb.FieldOptions{}, annotations.E_FieldInfo).GetFormat()
	read.rules = extension[*validate.FieldRules](f.Options(), &descriptorpb.FieldOptions{}, validate.E_Field)
	return read
}

// required says whether a request must hold the field. An update sends only what
// changes: there a field that a resource requires may be left out (AIP-203),
// unless the server checks it.
func (o fieldOptions) required(f form) bool {
	checked := o.rules.GetRequired() && o.rules.GetIgnore() != validate.Ignore_IGNORE_ALWAYS
	return f == input && (checked || o.behavior[annotations.FieldBehavior_REQUIRED]) || f == patch && checked || f != output && o.legacy
}
