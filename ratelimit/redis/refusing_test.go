package redis_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	redistest "github.com/keelson-dev/keelson/internal/testservers/redis"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/ratelimit/redis"
)

// admin tells a server what to do.
func admin(t *testing.T, server *redistest.Server, password string) func(command ...any) string {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: server.Address, Password: password})
	t.Cleanup(func() { _ = c.Close() })
	return func(command ...any) string {
		t.Helper()
		answer, err := c.Do(context.Background(), command...).Result()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		return fmt.Sprint(answer)
	}
}

// TestARedisThatRefusesToWriteIsAway takes it for away until it writes again: it
// answers all else meanwhile, and whoever takes that for a return counts nothing.
func TestARedisThatRefusesToWriteIsAway(t *testing.T) {
	for name, tc := range map[string]struct{ refuse, allow []any }{
		"a replica":              {[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
		"one whose memory ended": {[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
		"one without replicas":   {[]any{"config", "set", "min-replicas-to-write", "1"}, []any{"config", "set", "min-replicas-to-write", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			do := admin(t, server, "")
			var log bytes.Buffer
			var mu sync.Mutex
			l := run(t, redis.Config{Address: server.Address, Timeout: patient}, redis.WithInstances(func() int { return 2 }),
				redis.WithLogger(slog.New(slog.NewTextHandler(locked{&mu, &log}, nil))))
			if n := admitted(l, "before", slow(10), 12); n != 10 {
				t.Errorf("%d calls were admitted; want 10", n)
			}
			do(tc.refuse...)
			if n := admitted(l, "away", slow(10), 12); n != 5 {
				t.Errorf("%d calls were admitted; want the half of 10", n)
			}
			do("config", "resetstat")
			keelsontest.Eventually(t, "the limiter to have asked three times", func() bool {
				_, asked, _ := strings.Cut(do("info", "commandstats"), "cmdstat_evalsha:calls=")
				return asked != "" && !strings.HasPrefix(asked, "1,") && !strings.HasPrefix(asked, "2,")
			})
			if err := l.Check(context.Background()); err == nil {
				t.Error("what takes no writes is taken for Redis")
			}
			do(tc.allow...)
			keelsontest.Eventually(t, "Redis to be seen again", func() bool { return l.Check(context.Background()) == nil })
			if n := admitted(l, "after", slow(10), 12); n != 10 {
				t.Errorf("%d calls were admitted in the end; want 10", n)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, line := range []string{"Redis is away", "Redis is back"} {
				if strings.Count(log.String(), line) != 1 {
					t.Errorf("%q is not in the log once:\n%s", line, log.String())
				}
			}
		})
	}
}

func TestARedisThatWantsAPasswordIsAwayWithoutIt(t *testing.T) {
	const password = "the password"
	server := redistest.Start(t)
	admin(t, server, "")("config", "set", "requirepass", password)
	for name, tc := range map[string]struct {
		cfg  redis.Config
		want string // of the check; empty: all is well
	}{
		"the password":          {redis.Config{Password: password}, ""},
		"and its user":          {redis.Config{Username: "default", Password: password}, ""},
		"and a database":        {redis.Config{Password: password, DB: 3}, ""},
		"none":                  {redis.Config{}, "NOAUTH"},
		"a wrong one":           {redis.Config{Password: "a wrong one"}, "WRONGPASS"},
		"another user":          {redis.Config{Username: "nobody", Password: password}, "WRONGPASS"},
		"a database of nowhere": {redis.Config{Password: password, DB: 999}, "out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.Address, tc.cfg.Timeout, tc.cfg.Prefix = server.Address, patient, name
			l := run(t, tc.cfg, redis.WithInstances(func() int { return 2 }))
			want := 10
			if tc.want != "" {
				want = 5
			}
			if n := admitted(l, "k", slow(10), 12); n != want {
				t.Errorf("%d calls were admitted; want %d", n, want)
			}
			switch err := l.Check(context.Background()); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), tc.cfg.Password) && tc.cfg.Password != ""):
				t.Errorf("the check says %v; want %q in it and no password", err, tc.want)
			}
		})
	}
}
