package keelsontest_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

type server struct {
	testpb.UnimplementedTestServiceServer
}

func (server) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func register(s *keelson.Service) { testpb.RegisterTestServiceServer(s, server{}) }

const emptyCall = "/grpc.testing.TestService/EmptyCall"

func TestFaultsStrikeTheMethodTheyName(t *testing.T) {
	var faults keelsontest.Faults
	c := testpb.NewTestServiceClient(keelsontest.Serve(t, register, keelsontest.WithFaults(&faults)))
	do := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.EmptyCall(ctx, &testpb.Empty{})
		return err
	}
	if err := do(); err != nil {
		t.Fatalf("undisturbed: %v", err)
	}
	faults.Fail(emptyCall, codes.FailedPrecondition, 1)
	if err := do(); status.Code(err) != codes.FailedPrecondition || errs.Reason(err) != keelsontest.ReasonInjected {
		t.Errorf("failing: %v", err)
	}
	if err := do(); err != nil {
		t.Errorf("after the one failure: %v", err)
	}
	faults.Drop(emptyCall, 1)
	if err := do(); status.Code(err) != codes.Unavailable {
		t.Errorf("dropped: %v", err)
	}
	if err := do(); err != nil {
		t.Errorf("after the drop: %v", err)
	}
	faults.Delay(emptyCall, time.Millisecond)
	if err := do(); err != nil {
		t.Errorf("delayed: %v", err)
	}
	faults.Heal(emptyCall)
	if err := do(); err != nil {
		t.Errorf("healed: %v", err)
	}
}

func TestAHangLastsUntilTheDeadline(t *testing.T) {
	var faults keelsontest.Faults
	faults.Hang(emptyCall)
	c := testpb.NewTestServiceClient(keelsontest.Serve(t, register, keelsontest.WithFaults(&faults)))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.EmptyCall(ctx, &testpb.Empty{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func ExampleServe() {
	// A test of a service, as it stands in a _test.go file.
	_ = func(t *testing.T) {
		conn := keelsontest.Serve(t, register)
		_, err := testpb.NewTestServiceClient(conn).EmptyCall(t.Context(), &testpb.Empty{})
		if code := status.Code(err); code != codes.OK {
			t.Errorf("EmptyCall answered %s", code)
		}
	}
}
