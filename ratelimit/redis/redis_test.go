package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	redistest "github.com/keelson-dev/keelson/internal/testservers/redis"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/ratelimit/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is a timeout that a busy machine keeps.
const patient = 5 * time.Second

// run makes a limiter and runs it until the test ends.
func run(t testing.TB, cfg redis.Config, opts ...redis.Option) *redis.Limiter {
	t.Helper()
	l, err := redis.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// admitted counts how many of n calls are admitted.
func admitted(l *redis.Limiter, key string, q ratelimit.Quota, n int) (count int) {
	for range n {
		if l.Take(context.Background(), key, q).OK {
			count++
		}
	}
	return count
}

// slow is a quota that gets no token during a test.
func slow(burst int) ratelimit.Quota { return ratelimit.Quota{Rate: 1e-6, Burst: burst} }

func TestInstancesShareALimit(t *testing.T) {
	server := redistest.Start(t)
	a, b := run(t, redis.Config{Address: server.Address, Timeout: patient}), run(t, redis.Config{Address: server.Address, Timeout: patient})
	if n := admitted(a, "k", slow(10), 6) + admitted(b, "k", slow(10), 6); n != 10 {
		t.Errorf("%d calls were admitted; want 10", n)
	}
	if n := admitted(b, "other", slow(10), 1); n != 1 {
		t.Error("another key has a bucket of its own")
	}
	took := b.Take(context.Background(), "fresh", ratelimit.Quota{Rate: 1e-6, Burst: 2})
	if !took.OK || took.Remaining != 1 || took.Wait != 0 || took.Full <= 0 {
		t.Errorf("took %+v", took)
	}
	if no := b.Take(context.Background(), "k", slow(10)); no.OK || no.Wait <= 0 {
		t.Errorf("took %+v", no)
	}
}

func TestWithoutRedisEachInstanceAdmitsItsShare(t *testing.T) {
	server := redistest.Start(t)
	reg := prometheus.NewRegistry()
	var log bytes.Buffer
	var mu sync.Mutex
	l := run(t, redis.Config{Address: server.Address, Timeout: patient}, redis.WithRegisterer(reg),
		redis.WithLogger(slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))), redis.WithInstances(func() int { return 2 }))
	if n := admitted(l, "k", slow(10), 12); n != 10 {
		t.Errorf("%d calls were admitted; want 10", n)
	}
	server.Kill(t)
	if n := admitted(l, "away", slow(10), 12); n != 5 {
		t.Errorf("%d calls were admitted without Redis; want the half of 10", n)
	}
	if err := l.Check(context.Background()); err == nil {
		t.Error("Redis is away, and the check says nothing")
	}
	if n := counter(t, reg, "keelson_ratelimit_redis_failures_total"); n != 3 {
		t.Errorf("%v questions were asked of a Redis that is away; want 3", n)
	}
	server.Restart(t)
	keelsontest.Eventually(t, "Redis to be seen again", func() bool { return l.Check(context.Background()) == nil })
	if n := admitted(l, "back", slow(10), 12); n != 10 {
		t.Errorf("%d calls were admitted after Redis came back; want 10", n)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, line := range []string{"Redis is away", "Redis is back"} {
		if strings.Count(log.String(), line) != 1 {
			t.Errorf("%q is not in the log once:\n%s", line, log.String())
		}
	}
}

func TestAnAnswerThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	server := redistest.Start(t)
	reg := prometheus.NewRegistry()
	l := run(t, redis.Config{Address: server.Address, Timeout: 20 * time.Millisecond}, redis.WithRegisterer(reg))
	server.Freeze(t)
	if n := admitted(l, "k", slow(1000), 1000); n != 1000 {
		t.Errorf("%d of 1000 calls were admitted", n)
	}
	if n := counter(t, reg, "keelson_ratelimit_redis_failures_total"); n > 3 {
		t.Errorf("%v questions were asked of a Redis that does not answer; want 3 at most", n)
	}
	server.Thaw(t)
	keelsontest.Eventually(t, "Redis to be seen again", func() bool { return l.Check(context.Background()) == nil })
}

