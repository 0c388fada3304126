package foreign_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"

	processtest "github.com/keelson-dev/keelson/internal/testservers/process"
)

// told is what a script of testdata prints: what the user service and the audit
// service answered.
type told struct {
	Created, Read struct{ Name, Email, Etag string }
	Correlation   string
	Missing       failure
	Invalid       failure
	Watched       struct {
		Seen []string
		End  codes.Code
	}
	Imported struct {
		ImportID string `json:"import_id"`
		Names    []string
		Failed   []struct {
			Sequence int64
			Code     codes.Code
		}
		Summary struct{ Received, Created, Failed int64 }
	}
	Followed struct {
		Window       int32
		Positions    []int64
		Kinds        []string
		Acknowledged int64
	}
	TooMuch failure `json:"too_much"`
}

// failure is an error with what its details say.
type failure struct {
	Code           codes.Code
	Reason, Domain string
	Fields         []string
}

func TestOtherLanguagesCallTheServices(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(*testing.T) *exec.Cmd
	}{
		{"grpc-js", nodeScript},
		{"Python grpcio", pythonScript},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := c.script(t)
			registry := t.TempDir()
			user := processtest.Start(t, registry, processtest.Build(t, "", "../../services/user/cmd/user"))
			audit := processtest.Start(t, registry, processtest.Build(t, "", "../../services/audit/cmd/audit"))
			cmd.Args = append(cmd.Args, descriptors(t), user.Address, audit.Address)
			check(t, run(t, cmd))
		})
	}
}

func check(t *testing.T, got told) {
	t.Helper()
	if got.Created.Name != "users/grace-h" || got.Created.Email != "grace@example.com" || got.Created.Etag == "" {
		t.Errorf("created %+v", got.Created)
	}
	if got.Read != got.Created {
		t.Errorf("read %+v, created %+v", got.Read, got.Created)
	}
	want := got
	want.Correlation = "of-a-script"
	want.Missing = failure{Code: codes.NotFound, Reason: "USER_NOT_FOUND", Domain: "user.keelson.dev"}
	want.Invalid = failure{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Domain: "user.keelson.dev", Fields: []string{"user_id"}}
	want.Watched.Seen = []string{"TYPE_ADDED users/grace-h", "SYNCED", "TYPE_MODIFIED users/grace-h"}
	want.Watched.End = codes.Canceled
	want.Imported.ImportID = "of-a-script"
	want.Imported.Names = []string{"users/import-0", "users/import-2"}
	want.Imported.Failed = append(want.Imported.Failed[:0:0], struct {
		Sequence int64
		Code     codes.Code
	}{1, codes.InvalidArgument})
	want.TooMuch = failure{Code: codes.InvalidArgument, Reason: "INVALID_REQUEST", Domain: "audit.keelson.dev", Fields: []string{"ack.position"}}
	want.Imported.Summary.Received, want.Imported.Summary.Created, want.Imported.Summary.Failed = 3, 2, 1
	want.Followed.Window = 2
	want.Followed.Positions = nil
	for range got.Followed.Kinds {
		want.Followed.Positions = append(want.Followed.Positions, int64(len(want.Followed.Positions)+1))
	}
	want.Followed.Acknowledged = int64(len(got.Followed.Kinds))
	// What the history saw happening and what it found depends on when it began.
	if kinds := got.Followed.Kinds; len(kinds) < 3 || kinds[0] != "KIND_GAP" || kinds[len(kinds)-1] != "KIND_CREATED" {
		t.Errorf("the changes are %v; want a gap first, and what the script did", kinds)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what the script was answered (-want +got):\n%s", diff)
	}
}

// run runs a script and returns what it printed.
func run(t *testing.T, cmd *exec.Cmd) (got told) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%s printed %q: %v", cmd, stdout.String(), err)
	}
	return got
}

// descriptors returns the file of types that the scripts read.
func descriptors(t *testing.T) string {
	t.Helper()
	return absolute(t, filepath.Join("..", "..", "services", "gateway", "descriptors.binpb"))
}

func nodeScript(t *testing.T) *exec.Cmd {
	t.Helper()
	const hint = "grpc-js is not installed; run: integration/foreign/testdata/install.sh (it needs node and npm)"
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, hint)
	}
	installed := absolute(t, filepath.Join("..", "..", ".cache", "foreign", "node"))
	is, _ := os.ReadFile(filepath.Join(installed, "installed-lock.json"))
	want, err := os.ReadFile(filepath.Join("testdata", "node", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(is, want) {
		missing(t, hint)
	}
	cmd := exec.CommandContext(t.Context(), node, absolute(t, filepath.Join("testdata", "node", "client.cjs")))
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(installed, "node_modules"))
	return cmd
}

func pythonScript(t *testing.T) *exec.Cmd {
	t.Helper()
	// Debian's, for which its packages are; another one on the path has none.
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		missing(t, "grpcio is not installed; run: apt-get install python3-grpcio python3-protobuf\n"+string(out))
	}
	return exec.CommandContext(t.Context(), python, absolute(t, filepath.Join("testdata", "python", "client.py")))
}

// missing skips a test for want of what the hint says; where nothing may be
// skipped it fails.
func missing(t *testing.T, hint string) {
	t.Helper()
	if os.Getenv(processtest.RequireEnv) == "1" {
		t.Fatal(hint)
	}
	t.Skip(hint)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
