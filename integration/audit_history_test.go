package integration_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// TestAuditHistoryIsExactThroughCrashes kills instances of both services, each
// that continues the history in its turn, and PostgreSQL, while users change.
func TestAuditHistoryIsExactThroughCrashes(t *testing.T) {
	onBothAuditStores(t, func(t *testing.T, p *auditPlatform) {
		p.runs("user-1", "user-2")
		users, audits := p.services()
		a, b := p.audit("audit-1"), p.audit("audit-2")
		p.follows(users, audits)
		c := changeUsers(t, users, 4)
		written := func() {
			t.Helper()
			before := c.count.Load()
			p.wait("users to be changed", func() bool { return c.count.Load() > before+100 })
		}
		written()
		for range 2 {
			a.kill()
			written()
			a = p.audit("audit-1")
			b.kill()
			written()
			b = p.audit("audit-2")
		}
		u := p.run("user-3")
		written()
		u.kill()
		written()
		if strings.Contains(strings.Join(p.env, " "), "postgres") {
			postgres.Restart(t)
			written()
		}
		c.stop()
		p.wantExactHistory(audits, c.last)
		t.Logf("%d writes", c.count.Load())
	})
}

// TestAuditInstanceThatWasStoppedDoesNoHarm stops instances as SIGSTOP does: the
// other one takes over, and the one that goes on does not disturb it. (On SQLite
// a process that is stopped in the middle of a write holds the file.)
func TestAuditInstanceThatWasStoppedDoesNoHarm(t *testing.T) {
	user := onPostgres(t)
	p := &auditPlatform{user, user.env}
	p.runs("user-1")
	users, audits := p.services()
	both := []*auditInstance{p.audit("audit-1"), p.audit("audit-2")}
	p.follows(users, audits)
	c := changeUsers(t, users, 2)
	for i := range 4 {
		stopped, other := both[i%2], both[1-i%2]
		if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		mark := must[*userv1.User](t)(users.CreateUser(bounded(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "mark" + stopped.ID + string(rune('a'+i)) + "@example.com"}}))
		p.wait("the history to go on without "+stopped.ID, func() bool {
			return len(listChanges(t, other, &auditv1.ListChangesRequest{User: mark.GetName()})) > 0
		})
		if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	c.stop()
	p.wantExactHistory(audits, c.last)
}

// TestAuditListsWithoutTheUserService lists while nobody can tell names.
func TestAuditListsWithoutTheUserService(t *testing.T) {
	user := onSQLite(t)
	p := &auditPlatform{user, []string{"KEELSON_STORE__SQLITE__PATH=" + filepath.Join(user.dir, "audit.db")}}
	only := p.run("user-1")
	users, _ := p.services()
	audits := p.audit("audit-1")
	must[*userv1.User](t)(users.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "ada-l", User: &userv1.User{Email: "ada@example.com", DisplayName: "Ada"}}))
	list := func() *auditv1.ListChangesResponse {
		return must[*auditv1.ListChangesResponse](t)(audits.ListChanges(bounded(t), &auditv1.ListChangesRequest{User: "users/ada-l"}))
	}
	p.wait("the history", func() bool {
		r := list()
		return len(r.GetChanges()) == 1 && r.GetChanges()[0].GetUserDisplayName() == "Ada"
	})
	only.kill()
	if r := list(); len(r.GetChanges()) != 1 || !r.GetNamesMissing() || r.GetChanges()[0].GetUserDisplayName() != "" {
		t.Errorf("without the user service the list is %v", r)
	}
	p.wait("the instance to be degraded, and ready", func() bool {
		status, text := request(t, "GET", "http://"+audits.OpsAddress+"/readyz", "")
		return status == 200 && strings.Contains(text, "degraded")
	})
	p.run("user-1")
	p.wait("names again", func() bool { return !list().GetNamesMissing() })
}

