package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/cli"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.loop"))
}

func TestCommandLines(t *testing.T) {
	t.Setenv(workspace.Variable, t.TempDir())
	t.Chdir(t.TempDir())
	for name, tc := range map[string]struct {
		args     string
		code     int
		out, err string
	}{
		"help teaches":                         {"--help", 0, "call user CreateUser '{", ""},
		"version":                              {"version", 0, "keelson ", ""},
		"help of call has the exit codes":      {"call --help", 0, "NOT_FOUND is 69", ""},
		"unknown command":                      {"cal", 1, "", "call"},
		"unknown flag":                         {"up --wacth", 1, "", "up --help"},
		"up takes no arguments":                {"up user", 1, "", `unexpected argument "user"`},
		"up without a platform file":           {"up", 1, "", "there is no platform file keelson.yaml"},
		"up with no instances":                 {"up --instances 0", 1, "", "give 1 to 64"},
		"call with a deadline that has passed": {"call user GetUser --deadline -1s", 1, "", "--deadline is -1s"},
		"call without a method":                {"call user", 1, "", "call takes TARGET METHOD"},
		"call of what does not run":            {"call user GetUser", 1, "", "is `keelson up` running?"},
		"explain from the contract":            {"explain GetUser", 0, "proto option", ""},
		"explain of two":                       {"explain a b", 1, "", "explain takes one METHOD"},
		"explain contradicts itself":           {"explain a --contract --target x", 1, "", "exclude each other"},
		"methods are completed":                {"__complete call user ListU", 0, "ListUsers\tunary method of user.v1.UserService", ""},
		"shell completion":                     {"completion bash", 0, "bash completion", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems bytes.Buffer
			code := cli.Main(strings.Fields(tc.args), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &problems})
			if code != tc.code || !strings.Contains(out.String(), tc.out) || !strings.Contains(problems.String(), tc.err) {
				t.Errorf("got code %d\nout: %s\nerr: %s\nwant %d, %q, %q", code, &out, &problems, tc.code, tc.out, tc.err)
			}
		})
	}
}
