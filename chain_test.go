package keelson_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/policy"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// creator answers CreateUser.
type creator struct {
	userv1.UnimplementedUserServiceServer
	seen func(requestID string)
	fail int
}

func (c *creator) CreateUser(_ context.Context, in *userv1.CreateUserRequest) (*userv1.User, error) {
	c.seen(in.GetRequestId())
	if c.fail--; c.fail >= 0 {
		return nil, errs.Unavailable("STORE_AWAY", "the store is away")
	}
	return in.GetUser(), nil
}

func TestWritesAreRetriedUnderOneRequestID(t *testing.T) {
	var ids []string
	var log logBuffer
	conn, drain := keelsontest.Start(t, func(s *keelson.Service) {
		userv1.RegisterUserServiceServer(s, &creator{seen: func(id string) { ids = append(ids, id) }, fail: 1})
	}, keelsontest.WithLog(&log))
	in := &userv1.CreateUserRequest{User: &userv1.User{Email: "ada@example.com", DisplayName: "Ada"}}
	if _, err := userv1.NewUserServiceClient(conn).CreateUser(bounded(t), in); err != nil {
		t.Fatal(err)
	}
	if in.GetRequestId() != "" {
		t.Error("the caller's own request was changed")
	}
	if len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] {
		t.Errorf("request IDs %q: want two attempts under one ID", ids)
	}
	if err := drain(); err != nil {
		t.Fatal(err)
	}
	if n := len(log.calls(t, "server_call")); n != 2 {
		t.Errorf("the server has %d lines for two attempts", n)
	}
}

func TestACallMayOptOutOfRetries(t *testing.T) {
	calls := 0
	conn := keelsontest.Serve(t, func(s *keelson.Service) {
		userv1.RegisterUserServiceServer(s, &creator{seen: func(string) { calls++ }, fail: 1})
	})
	in := &userv1.CreateUserRequest{User: &userv1.User{Email: "ada@example.com", DisplayName: "Ada"}}
	_, err := userv1.NewUserServiceClient(conn).CreateUser(bounded(t), in, keelson.WithoutRetry())
	if status.Code(err) != codes.Unavailable || calls != 1 {
		t.Errorf("sent %d times, ended with %v", calls, err)
	}
}

func TestInvalidRequestsAreAnsweredFieldByField(t *testing.T) {
	conn := keelsontest.Serve(t, func(s *keelson.Service) { userv1.RegisterUserServiceServer(s, &creator{}) })
	_, err := userv1.NewUserServiceClient(conn).CreateUser(bounded(t), &userv1.CreateUserRequest{RequestId: "not a UUID", User: &userv1.User{}})
	e := errs.From(err)
	if e.Code() != codes.InvalidArgument || len(e.Fields()) == 0 {
		t.Fatalf("got %v with fields %v", err, e.Fields())
	}
	if got := e.Fields()[0].GetField(); got != "request_id" && got != "user.email" {
		t.Errorf("field %q", got)
	}
}

func TestNoHeaderIsSentBeforeTheFirstMessage(t *testing.T) {
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { return errs.Unavailable("AWAY", "away") }).register)
	for _, method := range allKinds {
		var header, trailer metadata.MD
		err := invoke(bounded(t), conn, method, grpc.Header(&header), grpc.Trailer(&trailer))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", method, err)
		}
		// A header before an error would make gRPC refuse to retry it.
		if len(header.Get(call.CorrelationKey)) != 0 || len(trailer.Get(call.CorrelationKey)) != 1 {
			t.Errorf("%s: header %v, trailer %v", method, header, trailer)
		}
	}
}

func TestARateLimitAnswersWithQuotaAndPushback(t *testing.T) {
	cfg := keelson.Config{Methods: []policy.Override{{Method: unaryCall, Rate: 0.001, Burst: 1}}}
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { return nil }).register, keelsontest.WithConfig(cfg))
	if err := invoke(bounded(t), conn, unaryCall); err != nil {
		t.Fatal(err)
	}
	var trailer metadata.MD
	err := invoke(bounded(t), conn, unaryCall, grpc.Trailer(&trailer))
	e := errs.From(err)
	if _, ok := e.RetryAfter(); e.Reason() != errs.ReasonRateLimited || !ok || len(e.Quotas()) != 1 {
		t.Errorf("got %v", err)
	}
	if len(trailer.Get("grpc-retry-pushback-ms")) != 1 {
		t.Errorf("no pushback in %v", trailer)
	}
}

func TestTheCorrelationIDFollowsTheRequestThroughServices(t *testing.T) {
	var seen []string
	backend := keelsontest.Serve(t, behaving(func(ctx context.Context) error {
		seen = append(seen, call.CorrelationID(ctx), call.From(ctx).SpanContext.TraceID().String())
		return nil
	}).register)
	front := keelsontest.Serve(t, behaving(func(ctx context.Context) error {
		seen = append(seen, call.CorrelationID(ctx), call.From(ctx).SpanContext.TraceID().String())
		return invoke(ctx, backend, unaryCall)
	}).register)
	if err := invoke(bounded(t), front, unaryCall); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4 || seen[0] != seen[2] || seen[1] != seen[3] {
		t.Errorf("correlation ID and trace at the front and behind: %q", seen)
	}
}
