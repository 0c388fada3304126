package integration_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

// spanCounter is an OTLP collector that counts.
type spanCounter struct {
	collector.UnimplementedTraceServiceServer
	spans atomic.Int64
}

func (c *spanCounter) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	for _, r := range in.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			c.spans.Add(int64(len(s.GetSpans())))
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func startSpanCounter(t *testing.T) (*spanCounter, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, s := &spanCounter{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); served.Wait() })
	return c, l.Addr().String()
}

// request asks an HTTP listener, and returns the status and the body.
func request(t *testing.T, method, target, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// logFile reads a log from a file while it is written.
type logFile struct {
	p    *platform
	path string
}

func (p *platform) startLogged(id string, env ...string) (*instance, logFile) {
	p.t.Helper()
	l := logFile{p, filepath.Join(p.dir, id+".log")}
	out, err := os.Create(l.path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = out.Close() })
	return p.startTo(id, out, env...), l
}

func (l logFile) lines() []map[string]any {
	l.p.t.Helper()
	raw, err := os.ReadFile(l.path)
	if err != nil {
		l.p.t.Fatal(err)
	}
	return logLines(l.p.t, bytes.NewReader(raw))
}

// says waits for a line with a message.
func (l logFile) says(message string) {
	l.p.t.Helper()
	l.p.wait("the log to say "+message, func() bool {
		for _, line := range l.lines() {
			if text, _ := line["message"].(string); strings.Contains(text, message) {
				return true
			}
		}
		return false
	})
}

func TestLogsAndTracesAreTunedWhileTheServiceRuns(t *testing.T) {
	p := newPlatform(t)
	spans, endpoint := startSpanCounter(t)
	config := filepath.Join(p.dir, "user.yaml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log: {sample: 1}\ntrace: {ratio: 0}\n")
	i, log := p.startLogged("a", "KEELSON_CONFIG="+config, "KEELSON_LOG__LEVEL=info", "KEELSON_DEBUG__ADDRESS=127.0.0.1:0", "KEELSON_TRACE__ENDPOINT=http://"+endpoint)
	conn, err := grpc.NewClient(i.Address, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(n int) { getMany(t, conn, n) } // by a client that begins no traces
	call(10)
	before := len(logged(log.lines()))
	if got := spans.spans.Load(); got != 0 {
		t.Errorf("%d spans at ratio 0", got)
	}

	write("log: {sample: 2}\n")
	_ = i.cmd.Process.Signal(syscall.SIGHUP)
	log.says("was refused")
	write("log: {sample: 0}\ntrace: {ratio: 1}\n")
	_ = i.cmd.Process.Signal(syscall.SIGHUP)
	log.says("the configuration changed")
	call(50)
	p.wait("sampled spans", func() bool { return spans.spans.Load() >= 50 })
	if after := len(logged(log.lines())); after > before+10 {
		t.Errorf("%d successes were logged at sample 0", after-before)
	}

	level := "http://" + i.DebugAddress + "/debug/keelson/log-level"
	if code, text := request(t, http.MethodPut, level, "debug\n"); code != http.StatusOK || text != "debug\n" {
		t.Errorf("set the level: %d %q", code, text)
	}
	if code, _ := request(t, http.MethodPut, level, "loud"); code != http.StatusBadRequest {
		t.Errorf("a level that is none: %d", code)
	}
	if code, text := request(t, http.MethodGet, level, ""); code != http.StatusOK || text != "debug\n" {
		t.Errorf("the level: %d %q", code, text)
	}
	log.says("log level changed")
}

func TestACollectorThatHangsHoldsUpNothing(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	p := newPlatform(t)
	i := p.start("a", "KEELSON_TRACE__ENDPOINT="+hole.Addr().String(), "KEELSON_TRACE__RATIO=1", "KEELSON_DRAIN__STOP=500ms")
	conn, err := grpc.NewClient(i.Address, insecureCredentials()) // that begins no traces
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c := startCallers(ctx, userv1.NewUserServiceClient(conn), 8)
	defer c.done.Wait()
	defer cancel()
	p.wait("the queue of spans to be full", func() bool {
		n, err := gauge(ctx, i.OpsAddress, "keelson_trace_spans_total", `result="dropped"`)
		return err == nil && n > 100
	})
	c.more(p, 500)
	cancel()
	c.done.Wait()
	i.end(t)
	if !strings.Contains(i.log.String(), "spans were lost at the end") {
		t.Errorf("the log says nothing of lost spans:\n%s", i.log)
	}
}

func TestPagesForDebuggingAreOnTheDebugListenerOnly(t *testing.T) {
	p := newPlatform(t)
	i := p.start("a", "KEELSON_DEBUG__ADDRESS=127.0.0.1:0")
	conn, err := grpc.NewClient(i.Address, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	getMany(t, conn, 3)
	for path, shows := range map[string]string{
		"/":                      "/debug/calls",
		"/debug/calls":           "ListUsers",
		"/debug/pprof/":          "goroutine",
		"/debug/pprof/heap":      "",
		"/debug/pprof/cmdline":   "user",
		"/debug/pprof/symbol":    "num_symbols",
		"/debug/keelson/policy":  "/user.v1.UserService/GetUser",
		"/debug/keelson/targets": "[",
	} {
		if code, text := request(t, http.MethodGet, "http://"+i.DebugAddress+path, ""); code != http.StatusOK || !strings.Contains(text, shows) {
			t.Errorf("%s: %d %.200q", path, code, text)
		}
		if code, _ := request(t, http.MethodGet, "http://"+i.OpsAddress+path, ""); code != http.StatusNotFound {
			t.Errorf("%s on the ops listener: %d", path, code)
		}
	}
	rebound := func(r *http.Request) { r.Host = "evil.example" }
	if code, _ := request(t, http.MethodGet, "http://"+i.DebugAddress+"/debug/calls", "", rebound); code != http.StatusForbidden {
		t.Errorf("under another host's name: %d", code)
	}
}

// documented tells which names stand in a page in code style.
func documented(t *testing.T, page string) func(name string) bool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) bool { return bytes.Contains(raw, []byte("`"+name+"`")) }
}

