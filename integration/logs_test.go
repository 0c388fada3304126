package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// callers make numbered calls, side by side, until they are told to stop or a
// call gets no answer. Each call has a correlation ID of its own.
type callers struct {
	mu     sync.Mutex
	acked  map[string]time.Time // correlation ID -> when the answer was there
	failed error                // of a call that got no answer, while the test wanted one
	next   atomic.Int64
	done   sync.WaitGroup
}

func startCallers(ctx context.Context, users userv1.UserServiceClient, n int) *callers {
	c := &callers{acked: map[string]time.Time{}}
	for range n {
		c.done.Go(func() {
			for ctx.Err() == nil && c.one(ctx, users) {
			}
		})
	}
	return c
}

// one makes one call for a user that is not there, and reports whether the
// service answered.
func (c *callers) one(ctx context.Context, users userv1.UserServiceClient) bool {
	id := fmt.Sprintf("call-%d", c.next.Add(1))
	bounded, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, call.CorrelationKey, id), 10*time.Second)
	defer cancel()
	_, err := users.GetUser(bounded, &userv1.GetUserRequest{Name: "users/nobody"})
	c.mu.Lock()
	defer c.mu.Unlock()
	if status.Code(err) != codes.NotFound {
		if ctx.Err() == nil {
			c.failed = err
		}
		return false
	}
	c.acked[id] = time.Now()
	return true
}

// more waits for further answers, and fails the test when a call got none.
func (c *callers) more(p *platform, n int) {
	p.t.Helper()
	before := c.count()
	p.wait(fmt.Sprintf("%d more answers", n), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.failed != nil {
			p.t.Fatalf("a call failed: %v", c.failed)
		}
		return len(c.acked) >= before+n
	})
}

func (c *callers) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (p *platform) users(opts ...grpc.DialOption) userv1.UserServiceClient {
	p.t.Helper()
	conn, err := p.client().Dial("user", opts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return userv1.NewUserServiceClient(conn)
}

// logLines reads the lines of a log until it ends; each must be an object of
// JSON, but for one that a crash has cut off at the end.
func logLines(t *testing.T, r io.Reader) []map[string]any {
	t.Helper()
	var lines []map[string]any
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return lines
		}
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("a line is not JSON: %v\n%s", err, text)
		}
		lines = append(lines, line)
	}
}

// logged counts the lines of calls by correlation ID.
func logged(lines []map[string]any) map[string]int {
	ids := map[string]int{}
	for _, line := range lines {
		if id, ok := line["labels.correlation_id"].(string); ok && line["event.action"] == "server_call" {
			ids[id]++
		}
	}
	return ids
}

// Lines are written out every 50 ms. On a busy machine that may be later; what was
// answered a second before the kill has its line.
func TestAKilledInstanceLosesItsLastLinesOnly(t *testing.T) {
	p := newPlatform(t)
	path := filepath.Join(p.dir, "log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	i := p.startTo("a", out, "KEELSON_LOG__LEVEL=info")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 4)
	began := time.Now()
	p.wait("2000 answers in three seconds or more", func() bool { return c.count() > 2000 && time.Since(began) > 3*time.Second })
	killed := time.Now()
	i.kill()
	cancel()
	c.done.Wait()

	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	lines := logged(logLines(t, in))
	lost := 0
	for id, at := range c.acked {
		if lines[id] == 0 && killed.Sub(at) > time.Second {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d calls answered more than a second before the kill have no line", lost, len(c.acked))
	}
}

func TestAnOrderlyStopLosesNoLine(t *testing.T) {
	p := newPlatform(t)
	path := filepath.Join(p.dir, "log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	i := p.startTo("a", out, "KEELSON_LOG__LEVEL=info", "KEELSON_DRAIN__PROPAGATION=300ms")
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, p.users(), 4)
	p.wait("1000 answers", func() bool { return c.count() > 1000 })
	i.end(t)
	cancel()
	c.done.Wait()

	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	lines := logged(logLines(t, in))
	for id := range c.acked {
		if lines[id] != 1 {
			t.Fatalf("call %s was answered and has %d lines", id, lines[id])
		}
	}
}

// jam makes calls until the log of an instance, which nobody reads, drops lines.
func (p *platform) jam(i *instance) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	c := startCallers(ctx, p.users(), 16)
	p.wait("the log to drop lines", func() bool {
		n, err := gauge(ctx, i.OpsAddress, "keelson_log_dropped_lines_total")
		return err == nil && n > 100
	})
	before := c.count()
	p.wait("calls to go on", func() bool { return c.count() > before+500 })
	cancel()
	c.done.Wait()
}

func TestALogPipeThatNobodyReadsBlocksNoCall(t *testing.T) {
	p := newPlatform(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	i := p.startTo("a", w, "KEELSON_LOG__LEVEL=info")
	_ = w.Close() // the instance has its own
	p.jam(i)
	var lines []map[string]any
	read := make(chan struct{})
	go func() { defer close(read); lines = logLines(t, r) }()
	c := startCallers(t.Context(), p.users(), 1)
	p.wait("calls after the blockage", func() bool { return c.count() > 100 })
	dropped, err := gauge(t.Context(), i.OpsAddress, "keelson_log_dropped_lines_total")
	if err != nil {
		t.Fatal(err)
	}
	i.end(t)
	c.done.Wait()
	<-read
	told := 0.0
	for _, line := range lines {
		if n, ok := line["keelson.dropped_lines"].(float64); ok {
			told += n
		}
	}
	if told != dropped {
		t.Errorf("the log tells of %v dropped lines, the metric of %v", told, dropped)
	}
	ids := logged(lines)
	for id := range c.acked {
		if ids[id] == 0 {
			t.Fatalf("call %s came after the blockage and has no line", id)
		}
	}
}

func TestALogPipeThatNobodyReadsDoesNotHoldUpTheStop(t *testing.T) {
	p := newPlatform(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	i := p.startTo("a", w, "KEELSON_LOG__LEVEL=info", "KEELSON_DRAIN__PROPAGATION=200ms")
	_ = w.Close()
	p.jam(i)
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait("the instance to end", func() bool {
		select {
		case <-i.done:
			return true
		default:
			return false
		}
	})
	if strings.Contains(i.cmd.ProcessState.String(), "signal") {
		t.Errorf("it ended with %s", i.cmd.ProcessState)
	}
}

// getMany makes calls, each of which must be answered.
func getMany(t *testing.T, conn *grpc.ClientConn, n int) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := userv1.NewUserServiceClient(conn).ListUsers(ctx, &userv1.ListUsersRequest{})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}
