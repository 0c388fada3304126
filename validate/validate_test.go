package validate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	rules "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/validate"
)

// schema is a file of messages: Create holds a User, which has rules; Broken has a rule that does not compile; Plain refers to itself and has none.
const schema = `
name: "shop/v1/shop.proto" package: "shop.v1" syntax: "proto3"
message_type {
  name: "User"
  field { name: "email" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "email"
    options { [buf.validate.field] { string { email: true } } } }
  field { name: "display_name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "displayName"
    options { [buf.validate.field] { string { max_len: 5 } } } }
  field { name: "tags" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".shop.v1.User.TagsEntry" json_name: "tags"
    options { [buf.validate.field] { map { keys { string { min_len: 2 } } } } } }
  nested_type { name: "TagsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "value" } }
}
message_type {
  name: "Create"
  field { name: "user" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".shop.v1.User" json_name: "user"
    options { [buf.validate.field] { required: true } } }
  field { name: "more" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".shop.v1.User" json_name: "more" }
}
message_type {
  name: "Outer"
  field { name: "user" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".shop.v1.User" json_name: "user" }
}
message_type {
  name: "Range"
  field { name: "from" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "from" }
  field { name: "to" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "to" }
  options { [buf.validate.message] { cel { id: "range.order" message: "from must not be after to" expression: "this.from <= this.to" } } }
}
message_type {
  name: "Choice"
  field { name: "a" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 json_name: "a" }
  oneof_decl { name: "of" options { [buf.validate.oneof] { required: true } } }
}
message_type {
  name: "Broken"
  field { name: "x" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "x"
    options { [buf.validate.field] { cel { id: "x" expression: "this.nothing +" } } } }
}
message_type {
  name: "Plain"
  field { name: "next" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".shop.v1.Plain" json_name: "next" }
  field { name: "text" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "text" }
}
`

func file(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	_ = rules.E_Field // registers the extensions that the schema is written with
	p := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(schema), p); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func descriptor(t testing.TB, f protoreflect.FileDescriptor, name string) protoreflect.MessageDescriptor {
	t.Helper()
	d := f.Messages().ByName(protoreflect.Name(name))
	if d == nil {
		t.Fatalf("the schema has no message %s", name)
	}
	return d
}

