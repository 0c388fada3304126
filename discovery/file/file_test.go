package file_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

func user(id string) discovery.Instance {
	return discovery.Instance{Service: "user", ID: id, Address: "127.0.0.1:8080"}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestNewWantsADirectory(t *testing.T) {
	if _, err := file.New("", file.Config{}); err == nil || !strings.Contains(err.Error(), "discovery.file.dir") {
		t.Errorf("got %v, want an error that says what to set", err)
	}
	d := newDriver(t, "/tmp/x/", file.Config{})
	if d.Dir() != "/tmp/x" || d.String() != "file registry /tmp/x" || d.Scheme() != file.Scheme {
		t.Errorf("%q, %q, %q", d.Dir(), d.String(), d.Scheme())
	}
}

func TestFileIsReadableJSONAndNothingElseIsLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	in := user("user-1")
	in.Version, in.Weight, in.Meta = "v1", 50, map[string]string{"k": "v"}
	must(t, newDriver(t, dir, file.Config{}).Register(t.Context(), in))
	if diff := cmp.Diff([]string{"user-1.json"}, names(t, filepath.Join(dir, "user"))); diff != "" {
		t.Error(diff)
	}
	path := filepath.Join(dir, "user", "user-1.json")
	b, err := os.ReadFile(path)
	must(t, err)
	var got map[string]any
	must(t, json.Unmarshal(b, &got))
	delete(got, "process")
	want := map[string]any{
		"service": "user", "id": "user-1", "address": "127.0.0.1:8080", "version": "v1", "weight": 50.0, "meta": map[string]any{"k": "v"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o644 {
		t.Errorf("mode %s", info.Mode())
	}
}

func TestNamesNeverLeaveTheDirectory(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "registry")
	d := newDriver(t, dir, file.Config{})
	for _, id := range []string{"../escape", "../../escape", "/etc/escape", "..", ".", "a/../../b", `..\escape`, "%2e%2e%2fescape", strings.Repeat("../", 80)} {
		must(t, d.Register(t.Context(), user(id)))
	}
	if diff := cmp.Diff([]string{"registry"}, names(t, root)); diff != "" {
		t.Errorf("outside of the registry: %s", diff)
	}
	if diff := cmp.Diff([]string{"user"}, names(t, dir)); diff != "" {
		t.Errorf("outside of the service: %s", diff)
	}
	if got := names(t, filepath.Join(dir, "user")); len(got) != 9 {
		t.Errorf("%d files: %q", len(got), got)
	}
}

func FuzzIDsNeverMeetAndNeverEscape(f *testing.F) {
	f.Add("a", "A")
	f.Add("a/b", "a%2fb")
	f.Add(strings.Repeat("é", 120), strings.Repeat("é", 119)+"e")
	f.Add("..", ".")
	f.Fuzz(func(t *testing.T, a, b string) {
		if discovery.ValidateID(a) != nil || discovery.ValidateID(b) != nil || a == b {
			return // no two instances
		}
		dir := t.TempDir()
		d := newDriver(t, dir, file.Config{})
		must(t, d.Register(t.Context(), user(a)))
		must(t, d.Register(t.Context(), user(b)))
		got := names(t, filepath.Join(dir, "user"))
		if len(got) != 2 || strings.EqualFold(got[0], got[1]) {
			t.Errorf("%q and %q are in %q", a, b, got)
		}
		list, err := file.List(dir)
		must(t, err)
		for _, in := range list {
			if in.ID != a && in.ID != b {
				t.Errorf("read back %q", in.ID)
			}
		}
	})
}

// once returns the first answer of a watch.
func once(t *testing.T, d *file.Driver) discovery.Update {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var first discovery.Update
	err := d.Watch(ctx, discovery.Query{Service: "user"}, func(u discovery.Update) { first = u; cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Watch: %v", err)
	}
	return first
}

func TestGarbageIsLeftOutAndReported(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	must(t, d.Register(t.Context(), user("good")))
	in := func(name, content string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, "user", name), []byte(content), 0o644))
	}
	in("half.json", `{"service": "user", "id": "ha`)
	in("empty.json", ``)
	in("list.json", `[]`)
	in("foreign.json", `{"service": "audit", "id": "x", "address": "127.0.0.1:1"}`)
	in("large.json", `{"id": "`+strings.Repeat("x", 300<<10)+`"}`)
	in("note.txt", "not an entry")
	in(".hidden.json", "not an entry")
	in("hand.json", `{"address": "127.0.0.1:2", "unknown": true}`)
	must(t, os.Mkdir(filepath.Join(dir, "user", "dir.json"), 0o755))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "user", "dangling.json")))

	u := once(t, d)
	var ids []string
	for _, in := range u.Instances {
		ids = append(ids, in.Service+"/"+in.ID)
	}
	if diff := cmp.Diff([]string{"user/good", "user/hand"}, ids); diff != "" {
		t.Error(diff)
	}
	var all strings.Builder
	for _, err := range u.Invalid {
		all.WriteString(err.Error() + "\n")
	}
	for _, name := range []string{"half", "empty", "list", "foreign", "large", "dir"} {
		if !strings.Contains(all.String(), name+".json") {
			t.Errorf("%s.json is not reported:\n%s", name, all.String())
		}
	}
	if len(u.Invalid) != 6 {
		t.Errorf("%d reported:\n%s", len(u.Invalid), all.String())
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	d := newDriver(t, dir, file.Config{})
	watch := func() error {
		return d.Watch(t.Context(), discovery.Query{Service: "user"}, func(discovery.Update) { t.Error("a list was delivered") })
	}
	if err := watch(); err == nil || !strings.Contains(err.Error(), "nothing is registered yet") || !strings.Contains(err.Error(), dir) {
		t.Errorf("missing directory: %v", err)
	}
	must(t, os.WriteFile(dir, nil, 0o644))
	if err := watch(); err == nil {
		t.Error("a file was taken for a registry")
	}
	must(t, os.Remove(dir))
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "user"), nil, 0o644))
	if err := watch(); err == nil {
		t.Error("a file was taken for a service")
	}
}

