package up_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/call"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/up"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
)

// request calls the platform as a user would.
func (r *run) request(method, input string) (string, error) {
	var out, problems bytes.Buffer
	err := call.Run(context.Background(), call.Options{
		Target: "echo", Method: method, Input: &input, In: strings.NewReader(""), Out: &out, Err: &problems,
	})
	if err != nil {
		return problems.String(), err
	}
	return out.String(), nil
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestPlatformStartsAnswersSurvivesACrashAndLeavesNothing(t *testing.T) {
	r := start(t, module(t, echo), up.Options{})
	t.Setenv(workspace.Variable, r.registry())
	first := r.instances()
	if len(first) != 2 {
		t.Fatalf("%d instances are registered, want 2", len(first))
	}
	for _, want := range []string{"SERVICE", "echo-1", "echo-2", first[0].Address, first[1].OpsAddress, "serving", "keelson call echo EmptyCall", "curl -s http://"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, r.out)
		}
	}
	if answer, err := r.request("UnaryCall", `{"payload": {"body": "aGk="}}`); err != nil || !strings.Contains(answer, `"body": "aGk="`) {
		t.Fatalf("UnaryCall: %v\n%s", err, answer)
	}

	victim := first[0]
	must(t, syscall.Kill(victim.PID, syscall.SIGKILL))
	eventually(t, "the killed instance is back", func() bool {
		for _, in := range r.instances() {
			if in.ID == victim.ID && in.PID != victim.PID {
				return strings.Contains(r.out.String(), "serving (1. restart)")
			}
		}
		return false
	})
	if !strings.Contains(r.out.String(), "was ended by signal 9 (killed)") {
		t.Errorf("the crash is not told:\n%s", r.out)
	}

	last := r.instances()
	r.end()
	for _, in := range append(first, last...) {
		if alive(in.PID) {
			t.Errorf("%s (PID %d) is still there after the stop", in.ID, in.PID)
		}
	}
	if left := r.instances(); len(left) > 0 {
		t.Errorf("left in the registry: %v", left)
	}

	again := start(t, r.root, up.Options{Instances: 1})
	if n := len(again.instances()); n != 1 {
		t.Errorf("the second run has %d instances, want the 1 that was asked for", n)
	}
}

func TestSecondUpInADirectoryIsRefusedByPID(t *testing.T) {
	r := start(t, module(t, echo), up.Options{Instances: 1})
	err := up.New(up.Options{File: filepath.Join(r.root, "keelson.yaml"), Output: &buffer{}}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another `keelson up` (PID ") {
		t.Fatalf("got %v, want that another up runs", err)
	}
}

func TestASettingThatNoServiceHasIsRefused(t *testing.T) {
	t.Setenv("KEELSON_GRPC__ADRESS", "127.0.0.1:1")
	err := up.New(up.Options{File: filepath.Join(module(t, echo), "keelson.yaml"), Output: &buffer{}}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "KEELSON_GRPC__ADRESS") || !strings.Contains(err.Error(), "--print-config") {
		t.Fatalf("got %v, want that no service has the setting", err)
	}
}

func TestASettingOfTheShellReachesTheServicesThatHaveIt(t *testing.T) {
	t.Setenv("KEELSON_ZONE", "north")
	r := start(t, module(t, echo), up.Options{Instances: 1})
	if in := r.instances(); len(in) != 1 || in[0].Zone != "north" {
		t.Errorf("registered: %+v, want one instance in the zone of the shell", in)
	}
}

func TestInstancesDieWithAKilledUp(t *testing.T) {
	root := module(t, echo)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+filepath.Join(root, "keelson.yaml"))
	out := &buffer{}
	child.Stdout, child.Stderr = out, out
	must(t, child.Start())
	eventually(t, "the platform is ready", func() bool { return strings.Contains(out.String(), "\nready in") })
	r := &run{t: t, root: root}
	instances := r.instances()
	must(t, child.Process.Kill())
	_ = child.Wait() // it was killed
	if len(instances) != 2 {
		t.Fatalf("%d instances were registered, want 2", len(instances))
	}
	for _, in := range instances {
		eventually(t, in.ID+" has died", func() bool { return !alive(in.PID) })
	}
	left, err := workspace.Registry{Dir: r.registry()}.Instances()
	must(t, err)
	if len(left) > 0 {
		t.Errorf("the commands still see %v", left)
	}
}

