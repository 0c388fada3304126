package rest

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// resume is how a server stream goes on where it broke: the option resume of
// (keelson.policy.v1.method).
type resume struct {
	answer  protoreflect.FieldDescriptor // is the event's ID
	request protoreflect.FieldDescriptor // takes Last-Event-ID
}

// bindPolicy takes from the policy of a stream what is done here.
func (r *route) bindPolicy() error {
	if !r.streamsIn() && !r.streamsOut() {
		return nil
	}
	p := &policyv1.MethodPolicy{}
	if _, err := extension(r.method.Options(), policyv1.E_Method, p); err != nil {
		return err
	}
	r.idles = p.IdleTimeout != nil
	if p.GetResume() == nil || !r.streamsOut() {
		return nil
	}
	return r.bindResume(p.GetResume())
}

func (r *route) bindResume(said *policyv1.Resume) error {
	answer, err := resumeField(r.out.Descriptor(), said.GetResponseField())
	if err != nil {
		return fmt.Errorf("resume.response_field: %w", err)
	}
	request, err := resumeField(r.in.Descriptor(), said.GetRequestField())
	if err != nil {
		return fmt.Errorf("resume.request_field: %w", err)
	}
	r.resume = &resume{answer, request}
	return nil
}

func resumeField(md protoreflect.MessageDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	path, err := resolve(md, name)
	if err != nil {
		return nil, err
	}
	if len(path) != 1 || path[0].IsList() || path[0].Message() != nil {
		return nil, errors.New("it must be one scalar of the message itself")
	}
	return path[0], nil
}
