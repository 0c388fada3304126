package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

type importStream = userv1.UserService_ImportUsersClient

// importing is what a client of ImportUsers has read so far.
type importing struct {
	results  map[int64]*userv1.ImportUsersResponse_Result
	repeated int
	summary  *userv1.ImportUsersResponse_Summary
}

// openImport begins an import and waits until the server has taken it.
func openImport(ctx context.Context, t *testing.T, c userv1.UserServiceClient, id string) importStream {
	t.Helper()
	s := must[importStream](t)(c.ImportUsers(ctx))
	if err := s.Send(&userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Start_{Start: &userv1.ImportUsersRequest_Start{ImportId: id}}}); err != nil {
		t.Fatal(err)
	}
	if started := must[*userv1.ImportUsersResponse](t)(s.Recv()).GetStarted(); started.GetImportId() != id || started.GetWindow() < 1 {
		t.Fatalf("started is %v", started)
	}
	return s
}

func itemOf(prefix string, n int64) *userv1.ImportUsersRequest {
	id := fmt.Sprintf("%s-%07d", prefix, n)
	return &userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Item_{Item: &userv1.ImportUsersRequest_Item{
		Sequence: n, UserId: id, User: &userv1.User{Email: email(id), DisplayName: "User " + id},
	}}}
}

// sendItems sends n items while another goroutine reads, and half-closes.
func sendItems(s importStream, prefix string, n int) {
	for i := range int64(n) {
		if s.Send(itemOf(prefix, i)) != nil {
			return // Recv says why
		}
	}
	_ = s.CloseSend()
}

// finishImport reads until the stream ends.
func finishImport(s importStream) (*importing, error) {
	im := &importing{results: map[int64]*userv1.ImportUsersResponse_Result{}}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return im, nil
		}
		if err != nil {
			return im, err
		}
		if m.GetSummary() != nil {
			im.summary = m.GetSummary()
		}
		if r := m.GetResult(); r != nil {
			if im.results[r.GetSequence()] != nil {
				im.repeated++
			}
			im.results[r.GetSequence()] = r
		}
	}
}

func runImport(t *testing.T, c userv1.UserServiceClient, prefix string, n int) (*importing, error) {
	t.Helper()
	s := openImport(bounded(t), t, c, prefix)
	go sendItems(s, prefix, n)
	return finishImport(s)
}

func TestUserImportsOnBothStores(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		c := p.runs("a", "b")
		t.Run("bad items", func(t *testing.T) { importBadItems(t, c[0]) })
		t.Run("wrong streams", func(t *testing.T) { importWrongStreams(t, c[0]) })
		t.Run("two at once", func(t *testing.T) { importTwoAtOnce(t, c) })
		t.Run("canceled", func(t *testing.T) { importCanceled(t, c[0]) })
		t.Run("acknowledgements that nobody reads", func(t *testing.T) { importUnread(t, p, c[1]) })
		t.Run("drained", func(t *testing.T) { importDrained(t, c[0], c[1]) })
	})
}

// importBadItems mixes items that cannot be stored with others, in no order.
func importBadItems(t *testing.T, c userv1.UserServiceClient) {
	makeUser(t, c, "import-taken")
	gone := makeUser(t, c, "import-gone")
	must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: gone.GetName()}))
	user := func(id, mail string) *userv1.ImportUsersRequest_Item {
		return &userv1.ImportUsersRequest_Item{UserId: id, User: &userv1.User{Email: mail}}
	}
	tests := []struct {
		sequence      int64
		item          *userv1.ImportUsersRequest_Item
		code          codes.Code
		reason, field string
	}{
		{9, user("import-nine", "nine@example.com"), codes.OK, "", ""},
		{1, user("import-taken", "t1@example.com"), codes.AlreadyExists, "USER_ALREADY_EXISTS", ""},
		{2, user("import-gone", "t2@example.com"), codes.AlreadyExists, "USER_ALREADY_EXISTS", ""},
		{3, user("import-three", "IMPORT-TAKEN@EXAMPLE.COM"), codes.AlreadyExists, "EMAIL_TAKEN", ""},
		{4, user("No", "t4@example.com"), codes.InvalidArgument, "INVALID_REQUEST", "user_id"},
		{5, user("import-five", "none"), codes.InvalidArgument, "INVALID_REQUEST", "user.email"},
		{6, &userv1.ImportUsersRequest_Item{UserId: "import-six"}, codes.InvalidArgument, "INVALID_REQUEST", "user"},
		{7, user("import-seven", "nine@EXAMPLE.com"), codes.AlreadyExists, "EMAIL_TAKEN", ""},
		{-8, user("import-eight", "eight@example.com"), codes.InvalidArgument, "INVALID_REQUEST", "sequence"},
		{10, user("import-ten", gone.GetEmail()), codes.OK, "", ""}, // a deleted user holds no address
		{1 << 62, user("", "generated@example.com"), codes.OK, "", ""},
		{11, &userv1.ImportUsersRequest_Item{User: &userv1.User{Email: "long@example.com", DisplayName: strings.Repeat("x", 3<<20)}}, codes.InvalidArgument, "INVALID_REQUEST", "user.display_name"},
	}
	for round, want := range []string{"received:12 created:3 failed:9", "received:12 replayed:3 failed:9"} {
		s := openImport(bounded(t), t, c, "bad-items")
		go func() {
			for _, tt := range tests {
				tt.item.Sequence = tt.sequence
				_ = s.Send(&userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Item_{Item: tt.item}})
			}
			_ = s.CloseSend()
		}()
		im := must[*importing](t)(finishImport(s))
		if got := strings.Join(strings.Fields(im.summary.String()), " "); got != want {
			t.Errorf("summary is %s; want %s", got, want)
		}
		for _, tt := range tests {
			r := im.results[tt.sequence]
			if tt.code == codes.OK {
				if r.GetName() == "" || r.GetReplayed() != (round == 1) {
					t.Errorf("item %d: %v", tt.sequence, r)
				}
			} else if err := refusal(statusError(r.GetError()), tt.code, tt.reason, tt.field); err != nil {
				t.Errorf("item %d: %v", tt.sequence, err)
			}
		}
	}
	importReused(t, c)
}

