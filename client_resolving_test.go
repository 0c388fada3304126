package keelson_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/errs"
)

// counted is a registry of one instance, or more, that counts the watches.
type counted struct {
	discovery.Driver // nobody registers
	address          string
	more             int
	running, begun   atomic.Int64
}

func (*counted) Scheme() string { return "counted" }
func (*counted) String() string { return "counted registry" }

func (d *counted) Watch(ctx context.Context, q discovery.Query, deliver func(discovery.Update)) error {
	d.begun.Add(1)
	d.running.Add(1)
	defer d.running.Add(-1)
	list := []discovery.Instance{{Service: q.Service, ID: "one", Address: d.address}}
	for n := range d.more {
		list = append(list, discovery.Instance{Service: q.Service, ID: fmt.Sprint(n), Address: fmt.Sprintf("127.0.0.1:%d", n+1)})
	}
	deliver(discovery.Update{Instances: list})
	<-ctx.Done()
	return ctx.Err()
}

func TestConnectionsOfAClientToOneTargetShareOneWatch(t *testing.T) {
	d := &counted{}
	address, _, ended, cancel := runTCP(t, quiet(), io.Discard)
	d.address = address
	clients := make([]*keelson.Client, 2)
	for i := range clients {
		var err error
		clients[i], err = keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard), keelson.WithDiscovery(d))
		must(t, err)
		for _, target := range []string{"shop", "counted:shop", "counted:///shop"} {
			conn, err := clients[i].Dial(target)
			must(t, err)
			must(t, invoke(bounded(t), conn, unaryCall))
		}
		if n := d.begun.Load(); n != int64(i+1) {
			t.Errorf("%d watches for %d clients with three connections each", n, i+1)
		}
	}
	must(t, clients[0].Close())
	if n := d.running.Load(); n != 1 {
		t.Errorf("%d watches run after one client was closed, want that of the other", n)
	}
	conn, err := clients[1].Dial("shop")
	must(t, err)
	must(t, invoke(bounded(t), conn, unaryCall))
	must(t, clients[1].Close())
	if n := d.running.Load(); n != 0 {
		t.Errorf("%d watches run after both clients were closed", n)
	}
	cancel()
	must(t, <-ended)
}

func TestTargetsThatTheRegistryWillNeverResolveCannotBeDialled(t *testing.T) {
	for driver, targets := range map[string]map[string]string{
		"consul": {
			"consul:///shop?tga=v1": `unknown parameter "tga"`, "shop?near=_agent": "takes tag and dc", "shop?tag": "no value",
			"shop?dc=a&dc=b": "one datacenter", "consul:///": "write consul:///name", "consul://shop": "write consul:///shop", "sh op": "' ' at byte 2",
			"consul:///shop:9090": "write consul:///shop", "consul:///shop?tag=%zz": "tag=%zz", "shop?tag=a;dc=b": "semicolon",
			"consul:///shop#v1": "parameters begin with '?'", "consul://me:secret@/shop": "credentials", "consul:///%zz": "%zz",
		},
		"file": {"file:///shop?tag=v1": "takes none", "file:///..": "begin with a letter"},
	} {
		cfg := keelson.Config{}
		cfg.Discovery.Driver = driver
		client, err := keelson.NewClient("caller", cfg, keelson.WithLogOutput(io.Discard))
		must(t, err)
		for target, want := range targets {
			if _, err := client.Dial(target); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", target, err, want)
			}
		}
		for _, target := range slices.Concat([]string{"shop", driver + ":///shop", driver + ":shop"}, map[string][]string{"consul": {"shop?tag=a&tag=b&dc=c", "shop?tag=version:1", "consul:shop?tag=a://b"}}[driver]) {
			if _, err := client.Dial(target); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
		must(t, client.Close())
	}
}

func TestACallForWhichNoInstanceWasReadySaysSoAndTheLogWhy(t *testing.T) {
	cfg := keelson.Config{}
	cfg.Discovery.Driver, cfg.Discovery.File.Dir = "file", t.TempDir()
	cfg.Policy.Timeout = 200 * time.Millisecond
	logs := &logBuffer{}
	client, err := keelson.NewClient("caller", cfg, keelson.WithLogOutput(logs))
	must(t, err)
	conn, err := client.Dial("shop")
	must(t, err)
	for method, want := range map[string]struct {
		code codes.Code
		text string
	}{
		unaryCall:  {codes.DeadlineExceeded, "no instance was ready"},
		duplexCall: {codes.Unavailable, "no instance of file:///shop was ready"},
	} {
		err := invoke(bounded(t), conn, method)
		if errs.Code(err) != want.code || !strings.Contains(err.Error(), want.text) || strings.Contains(err.Error(), cfg.Discovery.File.Dir) {
			t.Errorf("%s: %v; want %q, and nothing of the registry", method, err, want.text)
		}
	}
	must(t, client.Close())
	for _, line := range logs.calls(t, "client_call") {
		if text := fmt.Sprint(line["error.message"]); !strings.Contains(text, `no instance of service "shop" in file registry `+cfg.Discovery.File.Dir) {
			t.Errorf("log: %s", text)
		}
	}
}

func TestClientsOfOneHostUseDifferentPartsOfALargeFleet(t *testing.T) {
	d := &counted{address: "127.0.0.1:65000", more: 50}
	cfg := keelson.Config{}
	cfg.Discovery.Subset.Above, cfg.Discovery.Subset.Size = 10, 5
	parts := make(map[string]bool)
	for range 3 {
		client, err := keelson.NewClient("caller", cfg, keelson.WithLogOutput(io.Discard), keelson.WithDiscovery(d))
		must(t, err)
		conn, err := client.Dial("shop")
		must(t, err)
		conn.Connect()
		for len(client.Targets()) == 0 || len(client.Targets()[0].Instances) == 0 {
			runtime.Gosched()
		}
		var part []string
		for _, in := range client.Targets()[0].Instances {
			part = append(part, in.ID)
		}
		parts[fmt.Sprint(part)] = true
		must(t, client.Close())
	}
	if len(parts) != 3 {
		t.Errorf("three clients use %d parts: %v", len(parts), parts)
	}
}

func TestACallThatAnInstanceDidNotAnswerInTimeDoesNotSayThatNoneWasReady(t *testing.T) {
	stuck := &stub{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	address, _, ended, cancel := runImpl(t, quiet(), io.Discard, stuck)
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	for name, more := range map[string][]grpc.DialOption{
		"by the chassis": nil, "by a policy of the caller's": {grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`)},
	} {
		conn, err := client.Dial(address, more...)
		must(t, err)
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := invoke(ctx, conn, unaryCall); errs.Code(err) != codes.DeadlineExceeded || strings.Contains(err.Error(), "ready") {
			t.Errorf("balanced %s: %v", name, err)
		}
		stop()
	}
	must(t, client.Close())
	cancel()
	must(t, <-ended)
}
