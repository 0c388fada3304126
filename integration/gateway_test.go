package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/testservers/port"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// gateways are instances of the gateway with the addresses of their edges.
type gateways struct {
	*platform
	edges sync.Map // instance ID -> host:port
}

func (g *gateways) start(id, edge string, env ...string) *instance {
	g.t.Helper()
	g.edges.Store(id, edge)
	log := &bytes.Buffer{}
	i := g.startProgram("services/gateway/cmd/gateway", id, log, append([]string{"KEELSON_EDGE__ADDRESS=" + edge, "KEELSON_DRAIN__PROPAGATION=1s"}, env...)...)
	i.log = log
	return i
}

// edge returns the address of an edge whose instance is registered, as a load
// balancer would choose it.
func (g *gateways) edge() (string, error) {
	list, err := file.List(g.registry())
	if err != nil {
		return "", err
	}
	var addresses []string
	for _, in := range list {
		if a, ok := g.edges.Load(in.ID); ok && in.Service == "gateway" {
			addresses = append(addresses, a.(string))
		}
	}
	if len(addresses) == 0 {
		return "", errors.New("no gateway is registered")
	}
	return addresses[rand.IntN(len(addresses))], nil
}

// load makes calls until it is stopped, and counts those that failed.
type load struct {
	t             *testing.T
	done          chan struct{}
	running       sync.WaitGroup
	calls, failed atomic.Int64
}

// worker repeats a call.
func (l *load) worker(name string, call func(ctx context.Context, n int) error) {
	l.running.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-l.done:
				return
			default:
			}
			l.calls.Add(1)
			if err := call(bounded(l.t), n); err != nil && l.failed.Add(1) <= 20 {
				l.t.Errorf("%s: call %d failed: %v", name, n, err)
			}
		}
	})
}

// answered makes an HTTP request that has to succeed.
func answered(ctx context.Context, client *http.Client, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "ada@example.com")) {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}

// rolling are gateways and instances of the user service that are restarted one
// after another, and what clients need to call them.
type rolling struct {
	*gateways
	instances map[string]*instance
	edges     map[string]string // of the gateways, by instance
	web       *http.Client
	users     userv1.UserServiceClient
}

// newRolling starts two gateways, and instances of the user service with one user.
func newRolling(t *testing.T, users ...string) *rolling {
	t.Helper()
	p := newPlatform(t)
	r := &rolling{
		gateways: &gateways{platform: p}, instances: map[string]*instance{},
		edges: map[string]string{"gateway-a": port.Free(t), "gateway-b": port.Free(t)}, web: &http.Client{Transport: &http.Transport{}},
	}
	t.Cleanup(r.web.CloseIdleConnections)
	for _, id := range users {
		r.begin(id)
	}
	for id := range r.edges {
		r.begin(id)
	}
	conn, err := p.client().Dial("gateway")
	if err != nil {
		t.Fatal(err)
	}
	r.users = userv1.NewUserServiceClient(conn)
	must[*userv1.User](t)(r.users.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "ada-lovelace", User: &userv1.User{Email: "ada@example.com"}}))
	for _, edge := range r.edges {
		r.ready(edge)
	}
	return r
}

func (r *rolling) begin(id string) {
	if edge, ok := r.edges[id]; ok {
		r.instances[id] = r.start(id, edge)
		return
	}
	r.instances[id] = r.platform.start(id, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(r.dir, "user.db"), "KEELSON_DRAIN__PROPAGATION=1s")
}

// ready waits until an edge serves the user.
func (r *rolling) ready(edge string) {
	r.wait("the edge at "+edge+" to know the methods", func() bool {
		return answered(bounded(r.t), r.web, http.MethodGet, "http://"+edge+"/v1/users/ada-lovelace", "") == nil
	})
}

// restart restarts instances, one after another.
func (r *rolling) restart(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		r.instances[id].end(r.t)
		r.begin(id)
		if edge, ok := r.edges[id]; ok {
			r.ready(edge)
		}
	}
}

