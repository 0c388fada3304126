package foreign_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
	processtest "github.com/keelson-dev/keelson/internal/testservers/process"
)

const userService = "user.v1.UserService"

// command runs a tool and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestForeignClientsUnderstandTheUserService(t *testing.T) {
	grpcurl, probe := processtest.Tool(t, "../..", "grpcurl"), processtest.Tool(t, "../..", "grpc-health-probe")
	at := processtest.Start(t, t.TempDir(), processtest.Build(t, "", "../../services/user/cmd/user"))

	t.Run("grpcurl lists it", func(t *testing.T) {
		services := strings.Fields(command(t, grpcurl, "-plaintext", at.Address, "list"))
		for _, want := range []string{userService, "grpc.health.v1.Health"} {
			if !slices.Contains(services, want) {
				t.Errorf("%s is not in the list %v", want, services)
			}
		}
	})
	t.Run("grpcurl describes its methods and messages", func(t *testing.T) {
		text := command(t, grpcurl, "-plaintext", at.Address, "describe", userService)
		for _, want := range []string{
			"rpc GetUser ( .user.v1.GetUserRequest ) returns ( .user.v1.User )",
			"rpc ImportUsers ( stream .user.v1.ImportUsersRequest ) returns ( stream .user.v1.ImportUsersResponse )",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if text := command(t, grpcurl, "-plaintext", at.Address, "describe", "user.v1.User"); !strings.Contains(text, "string etag") {
			t.Errorf("no etag in\n%s", text)
		}
	})
	t.Run("grpcurl writes and reads", func(t *testing.T) { writeAndRead(t, grpcurl, at) })
	t.Run("an error has its details", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), grpcurl, "-plaintext", "-d", `{"name": "users/nobody-here"}`, at.Address, userService+"/GetUser").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Code: NotFound") || !strings.Contains(string(out), "google.rpc.ErrorInfo") {
			t.Errorf("got %v and\n%s", err, out)
		}
	})
	for _, c := range []struct{ name, address, service string }{
		{"all, on the grpc listener", at.Address, ""},
		{"the service, on the grpc listener", at.Address, userService},
		{"all, on the ops listener", at.OpsAddress, ""},
		{"the service, on the ops listener", at.OpsAddress, userService},
	} {
		t.Run("grpc-health-probe sees SERVING: "+c.name, func(t *testing.T) {
			if out := command(t, probe, "-addr="+c.address, "-service="+c.service); !strings.Contains(out, "status: SERVING") {
				t.Errorf("got %s", out)
			}
		})
	}
}

func writeAndRead(t *testing.T, grpcurl string, at discovery.Instance) {
	t.Helper()
	type user struct{ Name, Email, Etag string }
	callUser := func(method, request string) (u user) {
		out := command(t, grpcurl, "-plaintext", "-d", request, at.Address, userService+"/"+method)
		if err := json.Unmarshal([]byte(out), &u); err != nil {
			t.Fatalf("%s answered %s: %v", method, out, err)
		}
		return u
	}
	created := callUser("CreateUser", `{"user_id": "ada-l", "user": {"email": "ada@example.com"}}`)
	if created.Name != "users/ada-l" || created.Etag == "" {
		t.Errorf("created %+v", created)
	}
	if read := callUser("GetUser", `{"name": "users/ada-l"}`); read != created {
		t.Errorf("read %+v, created %+v", read, created)
	}
}
