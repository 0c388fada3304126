package health_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checks
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const user = "user.v1.UserService"

// serve serves h in memory until the test ends.
func serve(t *testing.T, h *health.Health, opts ...grpc.DialOption) (*grpc.Server, *grpc.ClientConn) {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer()
	h.Register(srv)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///memory", append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
	)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		srv.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return srv, conn
}

// timeout gives a context that only a hanging test reaches the end of.
func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func watchOf(t *testing.T, conn *grpc.ClientConn, service string) healthpb.Health_WatchClient {
	t.Helper()
	w, err := healthpb.NewHealthClient(conn).Watch(timeout(t), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// next gives the status that a watch sends next, or its code as text.
func next(w healthpb.Health_WatchClient) string {
	resp, err := w.Recv()
	if err != nil {
		return status.Code(err).String() + " " + errs.Reason(err)
	}
	return resp.GetStatus().String()
}

func TestConditionsDecideWhatGRPCSays(t *testing.T) {
	h := health.New(health.Config{})
	h.SetServing(user)
	_, conn := serve(t, h)
	client := healthpb.NewHealthClient(conn)
	check := func(service string) string {
		resp, err := client.Check(timeout(t), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			return status.Code(err).String()
		}
		return resp.GetStatus().String()
	}
	db := errors.New("database away")
	h.Dependency("database", func(context.Context) error { return db })
	start, disk := h.Condition("start"), h.Condition("disk")
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"conditions are new", func() {}, "NOT_SERVING"},
		{"one holds", func() { start.Set(true, "") }, "NOT_SERVING"},
		{"all hold", func() { disk.Set(true, "") }, "SERVING"},
		{"one no longer holds", func() { disk.Set(false, "read-only") }, "NOT_SERVING"},
		{"it holds again", func() { disk.Set(true, "") }, "SERVING"},
		{"drain", h.Drain, "NOT_SERVING"},
		{"drain again, conditions hold", func() { h.Drain(); start.Set(true, "") }, "NOT_SERVING"},
	} {
		step.do()
		for _, service := range []string{"", user} {
			if got := check(service); got != step.want {
				t.Errorf("%s: %q is %s, want %s", step.name, service, got, step.want)
			}
		}
		if got := h.Ready(); got != (step.want == "SERVING") {
			t.Errorf("%s: ready is %v", step.name, got)
		}
		list, err := client.List(timeout(t), &healthpb.HealthListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, resp := range list.GetStatuses() {
			got[name] = resp.GetStatus().String()
		}
		if diff := cmp.Diff(map[string]string{"": step.want, user: step.want}, got); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
	if got := check("other"); got != codes.NotFound.String() {
		t.Errorf("an unknown service is %s", got)
	}
}

func TestAWatchHearsEveryChangeAndEndsWithTheDrain(t *testing.T) {
	h := health.New(health.Config{})
	start := h.Condition("start")
	_, conn := serve(t, h)
	all, one := watchOf(t, conn, ""), watchOf(t, conn, user)
	expect := func(when, wantAll, wantOne string) {
		t.Helper()
		if got := next(all); got != wantAll {
			t.Errorf("%s: all hears %s, want %s", when, got, wantAll)
		}
		if got := next(one); got != wantOne {
			t.Errorf("%s: one hears %s, want %s", when, got, wantOne)
		}
	}
	expect("at first", "NOT_SERVING", "SERVICE_UNKNOWN")
	h.SetServing(user)
	if got := next(one); got != "NOT_SERVING" {
		t.Errorf("once known: %s", got)
	}
	start.Set(true, "")
	expect("started", "SERVING", "SERVING")
	h.Drain()
	expect("draining", "NOT_SERVING", "NOT_SERVING")
	if got := next(watchOf(t, conn, "")); got != "NOT_SERVING" {
		t.Errorf("a watch opened during the drain hears %s", got)
	}
	h.EndWatches()
	h.EndWatches()
	expect("ended", "Unavailable DRAINING", "Unavailable DRAINING")
	if got := next(watchOf(t, conn, "")); got != "Unavailable DRAINING" {
		t.Errorf("a watch opened after the end hears %s first", got)
	}
}

func TestEndingWatchesWithoutADrainSaysNotServingFirst(t *testing.T) {
	h := health.New(health.Config{})
	_, conn := serve(t, h)
	w := watchOf(t, conn, "")
	if got := next(w); got != "SERVING" {
		t.Fatal(got)
	}
	h.EndWatches()
	if first, second := next(w), next(w); first != "NOT_SERVING" || second != "Unavailable DRAINING" {
		t.Errorf("heard %s, then %s", first, second)
	}
}

func TestAGracefulStopDoesNotWaitForWatches(t *testing.T) {
	h := health.New(health.Config{})
	h.SetServing(user)
	srv, conn := serve(t, h, grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":"`+user+`"}}`))
	conn.Connect()
	for s := conn.GetState(); s != connectivity.Ready; s = conn.GetState() {
		if !conn.WaitForStateChange(timeout(t), s) {
			t.Fatalf("still %s", s)
		}
	}
	h.Drain()
	for conn.GetState() == connectivity.Ready {
		if !conn.WaitForStateChange(timeout(t), connectivity.Ready) {
			t.Fatal("the client did not hear of the drain")
		}
	}
	h.EndWatches()
	stopped := make(chan struct{})
	go func() { srv.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
	case <-timeout(t).Done():
		t.Error("the graceful stop hangs")
	}
}

func TestWatchesAreBoundedAndLeaveNothingBehind(t *testing.T) {
	h := health.New(health.Config{MaxWatches: 2})
	_, conn := serve(t, h)
	ctx, cancel := context.WithCancel(timeout(t))
	first, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	second := watchOf(t, conn, "unknown")
	if a, b := next(first), next(second); a != "SERVING" || b != "SERVICE_UNKNOWN" {
		t.Fatalf("heard %s and %s", a, b)
	}
	if got := next(watchOf(t, conn, "")); !strings.HasPrefix(got, "ResourceExhausted") {
		t.Errorf("the third hears %s", got)
	}
	cancel()
	for {
		// The server sees the end of the first a moment later.
		got := next(watchOf(t, conn, ""))
		if got == "SERVING" {
			break
		}
		if !strings.HasPrefix(got, "ResourceExhausted") {
			t.Fatalf("after the first ended: %s", got)
		}
	}
}

func TestThousandsOfWatchesHearADrain(t *testing.T) {
	const watches = 2000
	h := health.New(health.Config{})
	_, conn := serve(t, h)
	var open []healthpb.Health_WatchClient
	for range watches {
		open = append(open, watchOf(t, conn, ""))
	}
	for _, w := range open {
		if got := next(w); got != "SERVING" {
			t.Fatal(got)
		}
	}
	h.EndWatches()
	for _, w := range open {
		if first, second := next(w), next(w); first != "NOT_SERVING" || second != "Unavailable DRAINING" {
			t.Fatalf("heard %s, then %s", first, second)
		}
	}
}

func TestADependencyOnlyDegrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(health.Config{Interval: 10 * time.Second, Timeout: time.Second})
		var mode atomic.Int32
		var checks atomic.Int32
		h.Dependency("database", func(ctx context.Context) error {
			checks.Add(1)
			switch mode.Load() {
			case 1:
				return errors.New("connection refused")
			case 2:
				<-ctx.Done()
				return ctx.Err()
			case 3:
				panic("oh")
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		for _, step := range []struct {
			mode            int32
			status, message string
		}{
			{0, "ready", ""},
			{1, "degraded", "connection refused"},
			{0, "ready", ""},
			{2, "degraded", "no answer within 1s"},
			{3, "degraded", "the check panicked: oh"},
			{0, "ready", ""},
		} {
			mode.Store(step.mode)
			<-time.After(15 * time.Second) // an interval, its jitter and the timeout
			r := h.Report(true)
			if r.Status != step.status || r.Reasons[0].Message != step.message || r.Reasons[0].Status != step.status {
				t.Errorf("mode %d: %+v", step.mode, r)
			}
			if !h.Ready() {
				t.Errorf("mode %d: a dependency made the instance not ready", step.mode)
			}
		}
		before := checks.Load()
		h.Dependency("database", func(context.Context) error { return errors.New("new check") })
		h.Dependency("cache", func(context.Context) error { return nil })
		<-time.After(15 * time.Second)
		if r := h.Report(false); len(r.Reasons) != 1 || r.Reasons[0].Message != "new check" || checks.Load() != before {
			t.Errorf("after replacing the check: %+v", r)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A start is no degradation: what was never well is a warning only after its grace.
func TestADependencyThatStartsIsNoWarning(t *testing.T) {
	for name, tc := range map[string]struct {
		wellAfter time.Duration
		failsAt   time.Duration // again
		want      string
	}{
		"is well soon":         {time.Second, time.Hour, "INFO not ready yet, INFO ok"},
		"and fails later":      {time.Second, 20 * time.Second, "INFO not ready yet, INFO ok, WARN degraded"},
		"is well at once":      {0, 2 * time.Second, "INFO ok, WARN degraded"},
		"is never well":        {time.Hour, time.Hour, "INFO not ready yet, WARN degraded"},
		"is well after a time": {30 * time.Second, time.Hour, "INFO not ready yet, WARN degraded, INFO ok"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				h := health.New(health.Config{}, health.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				began := time.Now()
				h.Dependency("backend", func(context.Context) error {
					if past := time.Since(began); past < tc.wellAfter || past > tc.failsAt {
						return errors.New("nobody there")
					}
					return nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- h.Run(ctx) }()
				synctest.Wait()
				if r := h.Report(false); (r.Status == "degraded") != (tc.wellAfter > 0) {
					t.Errorf("readiness says %s", r.Status)
				}
				<-time.After(5 * time.Second)
				if r := h.Report(false); (r.Status == "degraded") != (tc.wellAfter > 4*time.Second) && tc.failsAt > time.Minute {
					t.Errorf("after the grace readiness says %s", r.Status)
				}
				<-time.After(time.Minute)
				cancel()
				<-done
				var got []string
				for _, m := range regexp.MustCompile(`level=(\w+) msg="health: dependency ([^"]+)"`).FindAllStringSubmatch(log.String(), -1) {
					got = append(got, m[1]+" "+m[2])
				}
				if text := strings.Join(got, ", "); text != tc.want {
					t.Errorf("logged %q, want %q", text, tc.want)
				}
			})
		})
	}
}

func TestWhatIsToldOfADependencyShowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(health.Config{})
		h.Tell("registration", errors.New("nobody asked"))
		state := errors.New("registry is away")
		h.Dependency("registration", func(context.Context) error { return state })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		synctest.Wait()
		if r := h.Report(false); r.Status != "degraded" {
			t.Errorf("%+v", r)
		}
		state = nil
		h.Tell("registration", nil)
		if r := h.Report(false); r.Status != "ready" {
			t.Errorf("after it was told: %+v", r)
		}
		cancel()
		<-done
	})
}

func TestACheckThatHangsIsReportedWhileItIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(health.Config{Timeout: time.Second})
		release := make(chan struct{})
		var running atomic.Int32
		h.Dependency("deaf", func(context.Context) error {
			if running.Add(1) > 1 {
				t.Error("two checks at a time")
			}
			defer running.Add(-1)
			<-release
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		<-time.After(time.Minute)
		if r := h.Report(false); r.Status != "degraded" || r.Reasons[0].Message != "no answer within 1s" {
			t.Errorf("%+v", r)
		}
		close(release)
		synctest.Wait()
		if r := h.Report(false); r.Status != "ready" {
			t.Errorf("after it answered: %+v", r)
		}
		cancel()
		<-done
	})
}

func TestHTTPSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := health.New(health.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		began := time.Now().UTC()
		start := h.Condition("start")
		if h.Condition("start") != start {
			t.Error("the same name gives another condition")
		}
		reason := func(name, status, message string, since time.Duration) health.Reason {
			return health.Reason{Name: name, Status: status, Message: message, Since: began.Add(since)}
		}
		for _, step := range []struct {
			name  string
			do    func()
			query string
			code  int
			want  health.Report
		}{
			{"new", func() {}, "", 503, health.Report{Status: "not_ready", Reasons: []health.Reason{reason("start", "not_ready", "not reported yet", 0)}}},
			{"started", func() { start.Set(true, "") }, "", 200, health.Report{Status: "ready", Reasons: []health.Reason{}}},
			{"verbose", func() {}, "?verbose", 200, health.Report{Status: "ready", Reasons: []health.Reason{reason("start", "ready", "", time.Second)}}},
			{"degraded", func() { h.Dependency("db", func(context.Context) error { return errors.New("away") }) }, "", 200, health.Report{Status: "degraded", Reasons: []health.Reason{reason("db", "degraded", "away", 3*time.Second)}}},
			{"draining", h.Drain, "", 503, health.Report{Status: "not_ready", Reasons: []health.Reason{reason("drain", "not_ready", "the instance is draining", 4*time.Second), reason("db", "degraded", "away", 3*time.Second)}}},
		} {
			step.do()
			synctest.Wait()
			w := httptest.NewRecorder()
			h.Readyz().ServeHTTP(w, httptest.NewRequest("GET", "/readyz"+step.query, nil))
			var got health.Report
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step.want, got); diff != "" || w.Code != step.code {
				t.Errorf("%s: code %d, want %d; %s", step.name, w.Code, step.code, diff)
			}
			live := httptest.NewRecorder()
			h.Livez().ServeHTTP(live, httptest.NewRequest("GET", "/livez", nil))
			if live.Code != 200 || live.Body.String() != "{\"status\":\"alive\"}\n" {
				t.Errorf("%s: livez answers %d %s", step.name, live.Code, live.Body)
			}
			<-time.After(time.Second)
		}
		cancel()
		<-done
	})
}
