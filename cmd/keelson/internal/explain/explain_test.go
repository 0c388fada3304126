package explain_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/explain"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/policy"
	_ "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// instance registers an instance that runs until the test ends, of which there is
// only its debug listener.
func instance(t *testing.T, service, id string, debug http.Handler) {
	t.Helper()
	at := httptest.NewServer(debug)
	t.Cleanup(at.Close)
	dir := t.TempDir()
	t.Setenv(workspace.Variable, dir)
	driver, err := file.New(dir, file.Config{})
	must(t, err)
	must(t, driver.Register(t.Context(), discovery.Instance{
		Service: service, ID: id, Address: "127.0.0.1:1", DebugAddress: at.Listener.Addr().String(), PID: os.Getpid(),
	}))
}

func run(t *testing.T, opts explain.Options) string {
	t.Helper()
	var out bytes.Buffer
	opts.Out = &out
	must(t, explain.Run(t.Context(), opts))
	return out.String()
}

func wants(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(strings.Join(strings.Fields(got), " "), w) {
			t.Errorf("lacks %q:\n%s", w, got)
		}
	}
}

func TestExplainSaysWhereValuesComeFrom(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	wants(t, run(t, explain.Options{Method: "GetUser"}),
		"/user.v1.UserService/GetUser", "unary, NO_SIDE_EFFECTS: may be sent again", "the contract", "timeout 2s proto option", "rate unlimited default")
}

func TestExplainAsksARunningInstance(t *testing.T) {
	table := policy.NewTable(policy.Linked()...)
	must(t, table.Apply(policy.Defaults{}, []policy.Override{{Method: "/user.v1.UserService/GetUser", Timeout: 7e9, Origin: func(policy.Field) string { return "user.yaml:3" }}}))
	instance(t, "user", "user-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/debug/keelson/policy" {
			_ = json.NewEncoder(w).Encode([]policy.Description{table.Lookup("/user.v1.UserService/GetUser").Describe()})
		}
	}))
	wants(t, run(t, explain.Options{Method: "GetUser"}), "instance user-1, as it runs now", "timeout 7s user.yaml:3")
	wants(t, run(t, explain.Options{Method: "GetUser", Target: "user"}), "timeout 7s user.yaml:3")
	wants(t, run(t, explain.Options{Method: "GetUser", Contract: true}), "timeout 2s proto option")
	wants(t, run(t, explain.Options{Method: "ListUsers"}), "the contract, as linked")

	var got struct {
		Method, Origin string
		Fields         []policy.Value
	}
	must(t, json.Unmarshal([]byte(run(t, explain.Options{Method: "GetUser", JSON: true})), &got))
	if got.Method != "/user.v1.UserService/GetUser" || !strings.HasPrefix(got.Origin, "instance user-1") || len(got.Fields) != len(policy.Fields()) {
		t.Errorf("got %+v", got)
	}
}

func TestExplainReflectsAServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := grpc.NewServer(grpc.WaitForHandlers(true))
	grpc_testing.RegisterTestServiceServer(s, &grpc_testing.UnimplementedTestServiceServer{})
	reflection.Register(s)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	defer func() { s.Stop(); <-done }()
	wants(t, run(t, explain.Options{Method: "EmptyCall", Target: l.Addr().String()}), "/grpc.testing.TestService/EmptyCall", "by reflection", "timeout 10s default")
}

func TestExplainListsAllMethods(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	got := run(t, explain.Options{})
	wants(t, got, "METHOD KIND TIMEOUT", "/user.v1.UserService/ImportUsers bidi_stream none 1")
	if strings.Contains(got, "grpc.health") {
		t.Errorf("lists gRPC's own:\n%s", got)
	}
}

func TestExplainOfAnUnknownMethodNamesTheNearest(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	err := explain.Run(t.Context(), explain.Options{Method: "GetUsr", Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "nearest first: user.v1.UserService/GetUser,") {
		t.Errorf("got %v", err)
	}
}

func TestExplainSaysWhatAClientDoes(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	for method, want := range map[string][]string{
		"GetUser":     {"sent 3 times at most, on UNAVAILABLE only", "a second instance is asked after the method's own 95th percentile", "CIRCUIT_OPEN, for 1s to 3s", "until its deadline, 2s at most"},
		"CreateUser":  {"sent 3 times at most", "hedge off"},
		"ImportUsers": {"retries none", "hedge off", "for policy.timeout at most, then UNAVAILABLE, reason NO_READY_INSTANCE"},
	} {
		wants(t, run(t, explain.Options{Method: method}), want...)
	}
	var got struct{ Client explain.Client }
	must(t, json.Unmarshal([]byte(run(t, explain.Options{Method: "GetUser", JSON: true})), &got))
	if !strings.HasPrefix(got.Client.Retries, "sent 3 times") {
		t.Errorf("got %+v", got.Client)
	}
}

// What runs differs from the defaults in all of it.
func TestExplainSaysWhatAClientDoesWhereItIsSwitchedOff(t *testing.T) {
	table := policy.NewTable(policy.Linked()...)
	must(t, table.Apply(policy.Defaults{}, []policy.Override{{
		Method: "/user.v1.UserService/GetUser", Timeout: -1, RetryAttempts: 1, Breaker: policy.Off, HedgeDelay: 20e6,
	}}))
	instance(t, "user", "user-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]policy.Description{table.Lookup("/user.v1.UserService/GetUser").Describe()})
	}))
	wants(t, run(t, explain.Options{Method: "GetUser", Target: "user"}),
		"breaker off", "retries none", "a second instance is asked after 20ms,", "not at all: it has no deadline")
}

func TestExplainListsTheMethodsOfAService(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	for _, name := range []string{"UserService", "user.v1.UserService", "/user.v1.UserService/"} {
		got := run(t, explain.Options{Method: name})
		wants(t, got, "/user.v1.UserService/GetUser unary 2s 3")
		if strings.Contains(got, "audit.v1") {
			t.Errorf("%s lists another service:\n%s", name, got)
		}
	}
}
