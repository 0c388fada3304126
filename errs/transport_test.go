package errs_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/keelson-dev/keelson/errs"
)

// serve answers every call with what fail returns, through gRPC's own transport with the header list limit of the chassis.
func serve(t *testing.T, fail func() error) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return fail() }))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithMaxHeaderListSize(16<<10),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestErrorsTravelThroughARealTransport(t *testing.T) {
	large := errs.InvalidArgument("TOO_MUCH", "%s", strings.Repeat("\u20ac%\n", 2000)).With(errs.RetryAfter(time.Second))
	for range 300 {
		large = large.With(errs.Field(strings.Repeat("\u20ac", 20), "R", "d"))
	}
	for name, tc := range map[string]struct {
		sent error
		want *errs.Error
	}{
		"with details": {
			sent: errs.NotFound("USER_NOT_FOUND", "no users/7, 100%% sure, \u20ac\n").With(errs.Field("name", "R", "d"), errs.Resource("User", "users/7", "", "")),
			want: errs.NotFound("USER_NOT_FOUND", ""),
		},
		"too large, in characters that grow on the way": {large, errs.InvalidArgument("TOO_MUCH", "")},
		"invalid UTF-8":          {status.Error(codes.Aborted, "\xff\xfe"), errs.Aborted("ABORTED", "")},
		"unknown":                {errors.New("secret"), errs.Internal("INTERNAL", "")},
		"draining, with a token": {errs.Draining("rev-7"), errs.Unavailable("DRAINING", "")},
	} {
		t.Run(name, func(t *testing.T) {
			sent := errs.Status(tc.sent, "me.example", "id-1")
			conn := serve(t, sent.Err)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err := errs.FromWire(conn.Invoke(ctx, "/shop.v1.Shop/Get", &emptypb.Empty{}, &emptypb.Empty{}))
			if !errors.Is(err, tc.want.With(errs.Domain("me.example"))) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(sent.Proto(), status.Convert(err).Proto(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAHandlerOfAnyServerMayReturnAnError(t *testing.T) {
	conn := serve(t, func() error { return errs.NotFound("X", "m").With(errs.Meta("a", "b")) })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var e *errs.Error
	err := errs.FromWire(conn.Invoke(ctx, "/shop.v1.Shop/Get", &emptypb.Empty{}, &emptypb.Empty{}))
	if !errors.As(err, &e) || !e.Remote() || e.Reason() != "X" || e.Meta("a") != "b" {
		t.Errorf("got %v", err)
	}
}
