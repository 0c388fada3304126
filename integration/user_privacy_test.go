package integration_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// rawCollector takes whatever is exported and keeps the bytes.
type rawCollector struct {
	address string
	mu      sync.Mutex
	got     []byte
}

func newRawCollector(t *testing.T) *rawCollector {
	t.Helper()
	c := &rawCollector{}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		m := &emptypb.Empty{} // all fields are unknown to it, and kept
		if err := s.RecvMsg(m); err != nil {
			return err
		}
		raw, err := proto.Marshal(m)
		c.mu.Lock()
		c.got = append(c.got, raw...)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		return s.SendMsg(&emptypb.Empty{})
	}))
	lis := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	c.address = lis.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(lis) })
	t.Cleanup(func() { srv.Stop(); serving.Wait() })
	return c
}

func (c *rawCollector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.got)
}

// TestUserServiceKeepsPersonalDataOutOfLogsAndTraces makes calls that succeed
// and that fail in every way, each with personal data in every field that takes
// some, at the lowest level of the log and with all traces.
func TestUserServiceKeepsPersonalDataOutOfLogsAndTraces(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		collector := newRawCollector(t)
		c := p.run("a", "KEELSON_LOG__LEVEL=debug", "KEELSON_TRACE__RATIO=1", "KEELSON_TRACE__ENDPOINT=http://"+collector.address)
		const secret = "geheimnis"
		of := func(n int) *userv1.User {
			return &userv1.User{Name: "users/private", Email: fmt.Sprintf("%s-%d@Example.com", secret, n), DisplayName: "Dr. " + secret, GivenName: secret, FamilyName: secret, Labels: map[string]string{"note": secret}}
		}
		ctx := bounded(t)
		var refusals []error
		note := func(_ any, err error) { refusals = append(refusals, err) }
		note(c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: "private", User: of(1)}))
		note(c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: "private", User: of(1)}))
		note(c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: "privately", User: of(1)}))
		note(c.CreateUser(ctx, &userv1.CreateUserRequest{User: &userv1.User{Email: secret, DisplayName: secret + "\x00", Labels: map[string]string{secret + "@": secret}}}))
		note(c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: secret + "@x", RequestId: secret, User: &userv1.User{Email: "x", GivenName: strings.Repeat(secret, 100)}}))
		note(c.UpdateUser(ctx, &userv1.UpdateUserRequest{User: of(2), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels." + secret + "@x"}}}))
		note(c.UpdateUser(ctx, &userv1.UpdateUserRequest{User: of(2)}))
		note(c.GetUser(ctx, &userv1.GetUserRequest{Name: "users/" + secret + "@example.com"}))
		note(c.ListUsers(ctx, &userv1.ListUsersRequest{Filter: `email = "` + secret, OrderBy: secret + "@example.com", PageToken: secret}))
		note(c.ListUsers(ctx, &userv1.ListUsersRequest{Filter: `email = "` + secret + `" AND nosuch = 1`}))
		note(c.ListUsers(ctx, &userv1.ListUsersRequest{OrderBy: secret + "@example.com desc"}))
		note(c.ListUsers(ctx, &userv1.ListUsersRequest{PageToken: secret}))
		note(c.ListUsers(ctx, &userv1.ListUsersRequest{Filter: `email:"` + secret + `"`}))
		for _, req := range []*userv1.WatchUsersRequest{{Filter: `email = ` + secret}, {StartRevision: secret}} {
			s := must[userv1.UserService_WatchUsersClient](t)(c.WatchUsers(ctx, req))
			note(s.Recv())
		}
		s := openImport(ctx, t, c, "private")
		for i, u := range []*userv1.User{of(3), of(2), {Email: secret, DisplayName: secret + "\n"}} {
			_ = s.Send(&userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Item_{Item: &userv1.ImportUsersRequest_Item{Sequence: int64(i), User: u}}})
		}
		_ = s.CloseSend()
		im := must[*importing](t)(finishImport(s))
		for _, r := range im.results {
			refusals = append(refusals, statusError(r.GetError()))
		}
		c.end(t) // with all logs and traces written
		if log := c.log.String(); strings.Contains(strings.ToLower(log), secret) || !strings.Contains(log, "CreateUser") {
			t.Errorf("the log, which must have lines of calls, holds %q:\n%s", secret, linesWith(log, secret))
		}
		if got := collector.text(); strings.Contains(got, secret) || !strings.Contains(got, "CreateUser") {
			t.Errorf("the spans (%d bytes), which must tell of calls, hold %q: %v", len(got), secret, strings.Contains(got, secret))
		}
		failed := 0
		for _, err := range refusals {
			if err != nil {
				failed++
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("an error repeats what was sent: %v", err)
			}
		}
		if failed < 13 {
			t.Errorf("%d calls failed: the test has lost its point", failed)
		}
	})
}

// linesWith are the lines that hold a text, in any case.
func linesWith(log, text string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(strings.ToLower(line), text) {
			b.WriteString(line)
		}
	}
	return b.String()
}
