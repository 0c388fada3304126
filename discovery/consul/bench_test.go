package consul_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
)

// fleetSize is that of a large target.
const fleetSize = 2000

// changing is a fake agent of a large fleet: each query that waits is answered when the benchmark says so, with the weight of one instance
// changed.
type changing struct {
	*fake
	next  chan struct{} // lets one query go on
	asked chan struct{} // hears of each query that waits: what came before has been taken
	bytes int
}

func newChanging(b *testing.B) *changing {
	b.Helper()
	elements := make([]string, fleetSize)
	for i := range elements {
		elements[i] = element(fmt.Sprintf("user-host-%04d-9090", i), 2000+i, 100)
	}
	c := &changing{next: make(chan struct{}, 1), asked: make(chan struct{}, 16)}
	body := "[" + strings.Join(elements, ",") + "]"
	c.bytes = len(body)
	c.fake = serveFake(func(n int, r *http.Request) reply {
		if n > 0 {
			c.asked <- struct{}{}
			select {
			case <-c.next:
			case <-r.Context().Done():
			}
			i := n % fleetSize
			elements[i] = element(fmt.Sprintf("user-host-%04d-9090", i), 2000+i, 100+n)
			body = "[" + strings.Join(elements, ",") + "]"
		}
		return reply{header: said(n + 1), body: body}
	})
	b.Cleanup(c.Close)
	return c
}

// cpu is what this process has used so far, the fake agent included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sink is a resolver.ClientConn that takes lists and does nothing with them.
type sink struct{ resolver.ClientConn }

func (sink) UpdateState(resolver.State) error { return nil }

func (sink) ReportError(error) {}

func (sink) ParseServiceConfig(string) *serviceconfig.ParseResult { return nil }

// connect makes a connection under round_robin, and with all also waits until it has one to each instance; they are all one server.
func connect(b *testing.B, builder resolver.Builder, all bool) (stop func()) {
	b.Helper()
	l := &accepting{Listener: bufconn.Listen(4 << 10), conns: make(chan struct{}, fleetSize)}
	server := grpc.NewServer(grpc.ReadBufferSize(1<<10), grpc.WriteBufferSize(1<<10))
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	conn, err := grpc.NewClient("consul:///user", grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return l.Listener.(*bufconn.Listener).DialContext(ctx)
		}),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithReadBufferSize(1<<10), grpc.WithWriteBufferSize(1<<10))
	if err != nil {
		b.Fatal(err)
	}
	conn.Connect()
	for range fleetSize {
		if <-l.conns; !all {
			break
		}
	}
	return func() {
		_ = conn.Close()
		server.Stop()
		served.Wait()
	}
}

// accepting tells of each connection.
type accepting struct {
	net.Listener
	conns chan struct{}
}

func (l *accepting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- struct{}{}
	}
	return c, err
}

// measure reports processor time and memory per change.
func measure(b *testing.B, change func()) {
	b.Helper()
	for range 10 { // connections become ready, and what the first lists grow stays
		change()
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, n := cpu(), 0
	for b.Loop() {
		change()
		n++
	}
	used := cpu() - start
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(used.Microseconds())/1e3/float64(n), "cpu-ms/change")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6/float64(n), "MB-alloc/change")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6, "MB-heap-growth")
}

// BenchmarkChange is what one change in a fleet of 2,000 costs a client: the answer of 3 MB read and compared, the list cleaned and put into
// effect, and with a connection also gRPC's own part, with 2,000 connections under round_robin. A driver asks four times a second at most, so
// ns/op is mostly waiting: see cpu-ms/change.
func BenchmarkChange(b *testing.B) {
	for name, cfg := range map[string]discovery.Config{
		"resolver": {UpdateInterval: -1}, "client": {UpdateInterval: -1}, "client of a subset": {UpdateInterval: -1, Subset: discovery.Subset{Above: 100, Seed: "a"}},
	} {
		b.Run(name, func(b *testing.B) {
			agent := newChanging(b)
			d, err := consul.New(consul.Config{Address: agent.URL})
			if err != nil {
				b.Fatal(err)
			}
			builder := discovery.NewResolver(d, cfg)
			var stop func()
			if name == "resolver" {
				r, err := builder.Build(resolver.Target{URL: url.URL{Scheme: consul.Scheme, Path: "/user"}}, sink{}, resolver.BuildOptions{})
				if err != nil {
					b.Fatal(err)
				}
				stop = r.Close
			} else {
				stop = connect(b, builder, name == "client")
			}
			defer stop()
			<-agent.asked
			measure(b, func() {
				agent.next <- struct{}{}
				<-agent.asked
			})
			b.ReportMetric(float64(agent.bytes)/1e6, "MB/list")
		})
	}
}
