package internal_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// allCodes are gRPC's, and some that it does not know.
func allCodes() []codes.Code {
	all := []codes.Code{17, 99, 1000}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		all = append(all, code)
	}
	return all
}

// fails answers with so many messages, and then with a status. Both may change.
func fails(said *spb.Status, before *int) handler {
	return func(_ string, ss grpc.ServerStream) error {
		if _, err := receive(ss); err != nil {
			return err
		}
		for range *before {
			if err := send(ss, "m"); err != nil {
				return err
			}
		}
		return status.FromProto(said).Err()
	}
}

// heard opens a stream, takes so many messages, and returns the status with which it
// ends.
func heard(t *testing.T, g *gateway, method string, before int) *spb.Status {
	t.Helper()
	s := g.stream(t, soon(t), method)
	s.send(t, "x")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range before {
		s.want(t, "m")
	}
	return status.Convert(s.end()).Proto()
}

func TestStatusesPassAsTheyAre(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		before := 0
		said := &spb.Status{Message: "said by the backend: ü %\r\n\x00", Details: []*anypb.Any{
			{TypeUrl: "type.googleapis.com/nobody.knows.This", Value: []byte{0xff, 0x00, 0x7f}},
			packed(t, &errdetails.ErrorInfo{Reason: "BACKEND_SAID_SO", Domain: "backend.example.com", Metadata: map[string]string{"a": "1"}}),
			packed(t, &errdetails.RetryInfo{RetryDelay: durationpb.New(7)}),
			packed(t, &errdetails.RequestInfo{RequestId: "theirs"}),
		}}
		g, _ := start(fails(said, &before))
		for _, code := range allCodes() {
			said.Code = int32(code)
			for _, method := range []string{unaryMethod, readMethod, watchMethod, bidiMethod} {
				for before = range 2 {
					if before > 0 && (method == unaryMethod || method == readMethod) {
						continue
					}
					t.Run(fmt.Sprintf("%v of %s after %d messages", code, method, before), func(t *testing.T) {
						if d := cmp.Diff(said, heard(t, g, method, before), protocmp.Transform()); d != "" {
							t.Errorf("the status (-said +heard):\n%s", d)
						}
					})
				}
			}
		}
	})
}

func TestNothingIsAddedToABareStatus(t *testing.T) {
	ways(t, func(t *testing.T, start func(handler, ...func(*setup)) (*gateway, *fake)) {
		said, before := &spb.Status{Message: "bare"}, 0
		g, _ := start(fails(said, &before))
		for _, code := range allCodes() {
			said.Code = int32(code)
			for method, messages := range map[string]int{unaryMethod: 0, readMethod: 0, watchMethod: 1, bidiMethod: 1} {
				for before = range messages + 1 {
					if d := cmp.Diff(said, heard(t, g, method, before), protocmp.Transform()); d != "" {
						t.Errorf("%v of %s after %d messages (-said +heard):\n%s", code, method, before, d)
					}
				}
			}
		}
	})
}
