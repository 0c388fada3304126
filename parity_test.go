package keelson_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/recovery"
	"github.com/keelson-dev/keelson/telemetry/logs"
	"github.com/keelson-dev/keelson/telemetry/metrics"
	"github.com/keelson-dev/keelson/telemetry/traces"
	"github.com/keelson-dev/keelson/validate"
)

// outcome is what a caller and an operator see of one call.
type outcome struct {
	Code    string
	Reason  string
	Handled float64 // grpc_server_handled_total of that code
	Lines   int     // log lines of the call
}

// The concerns behave alike, whether the service's wrapper runs them or whether
// they are chained as interceptors of a plain grpc.Server.
func TestTheWrapperAndTheInterceptorsBehaveAlike(t *testing.T) {
	ample := []policy.Override{{Method: "/grpc.testing.TestService/*", Timeout: 5 * time.Second}}
	short := []policy.Override{{Method: "/grpc.testing.TestService/*", Timeout: 200 * time.Millisecond}}
	limited := append(ample[:1:1], policy.Override{Method: "/grpc.testing.TestService/*", Rate: 0.001, Burst: 1})
	for name, tc := range map[string]struct {
		do        func(ctx context.Context) error
		overrides []policy.Override
		calls     int // the last one counts
	}{
		"ok":           {func(context.Context) error { return nil }, ample, 1},
		"domain error": {func(context.Context) error { return errs.NotFound("THING_NOT_FOUND", "no thing") }, ample, 1},
		"panic":        {func(context.Context) error { panic("boom") }, ample, 1},
		"own deadline": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, short, 1},
		"rate limit":   {func(context.Context) error { return nil }, limited, 2},
	} {
		for _, method := range allKinds {
			t.Run(name+method, func(t *testing.T) {
				impl := behaving(tc.do)
				wrapped := throughService(t, impl, tc.overrides, method, tc.calls)
				chained := throughChain(t, impl, tc.overrides, method, tc.calls)
				if d := cmp.Diff(wrapped, chained); d != "" {
					t.Errorf("wrapper (-), interceptors (+):\n%s", d)
				}
			})
		}
	}
}

func throughService(t *testing.T, impl testpb.TestServiceServer, o []policy.Override, method string, calls int) outcome {
	t.Helper()
	var log logBuffer
	var registry prometheus.Gatherer
	pipe := bufconn.Listen(64 << 10)
	s, err := keelson.New("test", keelson.Config{
		Methods: o, Ops: keelson.OpsConfig{Address: "off"}, Debug: keelson.DebugConfig{Address: "off"}, Log: keelson.LogConfig{Format: "json"},
		Drain: keelson.DrainConfig{Quiet: time.Millisecond, Propagation: time.Millisecond},
	}, keelson.WithListener(pipe), keelson.WithLogOutput(&log))
	if err != nil {
		t.Fatal(err)
	}
	testpb.RegisterTestServiceServer(s, impl)
	registry = s.Registerer().(prometheus.Gatherer)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	err = plainCalls(t, pipe, method, calls)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return seen(t, err, registry, &log, method, calls)
}

func throughChain(t *testing.T, impl testpb.TestServiceServer, o []policy.Override, method string, calls int) outcome {
	t.Helper()
	var log logBuffer
	registry := prometheus.NewRegistry()
	table := policy.NewTable(policy.Linked()...)
	sink, err := logs.NewSink(&log, logs.SinkConfig{})
	must(t, err)
	line := logs.New(sink, logs.Config{Service: "test"})
	count, err := metrics.New(registry, metrics.Config{Side: call.Server})
	must(t, err)
	trace, err := traces.New(traces.Config{})
	must(t, err)
	valid, err := validate.New()
	must(t, err)
	limit, err := ratelimit.New(ratelimit.Config{})
	must(t, err)
	must(t, table.Apply(policy.Defaults{}, o))
	pipe := bufconn.Listen(64 << 10)
	s := grpc.NewServer(
		grpc.ChainUnaryInterceptor(line.UnaryServer(table), count.UnaryServer(table), trace.UnaryServer(table), deadline.UnaryServer(table), limit.UnaryServer(table), recovery.UnaryServer(line.Logger()), validate.UnaryServer(valid)),
		grpc.ChainStreamInterceptor(line.StreamServer(table), count.StreamServer(table), trace.StreamServer(table), deadline.StreamServer(table), limit.StreamServer(table), recovery.StreamServer(line.Logger()), validate.StreamServer(valid)),
	)
	testpb.RegisterTestServiceServer(s, impl)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(pipe) }()
	err = plainCalls(t, pipe, method, calls)
	s.GracefulStop()
	must(t, <-ended)
	must(t, sink.Close())
	return seen(t, err, registry, &log, method, calls)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plainCalls calls a method through grpc-go with nothing on, and returns how
// the last call ended.
func plainCalls(t *testing.T, pipe *bufconn.Listener, method string, n int) error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///in-memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	must(t, err)
	defer conn.Close()
	for range n {
		err = invoke(bounded(t), conn, method)
	}
	return err
}

func seen(t *testing.T, err error, registry prometheus.Gatherer, log *logBuffer, method string, calls int) outcome {
	t.Helper()
	e := errs.FromWire(err)
	o := outcome{Code: codes.OK.String()}
	if err != nil {
		o = outcome{Code: errs.Code(e).String(), Reason: errs.Reason(e)}
	}
	families, gatherErr := registry.Gather()
	must(t, gatherErr)
	for _, f := range families {
		if f.GetName() != "grpc_server_handled_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if "/"+labels["grpc_service"]+"/"+labels["grpc_method"] == method && labels["grpc_code"] == o.Code {
				o.Handled = m.GetCounter().GetValue()
			}
		}
	}
	o.Lines = len(log.calls(t, "server_call")) - calls + 1
	return o
}
