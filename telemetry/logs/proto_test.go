package logs_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/telemetry/logs"
)

// account is the descriptor of
//
//	message Account {
//	  string name = 1; string password = 2 [debug_redact]; int64 pin = 3 [debug_redact];
//	  Account parent = 4; repeated Account others = 5; map<string, Account> by_name = 6;
//	  google.protobuf.Any extra = 7; repeated string tokens = 8 [debug_redact];
//	  Account secret = 9 [debug_redact]; bytes raw = 10; google.protobuf.Timestamp at = 11;
//	  int64 big = 12; double ratio = 13; bool flag = 14;
//	}
func account(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	const of = ".logs.test.Account"
	repeated := descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	fields := []*descriptorpb.FieldDescriptorProto{
		field("name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false),
		field("password", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", true),
		field("pin", 3, descriptorpb.FieldDescriptorProto_TYPE_INT64, "", true),
		field("parent", 4, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, of, false),
		field("others", 5, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, of, false),
		field("by_name", 6, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, of+".ByNameEntry", false),
		field("extra", 7, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Any", false),
		field("tokens", 8, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", true),
		field("secret", 9, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, of, true),
		field("raw", 10, descriptorpb.FieldDescriptorProto_TYPE_BYTES, "", false),
		field("at", 11, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Timestamp", false),
		field("big", 12, descriptorpb.FieldDescriptorProto_TYPE_INT64, "", false),
		field("ratio", 13, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, "", false),
		field("flag", 14, descriptorpb.FieldDescriptorProto_TYPE_BOOL, "", false),
	}
	for _, i := range []int{4, 5, 7} {
		fields[i].Label = &repeated
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("logs/test/account.proto"), Package: proto.String("logs.test"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/any.proto", "google/protobuf/timestamp.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Account"), Field: fields,
			NestedType: []*descriptorpb.DescriptorProto{{
				Name: proto.String("ByNameEntry"), Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
				Field: []*descriptorpb.FieldDescriptorProto{
					field("key", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, "", false),
					field("value", 2, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, of, false),
				},
			}},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	d := file.Messages().ByName("Account")
	if _, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err != nil {
		if err := protoregistry.GlobalTypes.RegisterMessage(dynamicpb.NewMessageType(d)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string, redact bool) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if of != "" {
		f.TypeName = &of
	}
	if redact {
		f.Options = &descriptorpb.FieldOptions{DebugRedact: proto.Bool(true)}
	}
	return f
}

func message(t *testing.T, text string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(account(t))
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRedactedFieldsAreNeverLogged(t *testing.T) {
	const secret = `{"name":"ada","password":"hunter2"}`
	type holder struct{ M proto.Message }
	redactedAda := map[string]any{"name": "ada", "password": "[redacted]"}
	tests := []struct {
		name string
		give any
		want any
	}{
		{"field", message(t, secret), redactedAda},
		{"number", message(t, `{"pin":"1234"}`), map[string]any{"pin": "[redacted]"}},
		{"list", message(t, `{"tokens":["hunter2"]}`), map[string]any{"tokens": "[redacted]"}},
		{"whole message", message(t, `{"secret":`+secret+`}`), map[string]any{"secret": "[redacted]"}},
		{"nested", message(t, `{"parent":`+secret+`}`), map[string]any{"parent": redactedAda}},
		{"in a list", message(t, `{"others":[`+secret+`]}`), map[string]any{"others": []any{redactedAda}}},
		{"in a map", message(t, `{"byName":{"a":`+secret+`}}`), map[string]any{"byName": map[string]any{"a": redactedAda}}},
		{"in an Any", message(t, `{"extra":{"@type":"type.googleapis.com/logs.test.Account","password":"hunter2"}}`),
			map[string]any{"extra": map[string]any{"@type": "type.googleapis.com/logs.test.Account", "password": "[redacted]"}}},
		{"Any of an unknown type", &anypb.Any{TypeUrl: "x/y.Z", Value: []byte("hunter2")}, map[string]any{"@type": "x/y.Z", "value": "[unknown type]"}},
		{"Go slice", []proto.Message{message(t, secret)}, []any{redactedAda}},
		{"Go map", map[string]proto.Message{"k": message(t, secret)}, map[string]any{"k": redactedAda}},
		{"Go struct", &holder{message(t, secret)}, map[string]any{"M": redactedAda}},
		{"group", slog.GroupValue(slog.Any("m", message(t, secret))), map[string]any{"m": redactedAda}},
		{"nothing to hide", message(t, `{"raw":"aGk=","at":"2026-01-02T03:04:05Z","big":"9007199254740993","ratio":0.5,"flag":true}`),
			map[string]any{"raw": "aGk=", "at": "2026-01-02T03:04:05Z", "big": "9007199254740993", "ratio": 0.5, "flag": true}},
		{"well-known alone", &timestamppb.Timestamp{Seconds: 1}, "1970-01-01T00:00:01Z"},
		{"nil", (*timestamppb.Timestamp)(nil), nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, logs.Config{})
			value, ok := tc.give.(slog.Value)
			if !ok {
				value = slog.AnyValue(tc.give)
			}
			l.Logger().LogAttrs(t.Context(), slog.LevelInfo, "m", slog.Attr{Key: "v", Value: value})
			lines := close()
			if diff := cmp.Diff(tc.want, lines[0]["v"]); diff != "" {
				t.Error(diff)
			}
			if text := fmt.Sprint(lines); strings.Contains(text, "hunter2") || strings.Contains(text, "1234") {
				t.Errorf("the secret is in the log: %s", text)
			}
		})
	}
}

func TestLongMessagesAreCutAndStayJSON(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	deep := `{"name":"leaf"}`
	for range 100 {
		deep = `{"parent":` + deep + `}`
	}
	tests := []struct{ name, give string }{
		{"text", `{"name":"` + long + `"}`},
		{"bytes", `{"raw":"` + strings.Repeat("aGk0", 4000) + `"}`},
		{"list", `{"others":[{"name":"a"}` + strings.Repeat(`,{"name":"a"}`, 1000) + `]}`},
		{"deep", deep},
		{"wide and deep", `{"others":[` + deep + strings.Repeat(`,`+deep, 100) + `]}`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, logs.Config{})
			l.Logger().Info("m", "v", message(t, tc.give))
			raw, err := json.Marshal(close()[0]["v"])
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > 4<<10 || !strings.Contains(string(raw), "…") {
				t.Errorf("%d bytes, which should be cut and marked: %.100s", len(raw), raw)
			}
		})
	}
}
