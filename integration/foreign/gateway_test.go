package foreign_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	processtest "github.com/keelson-dev/keelson/internal/testservers/process"
)

func TestGrpcurlCallsServicesThroughTheGateway(t *testing.T) {
	grpcurl := processtest.Tool(t, "../..", "grpcurl")
	registry := t.TempDir()
	processtest.Start(t, registry, processtest.Build(t, "", "../../services/user/cmd/user"))
	at := processtest.Start(t, registry, processtest.Build(t, "", "../../services/gateway/cmd/gateway"), "KEELSON_DESCRIPTORS="+descriptors(t), "KEELSON_EDGE__ADDRESS=127.0.0.1:0")

	t.Run("lists them", func(t *testing.T) {
		services := strings.Fields(command(t, grpcurl, "-plaintext", at.Address, "list"))
		for _, want := range []string{userService, "audit.v1.AuditService", "keelson.platform.v1.PlatformService", "grpc.health.v1.Health"} {
			if !slices.Contains(services, want) {
				t.Errorf("%s is not in the list %v", want, services)
			}
		}
	})
	t.Run("describes them", func(t *testing.T) {
		text := command(t, grpcurl, "-plaintext", at.Address, "describe", userService)
		if want := "rpc GetUser ( .user.v1.GetUserRequest ) returns ( .user.v1.User )"; !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	})
	t.Run("writes and reads", func(t *testing.T) { writeAndRead(t, grpcurl, at) })
	t.Run("is answered errors with their details", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), grpcurl, "-plaintext", "-d", `{"name": "users/nobody-here"}`, at.Address, userService+"/GetUser").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "Code: NotFound") || !strings.Contains(string(out), "USER_NOT_FOUND") {
			t.Errorf("got %v and\n%s", err, out)
		}
	})
	t.Run("watches", func(t *testing.T) {
		watchUntil(t, `"initialStateEnd": true`, grpcurl, "-plaintext", "-d", "{}", at.Address, userService+"/WatchUsers")
	})
	t.Run("imports", func(t *testing.T) {
		messages := `{"start": {"import_id": "of-a-test"}} {"item": {"user_id": "grace-h", "user": {"email": "grace@example.com"}}}`
		if out := command(t, grpcurl, "-plaintext", "-d", messages, at.Address, userService+"/ImportUsers"); !strings.Contains(out, `"name": "users/grace-h"`) {
			t.Errorf("got\n%s", out)
		}
	})
	t.Run("sees the platform", func(t *testing.T) {
		serves := func() bool { // the gateway may not be connected to all instances yet
			var list struct {
				Services []struct{ Name, State string }
			}
			out := command(t, grpcurl, "-plaintext", at.Address, "keelson.platform.v1.PlatformService/ListServices")
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			return slices.Contains(list.Services, struct{ Name, State string }{"services/user", "STATE_SERVING"})
		}
		for limit := time.After(time.Minute); !serves(); {
			select {
			case <-limit:
				t.Fatal("the user service does not serve")
			default:
			}
		}
	})
}

// watchUntil runs a tool until a line that it prints has the text.
func watchUntil(t *testing.T, text, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if seen = append(seen, lines.Text()); strings.Contains(lines.Text(), text) {
			cancel()
			break
		}
	}
	if ctx.Err() != context.Canceled {
		t.Errorf("%q did not come; %s printed\n%s", text, name, strings.Join(seen, "\n"))
	}
	_ = cmd.Wait() // it was killed
}
