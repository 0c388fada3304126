package integration_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// auditPlatform is users and their history: both services on stores of their
// own, or in one PostgreSQL database.
type auditPlatform struct {
	*userPlatform
	env []string // of audit instances
}

func onBothAuditStores(t *testing.T, test func(t *testing.T, p *auditPlatform)) {
	t.Helper()
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		test(t, &auditPlatform{p, append(slices.Clone(p.env), "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "audit.db"))})
	})
}

// auditInstance is one instance and a client of it alone.
type auditInstance struct {
	*instance
	auditv1.AuditServiceClient
}

// audit starts an instance that is killed at the end of the test.
func (p *auditPlatform) audit(id string, env ...string) *auditInstance {
	p.t.Helper()
	log := &bytes.Buffer{}
	env = append(append([]string{"KEELSON_DRAIN__PROPAGATION=20ms", "KEELSON_DRAIN__QUIET=10ms"}, p.env...), env...)
	i := &auditInstance{instance: p.startProgram("services/audit/cmd/audit", id, log, env...)}
	i.log = log
	p.t.Cleanup(i.kill)
	i.AuditServiceClient = auditv1.NewAuditServiceClient(p.dial(i.Address))
	return i
}

// services are clients through the registry, with retries, as other services have
// them.
func (p *auditPlatform) services() (userv1.UserServiceClient, auditv1.AuditServiceClient) {
	p.t.Helper()
	c := p.client()
	users, err := c.Dial("user")
	if err != nil {
		p.t.Fatal(err)
	}
	audits, err := c.Dial("audit")
	if err != nil {
		p.t.Fatal(err)
	}
	return userv1.NewUserServiceClient(users), auditv1.NewAuditServiceClient(audits)
}

// follows waits until changes are recorded as they happen.
func (p *auditPlatform) follows(users userv1.UserServiceClient, audits auditv1.AuditServiceClient) {
	p.t.Helper()
	for n := 0; ; n++ {
		name := fmt.Sprintf("probe-%d", n)
		must[*userv1.User](p.t)(users.CreateUser(bounded(p.t), &userv1.CreateUserRequest{UserId: name, User: &userv1.User{Email: name + "@example.com"}}))
		var seen []*auditv1.Change
		p.wait("the history to have "+name, func() bool {
			seen = listChanges(p.t, audits, &auditv1.ListChangesRequest{User: "users/" + name})
			return len(seen) > 0
		})
		if !seen[0].GetInferred() {
			return
		}
	}
}

// listChanges reads all pages.
func listChanges(t *testing.T, c auditv1.AuditServiceClient, req *auditv1.ListChangesRequest) (all []*auditv1.Change) {
	t.Helper()
	req.PageSize = 1000
	for {
		resp := must[*auditv1.ListChangesResponse](t)(c.ListChanges(bounded(t), req))
		all = append(all, resp.GetChanges()...)
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return all
		}
	}
}

// versionOf is the version in an etag of the user service: an integration test
// may know how they are made.
func versionOf(t *testing.T, etag string) int64 {
	t.Helper()
	v, err := strconv.ParseInt(strings.Trim(etag[strings.LastIndex(etag, "-")+1:], `"`), 36, 64)
	if err != nil {
		t.Fatalf("the etag %s has no version: %v", etag, err)
	}
	return v
}

// changing writes users until it is stopped, and knows the etag each has at last.
type changing struct {
	stop  func()
	count atomic.Int64 // writes that were answered
	mu    sync.Mutex
	last  map[string]*userv1.User
}

// changeUsers begins writers, each with users of its own, whose failed writes
// are sent again until they are answered: all are idempotent.
func changeUsers(t *testing.T, users userv1.UserServiceClient, writers int) *changing {
	t.Helper()
	c := &changing{last: map[string]*userv1.User{}}
	done := make(chan struct{})
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					c.write(t, users, fmt.Sprintf("writer-%d-%d", w, n%5), n)
				}
			}
		})
	}
	c.stop = sync.OnceFunc(func() { close(done); running.Wait() })
	t.Cleanup(c.stop)
	return c
}

func (c *changing) write(t *testing.T, users userv1.UserServiceClient, id string, n int) {
	name := "users/" + id
	u := &userv1.User{Name: name, Email: id + "@example.com", DisplayName: fmt.Sprint("name ", n)}
	for t.Context().Err() == nil {
		var got *userv1.User
		var err error
		switch rand.IntN(4) {
		case 0:
			got, err = users.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: name})
		case 1:
			got, err = users.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: name})
		default:
			got, err = users.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: u, AllowMissing: true})
		}
		if err == nil {
			c.count.Add(1)
			c.mu.Lock()
			c.last[name] = got
			c.mu.Unlock()
			return
		}
		if code := errs.Code(err); code != codes.Unavailable && code != codes.NotFound && code != codes.DeadlineExceeded {
			t.Errorf("write %s: %v", name, err)
			return
		}
	}
}

// wantExactHistory waits until the history has all, and checks that it has each
// version of each user once and in order.
func (p *auditPlatform) wantExactHistory(audits auditv1.AuditServiceClient, last map[string]*userv1.User) {
	p.t.Helper()
	for name, u := range last {
		p.wait("the history of "+name, func() bool {
			resp, err := audits.ListChanges(bounded(p.t), &auditv1.ListChangesRequest{User: name, OrderBy: "position desc", PageSize: 1})
			return err == nil && len(resp.GetChanges()) > 0 && resp.GetChanges()[0].GetUserEtag() == u.GetEtag()
		})
	}
	versions := map[string]int64{}
	for i, c := range listChanges(p.t, audits, &auditv1.ListChangesRequest{}) {
		if c.GetPosition() != int64(i)+1 {
			p.t.Fatalf("position %d comes after %d", c.GetPosition(), i)
		}
		if last[c.GetUser()] == nil {
			continue
		}
		if v := versionOf(p.t, c.GetUserEtag()); v != versions[c.GetUserUid()]+1 || c.GetInferred() {
			p.t.Errorf("version %d of %s comes after version %d (inferred: %t)", v, c.GetUser(), versions[c.GetUserUid()], c.GetInferred())
		}
		versions[c.GetUserUid()]++
	}
}
