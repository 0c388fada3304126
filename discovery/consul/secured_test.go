package consul_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
	consultest "github.com/keelson-dev/keelson/internal/testservers/consul"
)

func TestATokenThatMayWriteTheServiceAndNoMoreRegistersIt(t *testing.T) {
	const root, writer = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
	a, err := consultest.Start(t.Context(), consultest.Config{
		HCL: fmt.Sprintf(`acl { enabled = true default_policy = "deny" tokens { initial_management = %q agent = %[1]q } }`, root),
	})
	consultest.Need(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	asRoot := func(path, body string) {
		eventually(t, func() string { // ACLs come a moment after the leader
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+a.Address()+path, strings.NewReader(body))
			must(t, err)
			r.Header.Set("X-Consul-Token", root)
			resp, err := http.DefaultClient.Do(r)
			must(t, err)
			must(t, resp.Body.Close())
			if resp.StatusCode != http.StatusOK {
				return resp.Status
			}
			return ""
		})
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	asRoot("/v1/acl/policy", `{"Name": "write", "Rules": "service \"user\" { policy = \"write\" }"}`)
	asRoot("/v1/acl/token", fmt.Sprintf(`{"SecretID": %q, "Policies": [{"Name": "write"}]}`, writer))

	in := instance("user-1", 9090)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	may := newDriver(t, consul.Config{Address: a.Address(), Token: writer})
	must(t, may.Register(ctx, in))
	soon, cancelCheck := context.WithTimeout(ctx, discovery.DefaultAttemptTimeout)
	defer cancelCheck()
	must(t, may.Check(soon, in))
	if err := newDriver(t, consul.Config{Address: a.Address()}).Register(ctx, in); err == nil || !strings.Contains(err.Error(), "service:write") {
		t.Errorf("without a token: %v; want an error that says what it needs", err)
	}
	if _, err := watchOnce(t, may, 1); err == nil || !strings.Contains(err.Error(), "node:read") {
		t.Errorf("a list that ACLs empty: %v; want an error that says what it needs", err)
	}
	must(t, may.Deregister(ctx, in))
}
