package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// TestAnImportSurvivesAKill imports users from a file through the command while
// the instances are killed with -9, one after another, until the stream breaks;
// the command run again completes it. Every user is there, none twice, and a
// watcher that resumes on whichever instance lives saw each once, in order.
// KEELSONTEST_IMPORT_USERS sets how many.
func TestAnImportSurvivesAKill(t *testing.T) {
	n := size(t, "KEELSONTEST_IMPORT_USERS", 4000)
	p := newPlatform(t)
	instances := map[string]*instance{}
	for i := range 3 {
		id := fmt.Sprintf("user-%d", i+1)
		instances[id] = p.start(id)
	}
	conn, err := p.client().Dial("user")
	if err != nil {
		t.Fatal(err)
	}
	users := userv1.NewUserServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	w := startWatcher(ctx, users)

	input := writeImport(t, p.dir, n)
	begin := time.Now()
	complaints := p.importBroken(ctx, input, n, func(ctx context.Context) string { return killImporting(ctx, instances, w, n) })
	again := p.command("call", "user", "ImportUsers", "@"+input)
	out, err := again.Output()
	if err != nil {
		t.Fatalf("the import run again: %v\n%s", err, complaints)
	}
	t.Logf("%d users in %s (%.0f/s), the interruption and the second run included", n, time.Since(begin).Round(time.Millisecond), float64(n)/time.Since(begin).Seconds())
	if want := fmt.Sprintf(`"received":"%d"`, n); !bytes.Contains(compact(out), []byte(want)) {
		t.Errorf("the summary does not say %s:\n%s", want, tail(out))
	}
	checkList(ctx, t, users, n)
	w.check(t, p, n)
}

// importBroken runs the import of a file whose second half is there only once an
// instance was killed, so that the import cannot be over before. It returns what
// the command said.
func (p *platform) importBroken(ctx context.Context, input string, n int, kill func(context.Context) (victim string)) (complaints string) {
	p.t.Helper()
	ctx, over := context.WithCancel(ctx)
	defer over()
	first := p.command("call", "user", "ImportUsers", "-")
	var said bytes.Buffer
	first.Stderr = &said
	stdin, err := first.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := os.ReadFile(input)
	if err != nil {
		p.t.Fatal(err)
	}
	lines := bytes.SplitAfterN(text, []byte("\n"), n/2+2)
	half := len(text) - len(lines[len(lines)-1])
	killed := make(chan string, 1)
	var feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = stdin.Write(text[:half]) // the command says what is wrong
		killed <- kill(ctx)
		_, _ = stdin.Write(text[half:])
		_ = stdin.Close()
	})
	err = first.Run()
	over()
	feeding.Wait()
	p.t.Logf("first run: %v; killed %s", err, <-killed)
	if err == nil {
		p.t.Error("the instance that took the import was killed, and the command did not say so")
	}
	return said.String()
}

// killImporting kills the instance that holds the import's stream once a part
// of it is stored, and returns its ID.
func killImporting(ctx context.Context, instances map[string]*instance, w *watcher, n int) string {
	for w.seen.Load() < int64(n/4) {
		select {
		case <-ctx.Done():
			return "none"
		case <-time.After(time.Millisecond):
		}
	}
	// The one with an open stream of the method has it: ask each.
	for ctx.Err() == nil {
		for id, i := range instances {
			if holdsImport(ctx, i) {
				i.kill()
				return id
			}
		}
	}
	return "none"
}

// holdsImport asks an instance's metrics whether an import is open on it.
func holdsImport(ctx context.Context, i *instance) bool {
	v, err := gauge(ctx, i.OpsAddress, `grpc_server_open_streams{`, `grpc_method="ImportUsers"`)
	return err == nil && v > 0
}

// writeImport writes an import of n users as NDJSON.
func writeImport(t *testing.T, dir string, n int) string {
	t.Helper()
	name := filepath.Join(dir, "users.ndjson")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriter(f)
	fmt.Fprintln(b, `{"start":{"importId":"spring-2026"}}`)
	for i := range n {
		fmt.Fprintf(b, `{"item":{"sequence":"%d","userId":"user-%07d","user":{"email":"user-%07d@example.com","displayName":"User %d"}}}`+"\n", i, i, i, i)
	}
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

func checkList(ctx context.Context, t *testing.T, users userv1.UserServiceClient, n int) {
	t.Helper()
	seen := map[string]bool{}
	for token := ""; ; {
		page, err := users.ListUsers(ctx, &userv1.ListUsersRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.GetUsers() {
			if seen[u.GetName()] {
				t.Errorf("%s is listed twice", u.GetName())
			}
			seen[u.GetName()] = true
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(seen) != n {
		t.Errorf("%d users, want %d", len(seen), n)
	}
}

// watcher follows all users, and resumes wherever it can when its instance goes
// away.
type watcher struct {
	seen    atomic.Int64
	resumed atomic.Int64
	wrong   chan string
}

func startWatcher(ctx context.Context, users userv1.UserServiceClient) *watcher {
	w := &watcher{wrong: make(chan string, 100)}
	go w.run(ctx, users)
	return w
}

func (w *watcher) run(ctx context.Context, users userv1.UserServiceClient) {
	revision, known := "", map[string]bool{}
	for ctx.Err() == nil {
		req := &userv1.WatchUsersRequest{StartRevision: revision}
		s, err := users.WatchUsers(ctx, req)
		for err == nil {
			var e *userv1.WatchUsersResponse
			if e, err = s.Recv(); err != nil {
				break
			}
			if e.GetRevision() != "" {
				revision = e.GetRevision()
			}
			if e.GetType() == userv1.WatchUsersResponse_TYPE_BOOKMARK {
				continue
			}
			name := e.GetUser().GetName()
			if e.GetType() != userv1.WatchUsersResponse_TYPE_ADDED || known[name] {
				w.report(fmt.Sprintf("%s of %s, seen before: %v", e.GetType(), name, known[name]))
			}
			known[name] = true
			w.seen.Add(1)
		}
		if token, ok := errs.ResumeToken(err); ok {
			revision = token
		}
		w.resumed.Add(1)
	}
}

func (w *watcher) report(what string) {
	select {
	case w.wrong <- what:
	default: // enough is known
	}
}

// check waits until the watcher has seen n users and reports what was wrong.
func (w *watcher) check(t *testing.T, p *platform, n int) {
	t.Helper()
	p.wait("the watcher to see every user", func() bool { return w.seen.Load() >= int64(n) })
	if got := w.seen.Load(); got != int64(n) {
		t.Errorf("the watcher saw %d changes, want %d", got, n)
	}
	for len(w.wrong) > 0 {
		t.Error("the watcher saw", <-w.wrong)
	}
	t.Logf("the watcher resumed %d times", w.resumed.Load())
}

// compact drops spaces, so that the output's layout does not matter.
func compact(b []byte) []byte { return bytes.ReplaceAll(b, []byte(" "), nil) }

func tail(b []byte) []byte { return b[max(0, len(b)-500):] }
