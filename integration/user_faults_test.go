package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	_ "modernc.org/sqlite" // to hold the file's lock, as another program would

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// tcpProxy stands between instances and a server, and can go away.
type tcpProxy struct {
	target string
	lis    net.Listener
	mu     sync.Mutex
	away   bool
	conns  map[net.Conn]bool
}

// proxied returns a proxy and the connection string that leads through it.
func proxied(t *testing.T, dsn string) (*tcpProxy, string) {
	t.Helper()
	u := must[*url.URL](t)(url.Parse(dsn))
	p := &tcpProxy{target: u.Host, lis: must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0")), conns: map[net.Conn]bool{}}
	u.Host = p.lis.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	t.Cleanup(func() {
		_ = p.lis.Close()
		p.cut()
		serving.Wait()
	})
	return p, u.String()
}

func (p *tcpProxy) serve(wg *sync.WaitGroup) {
	for {
		in, err := p.lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		for _, c := range [][2]net.Conn{{in, out}, {out, in}} {
			wg.Go(func() {
				_, _ = io.Copy(c[0], c[1])
				_ = in.Close()
				_ = out.Close()
			})
		}
	}
}

// keep notes connections that cut is to break, unless it has been called.
func (p *tcpProxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

// cut breaks all connections and refuses new ones, until back.
func (p *tcpProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *tcpProxy) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// TestUserServiceOutlivesPostgres crashes PostgreSQL under writers, lets it go
// away and come back. Calls get their answer, or UNAVAILABLE with the time to
// wait, before their deadline; nothing acknowledged is lost; a repeated request
// has its effect once; a watcher goes on; and no instance is restarted.
func TestUserServiceOutlivesPostgres(t *testing.T) {
	dsn := postgres.Database(t)
	proxy, through := proxied(t, dsn)
	p := &userPlatform{newPlatform(t), []string{"KEELSON_STORE__DRIVER=postgres", "KEELSON_STORE__POSTGRES__DSN=" + through}}
	all := p.runs("a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	f, watched := &feed{}, make(chan struct{})
	start := must[*userv1.ListUsersResponse](t)(all[0].ListUsers(bounded(t), &userv1.ListUsersRequest{})).GetRevision()
	go func() { defer close(watched); f.follow(ctx, all[0], &userv1.WatchUsersRequest{StartRevision: start}) }()

	w := writeThrough(t, all, 8)
	p.wait("writes", func() bool { return w.acknowledged.Load() > 100 })
	postgres.Restart(t)
	before := w.acknowledged.Load()
	p.wait("writes after the crash", func() bool { return w.acknowledged.Load() > before+100 })
	proxy.cut()
	refused := w.refused.Load()
	p.wait("refusals", func() bool { return w.refused.Load() > refused+20 })
	proxy.back()
	before = w.acknowledged.Load()
	p.wait("writes after the absence", func() bool { return w.acknowledged.Load() > before+100 })
	w.stop()
	users := pages(t, all[1], &userv1.ListUsersRequest{PageSize: 1000})
	if int64(len(users)) != w.acknowledged.Load() {
		t.Errorf("%d users; %d were acknowledged, each once", len(users), w.acknowledged.Load())
	}
	end := makeUser(t, all[1], "the-end")
	want := fmt.Sprintf("TYPE_ADDED %s %s", end.GetName(), end.GetEtag())
	p.wait("the watcher to see the end", func() bool { return f.last() == want })
	cancel()
	<-watched
	if len(f.seen) != len(users)+1 {
		t.Errorf("the watcher saw %d changes, of %d", len(f.seen), len(users)+1)
	}
	t.Logf("%d writes, %d refused, the watcher resumed %d times", w.acknowledged.Load(), w.refused.Load(), f.resume-1)
}

// TestUserInstancesAreReadyWithoutTheirStore: a store that all share and that is
// away makes instances degraded, not unready: nobody else could answer better.
func TestUserInstancesAreReadyWithoutTheirStore(t *testing.T) {
	t.Parallel() // it waits for the next check of the store
	proxy, through := proxied(t, postgres.Database(t))
	p := &userPlatform{newPlatform(t), []string{"KEELSON_STORE__DRIVER=postgres", "KEELSON_STORE__POSTGRES__DSN=" + through}}
	all := p.runs("a")
	proxy.cut()
	for _, i := range all {
		p.wait("degraded and ready", func() bool {
			code, body := readyz(t, i.instance)
			if code != http.StatusOK {
				t.Fatalf("/readyz answers %d: %s", code, body)
			}
			return strings.Contains(body, "degraded")
		})
	}
	proxy.back()
	makeUser(t, all[0], "back-again")
}

// writers create users until they are stopped; each repeats a request with the
// same ID until it is answered.
type writers struct {
	acknowledged, refused atomic.Int64
	enough                chan struct{}
	done                  sync.WaitGroup
}

func writeThrough(t *testing.T, all []*userInstance, n int) *writers {
	w := &writers{enough: make(chan struct{})}
	for i := range n {
		w.done.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-w.enough:
					return
				default:
				}
				id := fmt.Sprintf("through-%d-%d", i, k)
				req := &userv1.CreateUserRequest{UserId: id, RequestId: uuid.NewString(), User: &userv1.User{Email: email(id)}}
				for try := i; w.once(t, all[try%len(all)], req); try++ {
					continue
				}
			}
		})
	}
	return w
}