func TestDirectoryWithoutTheServiceIsAnEmptyList(t *testing.T) {
	if u := once(t, newDriver(t, t.TempDir(), file.Config{})); len(u.Instances) != 0 || len(u.Invalid) != 0 {
		t.Errorf("%+v", u)
	}
}

func TestSuccessorsFileIsNotDeregistered(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	mine, theirs := user("same"), user("same")
	mine.PID, theirs.PID = os.Getpid(), os.Getppid()
	must(t, d.Register(t.Context(), mine))
	must(t, d.Register(t.Context(), theirs))
	if err := d.Check(t.Context(), mine); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check of an instance that was overwritten: %v", err)
	}
	must(t, d.Deregister(t.Context(), mine))
	must(t, d.Check(t.Context(), theirs))
	must(t, d.Deregister(t.Context(), theirs))
	if got := names(t, filepath.Join(dir, "user")); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestGarbageInItsPlaceIsReplacedAndRemoved(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	must(t, d.Register(t.Context(), user("x")))
	path := filepath.Join(dir, "user", "x.json")
	must(t, os.WriteFile(path, []byte("garbage"), 0o644))
	if err := d.Check(t.Context(), user("x")); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check: %v", err)
	}
	must(t, d.Register(t.Context(), user("x")))
	must(t, d.Check(t.Context(), user("x")))
	must(t, os.WriteFile(path, []byte("garbage"), 0o644))
	must(t, d.Deregister(t.Context(), user("x")))
	if got := names(t, filepath.Join(dir, "user")); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestFailedRegistrationLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "user", "x.json", "in the way"), 0o755))
	err := newDriver(t, dir, file.Config{}).Register(t.Context(), user("x"))
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error that names the directory", err)
	}
	if diff := cmp.Diff([]string{"x.json"}, names(t, filepath.Join(dir, "user"))); diff != "" {
		t.Error(diff)
	}
}

// child starts a process that lasts until its standard input is closed, and returns how to end it.
func child(t *testing.T) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "KEELSONTEST_CHILD=1")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

// TestChild is the process that child starts.
func TestChild(t *testing.T) {
	if os.Getenv("KEELSONTEST_CHILD") == "" {
		return // it is the child of other tests
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(os.Stdin)
}

func TestSweepRemovesWhatDeadProcessesLeft(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	pid, end := child(t)
	living, dying, reused := user("living"), user("dying"), user("reused")
	dying.PID, reused.PID = pid, os.Getpid()
	must(t, d.Register(t.Context(), living))
	must(t, d.Register(t.Context(), dying))
	must(t, d.Register(t.Context(), reused))

	rewrite(t, filepath.Join(dir, "user", "reused.json"), func(process map[string]any) { process["start"] = "1" })
	foreign := user("foreign")
	foreign.PID = pid
	must(t, d.Register(t.Context(), foreign))
	rewrite(t, filepath.Join(dir, "user", "foreign.json"), func(process map[string]any) { process["scope"] = "another host" })
	must(t, os.WriteFile(filepath.Join(dir, "user", "hand.json"), []byte(`{"address": "127.0.0.1:2"}`), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "user", "garbage.json"), []byte(`x`), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "stray"), nil, 0o644))
	for name, age := range map[string]time.Duration{".tmp-old": time.Hour, ".tmp-new": 0} {
		path := filepath.Join(dir, "user", name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}

	removed := func() (ids []string) {
		t.Helper()
		list, err := file.Sweep(dir)
		must(t, err)
		for _, in := range list {
			ids = append(ids, in.ID)
		}
		return ids
	}
	if diff := cmp.Diff([]string{"reused"}, removed()); diff != "" {
		t.Errorf("while the child lives: %s", diff)
	}
	end()
	if diff := cmp.Diff([]string{"dying"}, removed()); diff != "" {
		t.Errorf("after the child has ended: %s", diff)
	}
	want := []string{".tmp-new", "foreign.json", "garbage.json", "hand.json", "living.json"}
	if diff := cmp.Diff(want, names(t, filepath.Join(dir, "user"))); diff != "" {
		t.Error(diff)
	}
}

// rewrite changes what a file says about its process.
func rewrite(t *testing.T, path string, change func(process map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	var r map[string]any
	must(t, json.Unmarshal(b, &r))
	change(r["process"].(map[string]any))
	b, err = json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o644))
}

func TestSweepAndListOfNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nothing")
	if list, err := file.Sweep(dir); len(list) != 0 || err != nil {
		t.Errorf("Sweep: %v, %v", list, err)
	}
	if list, err := file.List(dir); len(list) != 0 || err != nil {
		t.Errorf("List: %v, %v", list, err)
	}
	must(t, os.WriteFile(dir, nil, 0o644))
	if _, err := file.Sweep(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sweep of a file: %v", err)
	}
	if _, err := file.List(dir); err == nil {
		t.Error("List of a file succeeded")
	}
}

func TestListHasAllServices(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	audit := user("a")
	audit.Service = "audit"
	for _, in := range []discovery.Instance{user("b"), user("a"), audit} {
		must(t, d.Register(t.Context(), in))
	}
	must(t, os.WriteFile(filepath.Join(dir, "user", "garbage.json"), []byte(`x`), 0o644))
	got, err := file.List(dir)
	must(t, err)
	if diff := cmp.Diff([]discovery.Instance{audit, user("a"), user("b")}, got); diff != "" {
		t.Error(diff)
	}
}