func message(t testing.TB, f protoreflect.FileDescriptor, name, text string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(descriptor(t, f, name))
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func newValidator(t testing.TB) *validate.Validator {
	t.Helper()
	v, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type violation = errdetails.BadRequest_FieldViolation

func TestEachBrokenRuleIsAFieldViolation(t *testing.T) {
	f, v := file(t), newValidator(t)
	for name, tc := range map[string]struct {
		message, text string
		want          []*violation
	}{
		"valid":             {"Create", `user { email: "a@b.example" }`, nil},
		"valid, no rules":   {"Plain", `next { text: "x" }`, nil},
		"required":          {"Create", ``, []*violation{{Field: "user", Reason: "required", Description: "value is required"}}},
		"nested":            {"Create", `user { email: "x" }`, []*violation{{Field: "user.email", Reason: "string.email", Description: "must be a valid email address"}}},
		"rules only within": {"Outer", `user { email: "x" }`, []*violation{{Field: "user.email", Reason: "string.email", Description: "must be a valid email address"}}},
		"several, in a list": {"Create", `user { email: "a@b.example" } more { email: "a@b.example" } more { email: "x" display_name: "too long" }`, []*violation{
			{Field: "more[1].email", Reason: "string.email", Description: "must be a valid email address"},
			{Field: "more[1].display_name", Reason: "string.max_len", Description: "must be at most 5 characters"},
		}},
		"the key of a map": {"User", `email: "a@b.example" tags { key: "k" value: "v" }`, []*violation{
			{Field: `tags["k"]`, Reason: "string.min_len", Description: "key: must be at least 2 characters"},
		}},
		"of the whole message": {"Range", `from: 2 to: 1`, []*violation{{Reason: "range.order", Description: "from must not be after to"}}},
		"of a oneof":           {"Choice", ``, []*violation{{Field: "of", Reason: "required", Description: "exactly one field is required in oneof"}}},
	} {
		t.Run(name, func(t *testing.T) {
			err := v.Check(message(t, f, tc.message, tc.text))
			if tc.want == nil {
				if err != nil {
					t.Fatalf("answered %v", err)
				}
				return
			}
			if !errors.Is(err, errs.InvalidArgument(errs.ReasonInvalidRequest, "")) {
				t.Fatalf("answered %v", err)
			}
			if diff := cmp.Diff(tc.want, errs.From(err).Fields(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if want := tc.want[0].GetDescription(); !strings.Contains(errs.From(err).Message(), want) {
				t.Errorf("message %q does not say %q", errs.From(err).Message(), want)
			}
		})
	}
}

func TestWhatNoRuleSaysJoinsTheRules(t *testing.T) {
	f := file(t)
	asked := 0
	v, err := validate.New(validate.WithChecks(func(proto.Message) error {
		asked++
		return errs.InvalidArgument("X", "").With(
			errs.Field("user.email", "X", "a rule has said so"), errs.Field("user.colour", "COLOUR", "is not ours"), errs.Field("user.colour", "TONE", "is shrill"))
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Check(message(t, f, "Create", `user { email: "a@b.example" }`)); err != nil || asked != 0 {
		t.Errorf("what keeps the rules: %v, asked %d times", err, asked)
	}
	got := errs.From(v.Check(message(t, f, "Create", `user { email: "x" }`)))
	want := []*violation{
		{Field: "user.email", Reason: "string.email", Description: "must be a valid email address"},
		{Field: "user.colour", Reason: "COLOUR", Description: "is not ours"},
		{Field: "user.colour", Reason: "TONE", Description: "is shrill"},
	}
	if diff := cmp.Diff(want, got.Fields(), protocmp.Transform()); diff != "" || !strings.Contains(got.Message(), "(and 2 more)") {
		t.Errorf("%s\n%v", diff, got)
	}
}

func TestARuleThatDoesNotCompileIsTheServicesFault(t *testing.T) {
	f, v := file(t), newValidator(t)
	err := v.Check(message(t, f, "Broken", "x: 1"))
	if err == nil || errs.Code(err) != codes.Internal || !strings.Contains(err.Error(), "shop.v1.Broken") {
		t.Errorf("answered %v", err)
	}
	if err := v.Prepare(descriptor(t, f, "Create"), descriptor(t, f, "Plain")); err != nil {
		t.Errorf("good rules: %v", err)
	}
	if err := v.Prepare(descriptor(t, f, "Create"), descriptor(t, f, "Broken")); err == nil || !strings.Contains(err.Error(), "shop.v1.Broken") {
		t.Errorf("a broken rule was prepared: %v", err)
	}
}

func TestMessagesWithoutRulesCostNoAllocation(t *testing.T) {
	v := newValidator(t)
	msg := &healthpb.HealthCheckRequest{Service: "x"}
	if n := testing.AllocsPerRun(100, func() {
		if v.Check(msg) != nil {
			t.Error("not valid")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if v.Check(nil) != nil {
		t.Error("no message is not valid")
	}
}

func TestMessagesAreCheckedConcurrently(t *testing.T) {
	f, v := file(t), newValidator(t)
	good, bad := message(t, f, "Create", `user { email: "a@b.example" }`), message(t, f, "Create", ``)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if v.Check(good) != nil || v.Check(bad) == nil {
				t.Error("a check went wrong")
			}
		})
	}
	wg.Wait()
}

func TestUnaryServerChecksBeforeTheHandler(t *testing.T) {
	f, v := file(t), newValidator(t)
	for name, tc := range map[string]struct {
		req    any
		called bool
	}{
		"valid":     {message(t, f, "User", `email: "a@b.example"`), true},
		"not valid": {message(t, f, "User", `email: "x"`), false},
		"raw frame": {[]byte("x"), true},
	} {
		t.Run(name, func(t *testing.T) {
			called := false
			_, err := validate.UnaryServer(v)(context.Background(), tc.req, nil, func(context.Context, any) (any, error) {
				called = true
				return nil, nil
			})
			if called != tc.called || (err == nil) != tc.called {
				t.Errorf("handler called: %v, answered %v", called, err)
			}
		})
	}
}

type fakeStream struct {
	grpc.ServerStream
	recv func(m any) error
}

func (s fakeStream) RecvMsg(m any) error { return s.recv(m) }

func TestAStreamGoesOnAfterAMessageThatIsNotValid(t *testing.T) {
	f, v := file(t), newValidator(t)
	texts := []string{`email: "a@b.example"`, `email: "x"`, `email: "c@d.example"`}
	ss := fakeStream{recv: func(m any) error {
		if len(texts) == 0 {
			return io.EOF
		}
		err := prototext.Unmarshal([]byte(texts[0]), m.(proto.Message))
		texts = texts[1:]
		return err
	}}
	var got []codes.Code
	err := validate.StreamServer(v)(nil, ss, nil, func(_ any, ss grpc.ServerStream) error {
		for {
			err := ss.RecvMsg(dynamicpb.NewMessage(descriptor(t, f, "User")))
			if errors.Is(err, io.EOF) {
				return nil
			}
			got = append(got, errs.Code(err))
		}
	})
	if diff := cmp.Diff([]codes.Code{codes.OK, codes.InvalidArgument, codes.OK}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func ExampleValidator_Check() {
	v, err := validate.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Check(&healthpb.HealthCheckRequest{Service: "no rules"}))
	// Output: <nil>
}