func TestKillEndsAllForGood(t *testing.T) {
	r := start(t, module(t, echo), up.Options{})
	instances := r.instances()
	r.up.Kill()
	for _, in := range instances {
		eventually(t, in.ID+" has died", func() bool { return !alive(in.PID) })
	}
	r.end()
	if out := r.out.String(); strings.Contains(out, "starting it again") {
		t.Errorf("what was killed is started again:\n%s", out)
	}
	if left := r.instances(); len(left) > 0 {
		t.Errorf("left in the registry: %v", left)
	}
}

func TestWatchReplacesInstancesWithoutAFailedCall(t *testing.T) {
	r := start(t, module(t, echo), up.Options{Watch: true})
	t.Setenv(workspace.Variable, r.registry())
	eventually(t, "the sources are watched", func() bool { return strings.Contains(r.out.String(), "watching") })
	source := filepath.Join(r.root, "echo", "main.go")
	old, err := os.ReadFile(source)
	must(t, err)

	load := newLoad(t, r.registry())
	must(t, os.WriteFile(source, []byte("package main\n\nfunc main() { broken }\n"), 0o644))
	eventually(t, "the build error is shown", func() bool {
		return strings.Contains(r.out.String(), "undefined: broken") && strings.Contains(r.out.String(), "run on")
	})
	must(t, os.WriteFile(source, bytes.Replace(old, []byte(`version = "one"`), []byte(`version = "two"`), 1), 0o644))
	eventually(t, "both instances were replaced", func() bool { return strings.Contains(r.out.String(), "echo: 2 instances replaced") })
	eventually(t, "the new program answers", func() bool { return load.last.Load() == "two" })
	calls, failed := load.end()
	if failed != nil {
		t.Errorf("of %d calls one failed: %v", calls, failed)
	}
	if calls == 0 {
		t.Error("there were no calls")
	}
	for _, in := range r.instances() {
		if !strings.HasSuffix(in.ID, ".2") {
			t.Errorf("%s is registered, want replacements only", in.ID)
		}
	}
}

func TestServicesStopInTheReverseOrder(t *testing.T) {
	r := start(t, module(t, `
services:
  - {name: first, package: ./echo, env: {ECHO_NAME: first}}
  - {name: second, package: ./echo, env: {ECHO_NAME: second}}
`), up.Options{})
	r.end()
	out := r.out.String()
	last := strings.Index(out, "second-1 │ echo: stopped")
	next := strings.Index(out, "first-1  │ echo: told to stop")
	if last < 0 || next < 0 || next < last {
		t.Errorf("second stopped at %d, first was told at %d, want that one after the other", last, next)
	}
}

func TestServiceOfAnotherNameIsToldFromOneThatHangs(t *testing.T) {
	root := module(t, "start_timeout: 10s\nservices: [{name: user, package: ./echo}]\n")
	err := up.New(up.Options{File: filepath.Join(root, "keelson.yaml"), Output: &buffer{}}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not healthy within 10s") || !strings.Contains(err.Error(), "registered itself as echo") {
		t.Errorf("got %v", err)
	}
}

func TestStartThatFailsShowsWhyAndEndsEverything(t *testing.T) {
	root := module(t, strings.Replace(echo, "instances: 2", "instances: 2\n    env: {KEELSON_NO_SUCH_KEY: x}", 1))
	var out buffer
	err := up.New(up.Options{File: filepath.Join(root, "keelson.yaml"), Output: &out}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended with status 1 before it was healthy") {
		t.Errorf("got %v, want that an instance ended", err)
	}
	if !strings.Contains(out.String(), "KEELSON_NO_SUCH_KEY") {
		t.Errorf("what the instance said is not shown:\n%s", &out)
	}
}

func TestBuildThatFailsShowsTheCompiler(t *testing.T) {
	root := module(t, echo)
	must(t, os.WriteFile(filepath.Join(root, "echo", "main.go"), []byte("package main\n\nfunc main() { broken }\n"), 0o644))
	var out buffer
	err := up.New(up.Options{File: filepath.Join(root, "keelson.yaml"), Output: &out}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "build echo from ./echo") || !strings.Contains(out.String(), "undefined: broken") {
		t.Errorf("got %v and\n%s", err, &out)
	}
}

func TestAMissingToolchainIsSaid(t *testing.T) {
	root := module(t, echo)
	t.Setenv("PATH", t.TempDir())
	var out buffer
	err := up.New(up.Options{File: filepath.Join(root, "keelson.yaml"), Output: &out}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "install Go from") || strings.Contains(err.Error(), "above") {
		t.Errorf("got %v and\n%s", err, &out)
	}
}

// load calls the platform without pause, on one connection.
type load struct {
	calls  int
	failed error
	last   atomic.Value
	cancel context.CancelFunc
	done   chan struct{}
}
