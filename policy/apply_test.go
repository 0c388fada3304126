package policy_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/keelson-dev/keelson/policy"
	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

func TestRetriesOfAWholeServiceAreThoseOfItsRetryableMethods(t *testing.T) {
	table := policy.NewTable(shop(t))
	if err := table.Apply(policy.Defaults{}, []policy.Override{{Method: "/shop.v1.Shop/*", RetryAttempts: 5}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"Get": 5, "Buy": 5, "Burn": 1, "Watch": 1} {
		if got := table.Lookup("/shop.v1.Shop/" + name).Effective().RetryAttempts; got != want {
			t.Errorf("%s is sent %d times at most, want %d", name, got, want)
		}
	}
	if err := table.Apply(policy.Defaults{}, []policy.Override{{Method: "/shop.v1.Shop/*", RetryAttempts: 1}}); err != nil {
		t.Fatal(err)
	}
	if got := table.Lookup("/shop.v1.Shop/Get").Effective().RetryAttempts; got != 1 {
		t.Errorf("Get is sent %d times although the service's retries are off", got)
	}
}

func TestWhatIsNotAcceptedDoesNotTakeEffect(t *testing.T) {
	table := policy.NewTable(shop(t))
	before := table.Lookup("/shop.v1.Shop/Get").Effective()
	tooLong := errors.New("too long")
	asked := 0
	err := table.Apply(policy.Defaults{}, []policy.Override{{Method: "/shop.v1.Shop/*", Timeout: time.Hour}}, func(m *policy.Method, next *policy.Effective) error {
		asked++
		if m.Effective().Timeout == next.Timeout {
			t.Errorf("%s has the new policy before it was accepted", m.FullName)
		}
		if m.Name == "Get" {
			return fmt.Errorf("%s: %w", m.FullName, tooLong)
		}
		return nil
	})
	if !errors.Is(err, tooLong) || asked != 4 {
		t.Errorf("asked %d times, got %v", asked, err)
	}
	if table.Lookup("/shop.v1.Shop/Get").Effective() != before {
		t.Error("a refused policy took effect")
	}
	if m := table.AddMethod("late.v1.Late", "Do", policy.Unary); m.Effective().Timeout != policy.DefaultUnaryTimeout {
		t.Errorf("a method added later has %v of the refused policy", m.Effective().Timeout)
	}
}

func TestRatesThatNoInstanceCanDoAreRefused(t *testing.T) {
	table := policy.NewTable(shop(t))
	for _, o := range []policy.Override{
		{Method: "/shop.v1.Shop/Get", Rate: 1e300}, {Method: "/shop.v1.Shop/Get", CallerRate: 1e10},
		{Method: "/shop.v1.Shop/Get", Rate: math.NaN()}, {Method: "/shop.v1.Shop/Get", IdleTimeout: time.Second},
	} {
		if err := table.Apply(policy.Defaults{}, []policy.Override{o}); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for want, p := range map[string]*policyv1.MethodPolicy{
		"negative":            {Timeout: durationpb.New(-time.Second)},
		"declare a timeout":   {IdleTimeout: durationpb.New(time.Second)},
		"declares a negative": {IdleTimeout: durationpb.New(-time.Second)},
	} {
		err := policy.NewTable(oddService(t, p)).Apply(policy.Defaults{}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/odd.v1.Odd/Do") {
			t.Errorf("got %v, want %q and the method", err, want)
		}
	}
}

// oddService has one unary method with an option.
func oddService(t *testing.T, p *policyv1.MethodPolicy) protoreflect.ServiceDescriptor {
	t.Helper()
	o := &descriptorpb.MethodOptions{}
	proto.SetExtension(o, policyv1.E_Method, p)
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("odd/v1/odd.proto"), Package: proto.String("odd.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Plain")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Odd"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Do"), InputType: proto.String(".odd.v1.Plain"), OutputType: proto.String(".odd.v1.Plain"), Options: o},
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

func TestUnknownStreamsHaveNoDeadline(t *testing.T) {
	table := policy.NewTable()
	if s := table.UnknownStream(); s.Effective().Timeout != 0 || s.FullName != policy.UnknownName || s.Kind == policy.Unary {
		t.Errorf("got %+v", s)
	}
	if table.Unknown().Effective().Timeout == 0 {
		t.Error("unknown unary calls have no deadline")
	}
}