// TestAuditCallsCrossToTheUserService finds one call of ListChanges in the logs
// of both services.
func TestAuditCallsCrossToTheUserService(t *testing.T) {
	user := onSQLite(t)
	p := &auditPlatform{user, []string{"KEELSON_STORE__SQLITE__PATH=" + filepath.Join(user.dir, "audit.db"), "KEELSON_LOG__LEVEL=info"}}
	there := p.run("user-1", "KEELSON_LOG__LEVEL=info")
	users, _ := p.services()
	here := p.audit("audit-1")
	p.follows(users, here)
	ctx := metadata.AppendToOutgoingContext(bounded(t), call.CorrelationKey, "follow-me-4711")
	must[*auditv1.ListChangesResponse](t)(here.ListChanges(ctx, &auditv1.ListChangesRequest{}))
	for _, i := range []*instance{here.instance, there.instance} {
		i.end(t) // which writes all lines
	}
	one, two := callLine(t, here.log, "ListChanges", "follow-me-4711"), callLine(t, there.log, "BatchGetUsers", "follow-me-4711")
	if one["trace.id"] == nil || one["trace.id"] != two["trace.id"] {
		t.Errorf("the calls have the traces %v and %v; want the same", one["trace.id"], two["trace.id"])
	}
}

// callLine is the line of a server's call.
func callLine(t *testing.T, log *bytes.Buffer, method, correlation string) map[string]any {
	t.Helper()
	for _, text := range strings.Split(log.String(), "\n") {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["event.action"] == "server_call" &&
			line["labels.correlation_id"] == correlation && strings.Contains(text, method) {
			return line
		}
	}
	t.Fatalf("there is no line of %s with the correlation ID %s in\n%s", method, correlation, log)
	return nil
}

// TestAuditConsumersGoOnAtAnyInstance follows through the registry while the
// instances that serve it are killed and drained, and acknowledges as it goes.
func TestAuditConsumersGoOnAtAnyInstance(t *testing.T) {
	onBothAuditStores(t, func(t *testing.T, p *auditPlatform) {
		p.runs("user-1")
		users, audits := p.services()
		all := []*auditInstance{p.audit("audit-1"), p.audit("audit-2")}
		p.follows(users, audits)
		c := changeUsers(t, users, 2)
		f := &consumer{t: t, audits: audits, name: "mail"}
		for i := range 6 {
			f.read(50)
			switch i % 3 {
			case 0:
				all[0].kill()
				all[0] = p.audit("audit-1")
			case 1:
				all[1].end(t)
				all[1] = p.audit("audit-2")
			}
		}
		c.stop()
		head := listChanges(t, audits, &auditv1.ListChangesRequest{OrderBy: "position desc"})[0].GetPosition()
		f.read(int(head - f.at))
		t.Logf("%d changes over %d streams, %d handed out again", f.at, f.streams, f.again)
	})
}

// consumer is a consumer as the contract wants it: it starts again whatever
// ends its stream, and remembers the position it has reached.
type consumer struct {
	t              *testing.T
	audits         auditv1.AuditServiceClient
	name           string
	stream         auditv1.AuditService_FollowClient
	at, durable    int64
	streams, again int
}

// read takes n more changes.
func (f *consumer) read(n int) {
	f.t.Helper()
	for until := f.at + int64(n); f.at < until; {
		if f.t.Context().Err() != nil {
			f.t.Fatal("the test is over")
		}
		if f.stream == nil && !f.start() {
			continue
		}
		m, err := f.stream.Recv()
		if err != nil {
			if code := errs.Code(err); code != codes.Unavailable && code != codes.Aborted {
				f.t.Fatalf("the stream ended with %v", err)
			}
			f.stream = nil
			continue
		}
		f.durable = max(f.durable, m.GetAcknowledged().GetPosition())
		if s := m.GetStarted(); s != nil && (s.GetAfterPosition() < f.durable || s.GetAfterPosition() > f.at) {
			f.t.Fatalf("a stream begins after %d; %d was acknowledged durably, of %d", s.GetAfterPosition(), f.durable, f.at)
		}
		f.take(m.GetChange())
	}
}

func (f *consumer) take(c *auditv1.Change) {
	switch p := c.GetPosition(); {
	case p == 0:
		return
	case p <= f.at:
		f.again++
	case p == f.at+1:
		f.at = p
	default:
		f.t.Fatalf("position %d comes after %d", p, f.at)
	}
	_ = f.stream.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Ack_{Ack: &auditv1.FollowRequest_Ack{Position: c.GetPosition()}}})
}

func (f *consumer) start() bool {
	stream, err := f.audits.Follow(bounded(f.t))
	if err != nil {
		return false
	}
	f.streams++
	f.stream = stream
	_ = stream.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: &auditv1.FollowRequest_Start{Consumer: f.name, Window: 16}}})
	return true
}