func TestACallerWhoDoesNotWaitIsNoFailureOfRedis(t *testing.T) {
	server := redistest.Start(t)
	l := run(t, redis.Config{Address: server.Address, Timeout: patient})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for range 10 {
		l.Take(gone, "k", slow(10))
	}
	if err := l.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoRedisIsAway(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write([]byte(strings.Repeat("*1\r\n:1\r\n", 10))); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = lis.Close(); serving.Wait() })
	l := run(t, redis.Config{Address: lis.Addr().String(), Timeout: 100 * time.Millisecond})
	if n := admitted(l, "k", slow(5), 20); n != 5 {
		t.Errorf("%d calls were admitted; want 5", n)
	}
}

func TestTheConfigurationIsChecked(t *testing.T) {
	for _, cfg := range []redis.Config{{}, {Address: "127.0.0.1:1", MaxKeys: -1}} {
		if _, err := redis.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// TestMetricsAreWellFormed lints names and help.
func TestMetricsAreWellFormed(t *testing.T) {
	reg := prometheus.NewRegistry()
	if _, err := redis.New(redis.Config{Address: "127.0.0.1:1"}, redis.WithRegisterer(reg)); err != nil {
		t.Fatal(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Without a Redis that answers, an instance admits its share of a limit.
func Example() {
	l, err := redis.New(redis.Config{Address: "127.0.0.1:1"}, redis.WithInstances(func() int { return 2 }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	q := ratelimit.Quota{Rate: 2, Burst: 10}
	fmt.Println(l.Take(context.Background(), "203.0.113.7", q).Remaining)
	// Output: 4
}

// TestNothingIsPrintedForARedisThatIsNotThere sees to it that what go-redis says
// comes by errors, and so reaches the log that the limiter was given.
func TestNothingIsPrintedForARedisThatIsNotThere(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if os.Getenv("KEELSONTEST_SILENCE") == "" { // again in a process whose standard error is a file
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env, cmd.Stderr = append(os.Environ(), "KEELSONTEST_SILENCE=1"), out
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(out.Name()); err != nil || len(text) > 0 {
			t.Errorf("it printed %q, %v", text, err)
		}
		return
	}
	l := run(t, redis.Config{Address: "127.0.0.1:1", Timeout: patient})
	if n := admitted(l, "k", slow(50), 60); n != 50 {
		t.Errorf("%d calls were admitted; want 50", n)
	}
	if err := l.Check(context.Background()); err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the check says %v; want that the connection was refused", err)
	}
}

func TestARedisThatComesAndGoesHoldsNoCallUp(t *testing.T) {
	server := redistest.Start(t)
	reg := prometheus.NewRegistry()
	l := run(t, redis.Config{Address: server.Address, Timeout: patient}, redis.WithRegisterer(reg), redis.WithInstances(func() int { return 2 }))
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if key := fmt.Sprintf("%d of %d", n, i); !l.Take(context.Background(), key, slow(2)).OK {
					t.Errorf("the first call of %s was refused", key)
				}
			}
		})
	}
	for range 4 {
		server.Kill(t)
		keelsontest.Eventually(t, "Redis to be away", func() bool { return l.Check(context.Background()) != nil })
		server.Restart(t)
		keelsontest.Eventually(t, "Redis to be seen again", func() bool { return l.Check(context.Background()) == nil })
	}
	cancel()
	callers.Wait()
	keelsontest.Eventually(t, "the limiter to be at rest", func() bool {
		return l.Check(context.Background()) == nil && gauge(t, reg, "keelson_ratelimit_redis_away") == 0
	})
	if n := admitted(l, "all together", slow(10), 12); n != 10 {
		t.Errorf("%d calls were admitted in the end; want 10", n)
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