// once makes a request; it reports whether it has to be made again.
func (w *writers) once(t *testing.T, c userv1.UserServiceClient, req *userv1.CreateUserRequest) (again bool) {
	_, err := c.CreateUser(t.Context(), req) // the server's own deadline
	e := errs.From(errs.FromWire(err))
	switch after, ok := e.RetryAfter(); {
	case err == nil:
		w.acknowledged.Add(1)
		return false
	case t.Context().Err() != nil:
		return false
	case e.Code() != codes.Unavailable && e.Code() != codes.Aborted, !ok, after <= 0:
		t.Errorf("a write while PostgreSQL is away: %v; want UNAVAILABLE with the time to wait", err)
		return false
	}
	w.refused.Add(1)
	return true
}

func (w *writers) stop() {
	close(w.enough)
	w.done.Wait()
}

func readyz(t *testing.T, i *instance) (int, string) {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(bounded(t), http.MethodGet, "http://"+i.OpsAddress+"/readyz", nil))
	resp := must[*http.Response](t)(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	return resp.StatusCode, string(must[[]byte](t)(io.ReadAll(resp.Body)))
}

// TestUserServiceSaysWhatIsWrongWithItsFile starts instances on files that
// cannot be used, and holds a good one's lock.
func TestUserServiceSaysWhatIsWrongWithItsFile(t *testing.T) {
	t.Parallel() // it waits for a lock
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	garbage := filepath.Join(dir, "garbage.db")
	for name, content := range map[string]string{file: "", garbage: strings.Repeat("no database ", 1000)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]string{"directory is a file": filepath.Join(file, "user.db"), "file is a directory": dir, "no database": garbage} {
		t.Run(name, func(t *testing.T) {
			c := newPlatform(t).service("KEELSON_STORE__SQLITE__PATH=" + path)
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Run(); err == nil || c.ProcessState.ExitCode() < 1 {
				t.Errorf("it ended with %v", err)
			}
			if !strings.Contains(out.String(), filepath.Dir(path)) {
				t.Errorf("it does not name %s:\n%s", path, &out)
			}
		})
	}
	t.Run("locked", func(t *testing.T) {
		p := onSQLite(t)
		c := p.run("a")
		makeUser(t, c, "before")
		db := must[*sql.DB](t)(sql.Open("sqlite", filepath.Join(p.dir, "made", "here", "user.db")))
		defer db.Close()
		conn := must[*sql.Conn](t)(db.Conn(bounded(t)))
		if _, err := conn.ExecContext(bounded(t), "BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		_, err := c.CreateUser(bounded(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "locked@example.com"}})
		if wrong := refusal(err, codes.Unavailable, "STORE_UNAVAILABLE", ""); wrong != nil {
			t.Error(wrong)
		}
		must[*userv1.User](t)(c.GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/before"})) // readers never wait
		if _, err := conn.ExecContext(bounded(t), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		makeUser(t, c, "after")
	})
}

// TestUserInstancesMigrateAtOnce starts three instances on an empty store at
// the same moment, and a fourth on the migrated one.
func TestUserInstancesMigrateAtOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		ids := []string{"a", "b", "c"}
		all := make([]*userInstance, len(ids))
		binary(t, "services/user/cmd/user")
		var starting sync.WaitGroup
		for i, id := range ids {
			starting.Go(func() { all[i] = p.run(id) })
		}
		starting.Wait()
		if t.Failed() {
			return
		}
		for i, c := range slices.Concat(all, []*userInstance{p.run("d")}) {
			makeUser(t, c, fmt.Sprintf("migrated-%d", i))
		}
		if users := pages(t, all[0], &userv1.ListUsersRequest{}); len(users) != 4 {
			t.Errorf("%d users; want 4", len(users))
		}
	})
}