// TestRollingRestartsLoseNoCallThroughGateways restarts two gateways and three
// instances of the user service, one after another, while clients call by native
// gRPC, REST, Connect and gRPC-Web.
func TestRollingRestartsLoseNoCallThroughGateways(t *testing.T) {
	r := newRolling(t, "user-a", "user-b", "user-c")
	r.startProgram("services/audit/cmd/audit", "audit-a", &bytes.Buffer{}, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(r.dir, "audit.db"))
	l := &load{t: t, done: make(chan struct{})}
	for range 4 {
		l.worker("gRPC read", func(ctx context.Context, _ int) error {
			_, err := r.users.GetUser(ctx, &userv1.GetUserRequest{Name: "users/ada-lovelace"})
			return err
		})
	}
	l.worker("gRPC write", func(ctx context.Context, n int) error {
		_, err := r.users.UpdateUser(ctx, &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/ada-lovelace", Email: "ada@example.com", DisplayName: fmt.Sprint("name ", n)}})
		return err
	})
	l.worker("REST", func(ctx context.Context, _ int) error {
		edge, err := r.edge()
		if err != nil {
			return err
		}
		return answered(ctx, r.web, http.MethodGet, "http://"+edge+"/v1/users/ada-lovelace", "")
	})
	l.worker("Connect", func(ctx context.Context, _ int) error {
		edge, err := r.edge()
		if err != nil {
			return err
		}
		return answered(ctx, r.web, http.MethodPost, "http://"+edge+"/user.v1.UserService/GetUser", `{"name":"users/ada-lovelace"}`)
	})
	l.worker("gRPC-Web", func(ctx context.Context, _ int) error { return r.byGRPCWeb(ctx) })
	r.restart("gateway-a", "user-a", "gateway-b", "user-b", "user-c")
	close(l.done)
	l.running.Wait()
	t.Logf("%d calls, %d failed", l.calls.Load(), l.failed.Load())
	if l.calls.Load() < 100 {
		t.Error("that are too few calls to tell")
	}
}

// TestAWatchThroughTheGatewayGoesOn checks that a watch hears of the gateway's
// drain and goes on at another gateway without a gap.
func TestAWatchThroughTheGatewayGoesOn(t *testing.T) {
	p := newPlatform(t)
	g := &gateways{platform: p}
	p.start("user-a", "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "user.db"))
	first := g.start("gateway-a", port.Free(t))
	users := func(i *instance) userv1.UserServiceClient {
		c := p.client()
		conn, err := c.Dial(i.Address)
		if err != nil {
			t.Fatal(err)
		}
		return userv1.NewUserServiceClient(conn)
	}
	w, err := users(first).WatchUsers(bounded(t), &userv1.WatchUsersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	create := func(id string) {
		must[*userv1.User](t)(users(first).CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: id, User: &userv1.User{Email: id + "@example.com"}}))
	}
	last := awaitChange(t, w, "users/user-one", func() { create("user-one") })
	first.end(t)
	for err = nil; err == nil; _, err = w.Recv() {
	}
	if e := errs.From(err); e.Code() != codes.Unavailable || e.Reason() != errs.ReasonDraining {
		t.Errorf("the watch ended with %v", err)
	}
	first = g.start("gateway-b", port.Free(t))
	create("user-two")
	w, err = users(first).WatchUsers(bounded(t), &userv1.WatchUsersRequest{StartRevision: last})
	if err != nil {
		t.Fatal(err)
	}
	awaitChange(t, w, "users/user-two", func() {})
}

// awaitChange receives until a user has changed, and returns the revision.
func awaitChange(t *testing.T, w grpc.ServerStreamingClient[userv1.WatchUsersResponse], name string, act func()) string {
	t.Helper()
	acted := false
	for {
		m, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if !acted {
			acted = true
			act()
		}
		if m.GetUser().GetName() == name {
			return m.GetRevision()
		}
	}
}