// importReused sends a stored sequence with another user, on the stream that
// stored it and on a later one.
func importReused(t *testing.T, c userv1.UserServiceClient) {
	t.Helper()
	for round := range 2 {
		s := openImport(bounded(t), t, c, "reused")
		for i, prefix := range []string{"reused", "reused", "others"} {
			if err := s.Send(itemOf(prefix, 1)); err != nil {
				t.Fatal(err)
			}
			r := must[*userv1.ImportUsersResponse](t)(s.Recv()).GetResult()
			if i < 2 && (r.GetName() != "users/reused-0000001" || r.GetReplayed() != (round+i > 0)) {
				t.Errorf("round %d, item %d: %v", round, i, r)
			}
			if i == 2 {
				if err := refusal(statusError(r.GetError()), codes.InvalidArgument, "SEQUENCE_REUSED", "sequence"); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// importWrongStreams breaks the order of messages, and the bounds of one.
func importWrongStreams(t *testing.T, c userv1.UserServiceClient) {
	start := func(id string) *userv1.ImportUsersRequest {
		return &userv1.ImportUsersRequest{Message: &userv1.ImportUsersRequest_Start_{Start: &userv1.ImportUsersRequest_Start{ImportId: id}}}
	}
	huge := itemOf("huge", 1)
	huge.GetItem().GetUser().DisplayName = strings.Repeat("x", 10<<20)
	for name, tt := range map[string]struct {
		send  []*userv1.ImportUsersRequest
		code  codes.Code
		field string
	}{
		"nothing":      {nil, codes.InvalidArgument, "start"},
		"item first":   {[]*userv1.ImportUsersRequest{itemOf("first", 1)}, codes.InvalidArgument, "start"},
		"no message":   {[]*userv1.ImportUsersRequest{{}}, codes.InvalidArgument, "start"},
		"no ID":        {[]*userv1.ImportUsersRequest{start("")}, codes.InvalidArgument, "start.import_id"},
		"wrong ID":     {[]*userv1.ImportUsersRequest{start("a b")}, codes.InvalidArgument, "start.import_id"},
		"long ID":      {[]*userv1.ImportUsersRequest{start(strings.Repeat("x", 129))}, codes.InvalidArgument, "start.import_id"},
		"start twice":  {[]*userv1.ImportUsersRequest{start("twice"), start("twice")}, codes.InvalidArgument, "start"},
		"empty second": {[]*userv1.ImportUsersRequest{start("empty"), {}}, codes.InvalidArgument, "item"},
		"10 MB":        {[]*userv1.ImportUsersRequest{start("huge"), huge}, codes.ResourceExhausted, ""},
		"no items":     {[]*userv1.ImportUsersRequest{start("none")}, codes.OK, ""},
	} {
		s := must[importStream](t)(c.ImportUsers(bounded(t)))
		for _, m := range tt.send {
			_ = s.Send(m)
		}
		_ = s.CloseSend()
		im, err := finishImport(s)
		switch tt.code {
		case codes.OK:
			if err != nil || im.summary.GetReceived() != 0 || im.summary == nil {
				t.Errorf("%s: %v, %v", name, im.summary, err)
			}
		case codes.InvalidArgument:
			if err := refusal(err, tt.code, "INVALID_REQUEST", tt.field); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if errs.Code(errs.FromWire(err)) != tt.code {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// importTwoAtOnce runs one import at two instances at once.
func importTwoAtOnce(t *testing.T, c []*userInstance) {
	const n = 1500
	var both sync.WaitGroup
	created := make([]int64, 2)
	for i := range created {
		both.Go(func() {
			im, err := runImport(t, c[i], "at-once", n)
			if err != nil || im.repeated > 0 || im.summary.GetFailed() > 0 || im.summary.GetCreated()+im.summary.GetReplayed() != n {
				t.Errorf("import %d: %v, %d acknowledged twice: %v", i, im.summary, im.repeated, err)
			}
			created[i] = im.summary.GetCreated()
		})
	}
	both.Wait()
	if created[0]+created[1] != n {
		t.Errorf("%d and %d were created, of %d", created[0], created[1], n)
	}
}

// importCanceled goes away in the middle, and comes again.
func importCanceled(t *testing.T, c userv1.UserServiceClient) {
	const n = 3000
	ctx, cancel := context.WithCancel(bounded(t))
	s := openImport(ctx, t, c, "canceled")
	go sendItems(s, "canceled", n)
	acknowledged := 0
	for range n / 4 {
		if _, err := s.Recv(); err == nil {
			acknowledged++
		}
	}
	cancel()
	again := must[*importing](t)(runImport(t, c, "canceled", n))
	if got := again.summary; got.GetCreated()+got.GetReplayed() != n || got.GetReplayed() < int64(acknowledged) {
		t.Errorf("%d were acknowledged, then: %v", acknowledged, got)
	}
}

// importUnread sends without end and reads nothing: the server stops reading,
// and its memory stays.
func importUnread(t *testing.T, p *userPlatform, c *userInstance) {
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	s := openImport(ctx, t, c, "unread")
	sent := make(chan int64, 1)
	progress := make(chan int64, 1<<20)
	go func() {
		n := int64(0)
		for s.Send(itemOf("unread", n)) == nil {
			n++
			progress <- n
		}
		sent <- n
	}()
	before, last := rss(t, c.instance), int64(0)
	for still := 0; still < 10; { // no progress for a second
		select {
		case last = <-progress:
			still = 0
		case <-time.After(100 * time.Millisecond):
			still++
		}
	}
	grown := rss(t, c.instance) - before
	t.Logf("%d items went out, the server grew by %d KiB", last, grown>>10)
	if last > 60_000 || grown > 64<<20 {
		t.Errorf("%d items were taken without an acknowledgement read, and %d MiB", last, grown>>20)
	}
	cancel()
	<-sent
}

// importDrained stops the instance in the middle of an import whose client
// never pauses; the import run again elsewhere completes it.
func importDrained(t *testing.T, c, other *userInstance) {
	const n = 200_000
	s := openImport(bounded(t), t, c, "drained")
	go sendItems(s, "drained", n)
	for range 200 {
		must[*userv1.ImportUsersResponse](t)(s.Recv())
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	im, err := finishImport(s)
	token, _ := errs.ResumeToken(errs.FromWire(err))
	if !errors.Is(errs.FromWire(err), errs.Unavailable(errs.ReasonDraining, "")) || token != "drained" {
		t.Fatalf("the import ended with %v after %d more results", err, len(im.results))
	}
	done := 200 + len(im.results)
	again := must[*importing](t)(runImport(t, other, "drained", done))
	if got := again.summary; got.GetCreated() != 0 || got.GetReplayed() != int64(done) {
		t.Errorf("%d were acknowledged, then: %v", done, got)
	}
	<-c.done
}

// TestAnImportSurvivesAKillOnPostgres is TestAnImportSurvivesAKill on
// PostgreSQL.
func TestAnImportSurvivesAKillOnPostgres(t *testing.T) {
	n := size(t, "KEELSONTEST_IMPORT_USERS", 20000)
	p := onPostgres(t)
	instances := map[string]*instance{}
	for _, i := range p.runs("user-1", "user-2", "user-3") {
		instances[i.ID] = i.instance
	}
	users := p.users()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := startWatcher(ctx, users)
	input := writeImport(t, p.dir, n)
	begin := time.Now()
	p.importBroken(ctx, input, n, func(ctx context.Context) string { return killStoring(ctx, instances, float64(n/8)) })
	out, err := p.command("call", "user", "ImportUsers", "@"+input).Output()
	if want := fmt.Sprintf(`"received":"%d"`, n); err != nil || !bytes.Contains(compact(out), []byte(want)) {
		t.Fatalf("the import run again: %v; it does not say %s:\n%s", err, want, tail(out))
	}
	t.Logf("%d users in %s (%.0f/s), the interruption and the second run included", n, time.Since(begin).Round(time.Millisecond), float64(n)/time.Since(begin).Seconds())
	checkList(ctx, t, users, n)
	w.check(t, p.platform, n)
}

// killStoring kills the instance that has stored a number of items of an import.
func killStoring(ctx context.Context, instances map[string]*instance, items float64) string {
	for ctx.Err() == nil {
		for id, i := range instances {
			if n, err := gauge(ctx, i.OpsAddress, "user_import_items_total{", `outcome="created"`); err == nil && n >= items {
				i.kill()
				return id
			}
		}
	}
	return "none"
}