func TestTheReferencesNameWhatTheUserServiceTells(t *testing.T) {
	p := newPlatform(t)
	i, log := p.startLogged("a", "KEELSON_LOG__LEVEL=debug", "KEELSON_DEBUG__ADDRESS=127.0.0.1:0")
	conn, err := grpc.NewClient(i.Address, insecureCredentials())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	getMany(t, conn, 3)
	text, err := scrape(t.Context(), i.OpsAddress)
	if err != nil {
		t.Fatal(err)
	}
	i.end(t)
	names := documented(t, "metrics.md")
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[1] == "TYPE" && !strings.HasPrefix(fields[2], "go_") && !strings.HasPrefix(fields[2], "process_") && !names(fields[2]) {
			t.Errorf("docs/metrics.md does not name %s", fields[2])
		}
	}
	keys, told := documented(t, "logs.md"), map[string]bool{}
	for _, line := range log.lines() {
		for key := range line {
			if !keys(key) && !told[key] {
				t.Errorf("docs/logs.md does not name the key %s of %v", key, line)
			}
			told[key] = true
		}
	}
}

func TestAUserInARecordShowsNothingPersonal(t *testing.T) {
	const secret = "ada@example.com"
	user := &userv1.User{}
	personal := 0
	fields := user.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if options, ok := f.Options().(*descriptorpb.FieldOptions); ok && options.GetDebugRedact() && f.Kind() == protoreflect.StringKind && !f.IsList() {
			user.ProtoReflect().Set(f, protoreflect.ValueOfString(secret))
			personal++
		}
	}
	if personal == 0 {
		t.Fatal("no field of a user is marked debug_redact")
	}
	var out bytes.Buffer
	sink, err := logs.NewSink(&out, logs.SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	log := logs.New(sink, logs.Config{}).Logger()
	answer := &userv1.ListUsersResponse{Users: []*userv1.User{user}}
	byValue := reflect.ValueOf(user).Elem().Interface()
	log.With("user", user).WithGroup("g").Info("m", "again", user, "answer", answer, "deep", map[string]any{"u": []any{user, struct{ U any }{byValue}}})
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, secret) || strings.Count(text, "[redacted]") < 5*personal {
		t.Errorf("the line is %s", text)
	}
}
