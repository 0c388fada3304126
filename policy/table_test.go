package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/keelson-dev/keelson/policy"
	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// shop is a service with one method of each sort.
func shop(t testing.TB) protoreflect.ServiceDescriptor {
	t.Helper()
	option := func(level descriptorpb.MethodOptions_IdempotencyLevel, p *policyv1.MethodPolicy) *descriptorpb.MethodOptions {
		o := &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()}
		if p != nil {
			proto.SetExtension(o, policyv1.E_Method, p)
		}
		return o
	}
	method := func(name, in string, client, server bool, o *descriptorpb.MethodOptions) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: proto.String(in), OutputType: proto.String(".shop.v1.Plain"), ClientStreaming: &client, ServerStreaming: &server, Options: o}
	}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("shop/v1/shop.proto"), Package: proto.String("shop.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Plain")},
			{Name: proto.String("Keyed"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("request_id"), Number: proto.Int32(1), JsonName: proto.String("requestId"),
				Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Shop"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Get", ".shop.v1.Plain", false, false, option(descriptorpb.MethodOptions_NO_SIDE_EFFECTS, &policyv1.MethodPolicy{Timeout: durationpb.New(2 * time.Second), Cost: 3, Roles: []string{"reader"}})),
			method("Buy", ".shop.v1.Keyed", false, false, nil),
			method("Burn", ".shop.v1.Plain", false, false, nil),
			method("Watch", ".shop.v1.Plain", false, true, option(descriptorpb.MethodOptions_NO_SIDE_EFFECTS, &policyv1.MethodPolicy{IdleTimeout: durationpb.New(time.Minute)})),
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

func TestPolicyComesFromTheContract(t *testing.T) {
	table := policy.NewTable(shop(t))
	for _, tc := range []struct {
		method    string
		timeout   time.Duration
		idle      time.Duration
		attempts  int
		retryable bool
		source    string
	}{
		{"/shop.v1.Shop/Get", 2 * time.Second, 0, 3, true, policy.SourceOption},
		{"/shop.v1.Shop/Buy", 10 * time.Second, 0, 3, true, policy.SourceDefault},
		{"/shop.v1.Shop/Burn", 10 * time.Second, 0, 1, false, policy.SourceDefault},
		{"/shop.v1.Shop/Watch", 0, time.Minute, 1, false, policy.SourceDefault},
	} {
		t.Run(tc.method, func(t *testing.T) {
			m := table.Lookup(tc.method)
			e := m.Effective()
			if e.Timeout != tc.timeout || e.IdleTimeout != tc.idle || e.RetryAttempts != tc.attempts || m.Retryable() != tc.retryable {
				t.Errorf("got timeout %v, idle %v, attempts %d, retryable %v", e.Timeout, e.IdleTimeout, e.RetryAttempts, m.Retryable())
			}
			if got := e.Source(policy.FieldTimeout); got != tc.source {
				t.Errorf("timeout comes from %q, want %q", got, tc.source)
			}
		})
	}
	if got := table.Lookup("/shop.v1.Shop/Get").Effective(); got.Cost != 3 || !cmp.Equal(got.Roles, []string{"reader"}) {
		t.Errorf("cost %d, roles %v", got.Cost, got.Roles)
	}
	if m := table.Lookup("/made.up/Name"); m != table.Unknown() || m.FullName != policy.UnknownName {
		t.Errorf("a method that no table holds is %q", m.FullName)
	}
}

func TestOverridesAreLaidOverTheContract(t *testing.T) {
	table := policy.NewTable(shop(t))
	get := table.Lookup("/shop.v1.Shop/Get")
	origin := func(f policy.Field) string { return "shop.yaml:7 " + string(f) }
	err := table.Apply(policy.Defaults{UnaryTimeout: 4 * time.Second}, []policy.Override{
		{Method: "/shop.v1.Shop/*", Rate: 9.5},
		{Method: "/shop.v1.Shop/Get", Timeout: time.Second, RetryAttempts: 1, CallerRate: 2, CallerBurst: 7, Origin: origin},
		{Method: "/shop.v1.Shop/Watch", IdleTimeout: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := get.Effective()
	if e.Timeout != time.Second || e.RetryAttempts != 1 || e.Rate != 9.5 || e.Burst != 10 || e.CallerRate != 2 || e.CallerBurst != 7 {
		t.Errorf("got %+v", e)
	}
	if got := e.Source(policy.FieldTimeout); got != "shop.yaml:7 timeout" {
		t.Errorf("timeout comes from %q", got)
	}
	if got := e.Source(policy.FieldRate); got != "code" {
		t.Errorf("rate comes from %q", got)
	}
	if got := table.Lookup("/shop.v1.Shop/Burn").Effective(); got.Timeout != 4*time.Second || got.Rate != 9.5 {
		t.Errorf("Burn: %+v", got)
	}
	if got := table.Lookup("/shop.v1.Shop/Watch").Effective().IdleTimeout; got != 0 {
		t.Errorf("a negative idle_timeout leaves %v, want none", got)
	}
	if err := table.Apply(policy.Defaults{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := get.Effective().Timeout; got != 2*time.Second {
		t.Errorf("without the override the timeout is %v, want the option's 2s", got)
	}
}

func TestAWrongOverrideChangesNothingAndSaysAllThatIsWrong(t *testing.T) {
	table := policy.NewTable(shop(t))
	get := table.Lookup("/shop.v1.Shop/Get").Effective()
	err := table.Apply(policy.Defaults{}, []policy.Override{
		{Method: "/shop.v1.Shop/Get", Timeout: time.Minute},
		{Method: "/shop.v1.Shop/Gett", Timeout: time.Second},
		{Method: "/shop.v1.Shop/Burn", RetryAttempts: 2},
		{Method: "/shop.v1.Shop/Get", RetryAttempts: 9},
		{Method: "/other.v1.Other/*", Rate: 1},
		{Method: "/shop.v1.Shop/Buy", Burst: -1},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`did you mean "/shop.v1.Shop/Get"?`, "may not be sent twice: not declared idempotent", "valid are 1 (never again) to 5",
		`"/other.v1.Other/*"`, "burst and caller_burst",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if table.Lookup("/shop.v1.Shop/Get").Effective() != get {
		t.Error("a refused change took effect")
	}
}

func TestMethodsAddedLaterGetThePolicyInForce(t *testing.T) {
	table := policy.NewTable()
	if err := table.Apply(policy.Defaults{UnaryTimeout: time.Second}, nil); err != nil {
		t.Fatal(err)
	}
	m := table.AddMethod("hand.made", "Do", policy.Unary)
	if m.Effective().Timeout != time.Second {
		t.Errorf("timeout %v", m.Effective().Timeout)
	}
	if again := table.AddMethod("hand.made", "Do", policy.Unary); again != m {
		t.Error("adding twice made a second method")
	}
	table.Remove("hand.made")
	if table.Lookup("/hand.made/Do") != table.Unknown() {
		t.Error("the removed method is still found")
	}
}

func TestServiceConfigRetriesOnlyWhatTheContractAllows(t *testing.T) {
	var sc struct {
		HealthCheckConfig struct{ ServiceName *string }
		MethodConfig      []struct {
			Name         []struct{ Service, Method string }
			WaitForReady bool
			RetryPolicy  *struct{ RetryableStatusCodes []string }
		}
	}
	text, err := policy.NewTable(shop(t)).ServiceConfig(json.RawMessage(`{"round_robin":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &sc); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, m := range sc.MethodConfig {
		got[m.Name[0].Method] = nil
		if m.RetryPolicy != nil {
			got[m.Name[0].Method] = m.RetryPolicy.RetryableStatusCodes
		}
		if !m.WaitForReady {
			t.Errorf("%s does not wait for a ready connection", m.Name[0].Method)
		}
	}
	want := map[string][]string{"Get": {"UNAVAILABLE"}, "Buy": {"UNAVAILABLE"}, "Burn": nil, "Watch": nil}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if sc.HealthCheckConfig.ServiceName == nil {
		t.Error("client-side health checks are off")
	}
}

func TestAnOptionThatCameAsUnknownBytesIsRead(t *testing.T) {
	// A descriptor from reflection, parsed without the extension's Go type.
	s := shop(t)
	raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(s.ParentFile()))
	if err != nil {
		t.Fatal(err)
	}
	fd := &descriptorpb.FileDescriptorProto{}
	if err := (proto.UnmarshalOptions{Resolver: emptyResolver{}}).Unmarshal(raw, fd); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(fd, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := policy.NewTable(f.Services().Get(0)).Lookup("/shop.v1.Shop/Get").Effective().Timeout; got != 2*time.Second {
		t.Errorf("timeout %v, want the option's 2s", got)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := policy.NewTable(shop(t))
	if n := testing.AllocsPerRun(100, func() { _ = table.Lookup("/shop.v1.Shop/Get").Effective().Timeout }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ExampleTable_Apply() {
	table := policy.NewTable(policy.Linked()...)
	err := table.Apply(policy.Defaults{}, []policy.Override{{Method: "/grpc.health.v1.Health/Chek", Timeout: time.Second}})
	fmt.Println(err != nil)
	// Output: true
}

func TestServiceConfigRefusesABalancingPolicyThatIsNotJSON(t *testing.T) {
	if _, err := policy.NewTable(shop(t)).ServiceConfig(json.RawMessage(`{"round_robin"`)); err == nil || !strings.Contains(err.Error(), "round_robin") {
		t.Errorf("got %v, want an error that shows the policy", err)
	}
}
