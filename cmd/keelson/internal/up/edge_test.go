package up_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/up"
)

// listen takes a port of the system's choice until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // it may be closed already
	return l
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l := listen(t)
	must(t, l.Close())
	return l.Addr().String()
}

// takeWhenHeld takes an address, for as long as the context lasts, as soon as an
// echo is held, and lets that go.
func takeWhenHeld(ctx context.Context, address, held string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(held); err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	return os.WriteFile(held+".go", nil, 0o600)
}

// withEdge is a platform file with an edge at an address.
func withEdge(address string) string {
	return fmt.Sprintf("\nservices:\n  - {name: echo, package: ./echo, edge: %q, open: [/page]}\n", address)
}

// edgeOf is where the edge of the one instance listens, which up must have said.
func (r *run) edgeOf() string {
	r.t.Helper()
	list := r.instances()
	if len(list) != 1 {
		r.t.Fatalf("%d instances are registered, want 1\n%s", len(list), r.out)
	}
	at := list[0].Meta["edge_address"]
	if !strings.Contains(r.out.String(), "Open http://"+at+"/page in a browser") {
		r.t.Errorf("up does not say that the edge is at %s:\n%s", at, r.out)
	}
	return at
}

func TestTheEdgeKeepsItsPortOverACrash(t *testing.T) {
	want := free(t)
	r := start(t, module(t, withEdge(want)), up.Options{})
	if at := r.edgeOf(); at != want {
		t.Errorf("the edge is at %s, want %s as the file says", at, want)
	}
	victim := r.instances()[0].PID
	must(t, syscall.Kill(victim, syscall.SIGKILL))
	eventually(t, "the killed instance is back", func() bool {
		list := r.instances()
		return len(list) == 1 && list[0].PID != victim
	})
	if at := r.edgeOf(); at != want {
		t.Errorf("after the crash the edge is at %s, want %s as before", at, want)
	}
}

func TestTheEdgeTakesAnotherPortThanOneThatIsTaken(t *testing.T) {
	taken := listen(t).Addr().String()
	r := start(t, module(t, withEdge(taken)), up.Options{})
	if at := r.edgeOf(); at == taken || !strings.HasPrefix(at, "127.0.0.1:") {
		t.Errorf("the edge is at %s", at)
	}
	if !strings.Contains(r.out.String(), "echo-1 cannot listen on "+taken) {
		t.Errorf("that the port is taken is not told:\n%s", r.out)
	}
}

// TestTheEdgeTakesAnotherPortThanOneTakenMeanwhile takes the port after up has
// looked at it, as another up does that starts at the same time.
func TestTheEdgeTakesAnotherPortThanOneTakenMeanwhile(t *testing.T) {
	want := free(t)
	held := filepath.Join(t.TempDir(), "held")
	t.Setenv("ECHO_HOLD", held)
	taken := make(chan error, 1)
	go func() { taken <- takeWhenHeld(t.Context(), want, held) }()
	r := start(t, module(t, withEdge(want)), up.Options{})
	must(t, <-taken)
	if at := r.edgeOf(); at == want {
		t.Errorf("the edge is at %s, which is somebody else's", at)
	}
}
