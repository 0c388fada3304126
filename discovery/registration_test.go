package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keelson-dev/keelson/discovery"
)

var one = discovery.Instance{Service: "user", ID: "user-1", Address: "10.0.0.1:8080"}

// registration runs in a bubble until its stop is called.
func registration(t *testing.T, r discovery.Registrar, opts ...discovery.Option) (reg *discovery.Registration, stop func() error) {
	t.Helper()
	reg, err := discovery.NewRegistration(r, one, discovery.RegistrationConfig{}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	synctest.Wait()
	return reg, func() error { cancel(); return <-done }
}

func wantState(t *testing.T, r *discovery.Registration, want discovery.State) {
	t.Helper()
	s, err := r.State()
	if s != want || (err == nil) != (want == discovery.StateRegistered || want == discovery.StateEnded) {
		t.Errorf("state %s, %v; want %s", s, err, want)
	}
	if (r.Healthy(t.Context()) == nil) != (err == nil) {
		t.Errorf("Healthy and State disagree: %v", err)
	}
}

func TestRegistrationOutlivesItsRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: true}
		var states []discovery.State
		metrics := prometheus.NewRegistry()
		reg, stop := registration(t, m, discovery.WithRegisterer(metrics),
			discovery.WithOnState(func(s discovery.State, _ error) { states = append(states, s) }))
		gauge := func(want float64) {
			t.Helper()
			got, err := testutil.GatherAndCount(metrics, "keelson_registration_registered")
			if err != nil || got != 1 {
				t.Fatalf("gauge: %d series, %v", got, err)
			}
			families, err := metrics.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "keelson_registration_registered" && f.GetMetric()[0].GetGauge().GetValue() != want {
					t.Errorf("gauge is %v, want %v", f.GetMetric()[0].GetGauge().GetValue(), want)
				}
			}
		}
		<-time.After(time.Hour)
		wantState(t, reg, discovery.StatePending)
		gauge(0)

		m.set(func() { m.away = false })
		<-time.After(discovery.DefaultMaxBackoff)
		synctest.Wait()
		wantState(t, reg, discovery.StateRegistered)
		gauge(1)

		m.set(func() { m.ids = nil }) // wiped
		<-time.After(2 * discovery.DefaultCheckInterval)
		synctest.Wait()
		wantState(t, reg, discovery.StateRegistered)
		if !m.has(one.ID) {
			t.Error("not registered again after the registry was wiped")
		}

		m.set(func() { m.away = true })
		<-time.After(time.Hour)
		wantState(t, reg, discovery.StateDegraded)
		gauge(0)
		m.set(func() { m.away, m.ids = false, nil })
		<-time.After(2 * discovery.DefaultMaxBackoff)
		synctest.Wait()
		wantState(t, reg, discovery.StateRegistered)

		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		wantState(t, reg, discovery.StateEnded)
		if m.has(one.ID) {
			t.Error("still registered after Run ended")
		}
		p, r, d, e := discovery.StatePending, discovery.StateRegistered, discovery.StateDegraded, discovery.StateEnded
		if want := []discovery.State{p, r, d, r, d, r, e}; !slices.Equal(slices.Compact(states), want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

func TestAttemptsArePacedAndCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{away: true}
		_, stop := registration(t, m)
		<-time.After(time.Hour)
		m.set(func() {
			// At pauses of 1.5 s to 3 s an hour has 1,200 to 2,400 attempts; the first few come sooner.
			if m.attempts < 1200 || m.attempts > 2420 {
				t.Errorf("%d attempts in an hour", m.attempts)
			}
			m.away = false
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestHangingAttemptIsCutOffAndRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		reg, stop := registration(t, stubRegistrar{
			register: func(ctx context.Context, _ discovery.Instance) error {
				if attempts++; attempts < 3 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			},
			check:      func(context.Context, discovery.Instance) error { return nil },
			deregister: func(context.Context, discovery.Instance) error { return nil },
		})
		<-time.After(2 * (discovery.DefaultAttemptTimeout + discovery.DefaultMaxBackoff))
		synctest.Wait()
		wantState(t, reg, discovery.StateRegistered)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestDeregistrationNeverBlocks(t *testing.T) {
	cases := map[string]func(context.Context, discovery.Instance) error{
		"a registry that hangs":             func(ctx context.Context, _ discovery.Instance) error { <-ctx.Done(); return ctx.Err() },
		"a driver that ignores its context": func(context.Context, discovery.Instance) error { <-time.After(time.Hour); return nil },
		"a registry that is away":           func(context.Context, discovery.Instance) error { return errAway },
	}
	for name, deregister := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ok := func(context.Context, discovery.Instance) error { return nil }
				reg, stop := registration(t, stubRegistrar{register: ok, check: ok, deregister: deregister})
				start := time.Now()
				err := stop()
				if took := time.Since(start); took > discovery.DefaultDeregisterTimeout {
					t.Errorf("took %s of virtual time", took)
				}
				if err == nil || !strings.Contains(err.Error(), one.ID) {
					t.Errorf("got %v, want an error that names the instance", err)
				}
				wantState(t, reg, discovery.StateEnded)
				<-time.After(2 * time.Hour) // lets the one that ignores its context end
			})
		})
	}
}

func TestARegistryThatIsBackInTimeHearsOfTheDeregistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		_, stop := registration(t, m)
		m.set(func() { m.away = true })
		time.AfterFunc(time.Second, func() { m.set(func() { m.away = false }) })
		if err := stop(); err != nil || m.has(one.ID) {
			t.Errorf("Run: %v; still registered: %v", err, m.has(one.ID))
		}
	})
}

func TestAnInstanceThatNeverWasRegisteredEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, stop := registration(t, &memory{away: true})
		<-time.After(time.Minute)
		start := time.Now()
		if err := stop(); err == nil {
			t.Error("Run: no error although the registry is away")
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("took %s of virtual time", took)
		}
	})
}

func TestADriverHasTheTimeToSayWhyItDidNotDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ok := func(context.Context, discovery.Instance) error { return nil }
		_, stop := registration(t, stubRegistrar{ok, ok, func(ctx context.Context, _ discovery.Instance) error {
			<-ctx.Done()
			return fmt.Errorf("test registry: %w", ctx.Err())
		}})
		if err := stop(); err == nil || !strings.Contains(err.Error(), "test registry") {
			t.Errorf("Run: %v, want an error that names the registry", err)
		}
	})
}

func TestStopBeforeRegistrationDeregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		note := func(op string, err error) func(context.Context, discovery.Instance) error {
			return func(context.Context, discovery.Instance) error { calls = append(calls, op); return err }
		}
		_, stop := registration(t, stubRegistrar{note("register", errors.New("timed out")), note("check", nil), note("deregister", nil)})
		if err := stop(); err != nil {
			t.Error(err)
		}
		// An attempt that failed may have reached the registry all the same.
		if want := []string{"register", "deregister"}; !slices.Equal(calls, want) {
			t.Errorf("calls %v, want %v", calls, want)
		}
	})
}

// A registry that is slow does what it received also when nobody waits for it any more.
func TestWhatWasBeingRegisteredAtTheEndIsDeregistered(t *testing.T) {
	for name, tt := range map[string]struct{ register, deregister time.Duration }{
		"soon": {300 * time.Millisecond, 0}, "when half of the time is over": {time.Hour, 900 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{}
				received := func(ctx context.Context, in discovery.Instance) error {
					done := make(chan error, 1)
					time.AfterFunc(tt.register, func() { done <- m.Register(ctx, in) })
					select {
					case err := <-done:
						return err
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				asked := false
				deregister := func(ctx context.Context, in discovery.Instance) error {
					asked = true
					<-time.After(tt.deregister)
					return errors.Join(ctx.Err(), m.Deregister(ctx, in))
				}
				_, stop := registration(t, stubRegistrar{received, m.Check, deregister})
				start := time.Now()
				if err := stop(); err != nil || !asked {
					t.Errorf("Run: %v; deregistered: %v", err, asked)
				}
				if took := time.Since(start); took > discovery.DefaultDeregisterTimeout {
					t.Errorf("took %s of virtual time", took)
				}
				<-time.After(time.Minute)
				if m.has(one.ID) {
					t.Error("registered after the end")
				}
				<-time.After(2 * time.Hour)
			})
		})
	}
}

func TestAFailureInEverNewWordsIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []string
		attempts := 0
		fail := func(context.Context, discovery.Instance) error {
			attempts++
			return fmt.Errorf("read tcp 127.0.0.1:%d: connection reset by peer", 30000+attempts)
		}
		_, stop := registration(t, stubRegistrar{fail, fail, func(context.Context, discovery.Instance) error { return nil }},
			discovery.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			discovery.WithOnState(func(_ discovery.State, err error) { told = append(told, fmt.Sprint(err)) }))
		<-time.After(time.Hour)
		synctest.Wait()
		if n := strings.Count(log.String(), "connection reset"); n < 55 || n > 62 {
			t.Errorf("logged %d times in an hour", n)
		}
		if last := fmt.Sprint(30000 + attempts); !strings.Contains(told[len(told)-1], last) {
			t.Errorf("readiness heard %q last, want %s in it", told[len(told)-1], last)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnInstanceThatIsLostAgainAndAgainDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ok := func(context.Context, discovery.Instance) error { return nil }
		var well atomic.Bool
		lost := func(context.Context, discovery.Instance) error {
			if well.Load() {
				return nil
			}
			return discovery.ErrNotRegistered
		}
		_, stop := registration(t, stubRegistrar{ok, lost, ok}, discovery.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		<-time.After(time.Hour)
		well.Store(true)
		<-time.After(time.Minute)
		synctest.Wait()
		if all := strings.Split(strings.TrimSpace(log.String()), "\n"); !strings.Contains(all[len(all)-1], "state=registered") {
			t.Errorf("it is well again, and the last line is %s", all[len(all)-1])
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "\n"); n > 20+3660/5+1 {
			t.Errorf("%d lines in an hour", n)
		}
		if !strings.Contains(log.String(), "lines_left_out=") {
			t.Error("no line says that others were left out")
		}
	})
}

func TestSameFailureIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m := &memory{away: true}
		_, stop := registration(t, m, discovery.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		<-time.After(time.Hour)
		m.set(func() { m.away = false })
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), errAway.Error()); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

func TestInstancesThatNobodyCouldUseAreRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(*discovery.Instance)
		want   string
	}{
		{"no service", func(in *discovery.Instance) { in.Service = "" }, "service:"},
		{"a path as service", func(in *discovery.Instance) { in.Service = "../x" }, "service:"},
		{"no ID", func(in *discovery.Instance) { in.ID = "" }, "id:"},
		{"no port", func(in *discovery.Instance) { in.Address = "10.0.0.1" }, "address:"},
		{"port 0", func(in *discovery.Instance) { in.Address = "10.0.0.1:0" }, "address:"},
		{"port too large", func(in *discovery.Instance) { in.Address = "10.0.0.1:65536" }, "address:"},
		{"named port", func(in *discovery.Instance) { in.Address = "10.0.0.1:http" }, "address:"},
		{"IPv4 wildcard", func(in *discovery.Instance) { in.Address = "0.0.0.0:80" }, "wildcard"},
		{"IPv6 wildcard", func(in *discovery.Instance) { in.Address = "[::]:80" }, "wildcard"},
		{"no host", func(in *discovery.Instance) { in.Address = ":80" }, "wildcard"},
		{"URL", func(in *discovery.Instance) { in.Address = "http://x:80" }, "address:"},
		{"bad ops address", func(in *discovery.Instance) { in.OpsAddress = "x" }, "ops_address:"},
		{"bad debug address", func(in *discovery.Instance) { in.DebugAddress = "x" }, "debug_address:"},
		{"weight", func(in *discovery.Instance) { in.Weight = discovery.MaxWeight + 1 }, "weight:"},
		{"meta", func(in *discovery.Instance) {
			in.Meta = map[string]string{"k": strings.Repeat("x", discovery.MaxMeta)}
		}, "meta:"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			in := one
			tt.change(&in)
			_, err := discovery.NewRegistration(&memory{}, in, discovery.RegistrationConfig{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := discovery.Instance{Weight: discovery.MaxWeight + 1}.Validate()
	for _, field := range []string{"service:", "id:", "address:", "weight:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not name %s", err, field)
		}
	}
}

func TestNewIDIsValidAndStable(t *testing.T) {
	for _, addr := range []string{"10.0.0.1:8080", "[::1]:8080", "nonsense"} {
		id := discovery.NewID("User", addr)
		if err := discovery.ValidateID(id); err != nil {
			t.Error(err)
		}
		if id != discovery.NewID("User", addr) || id != strings.ToLower(id) {
			t.Errorf("%q is not stable and lower case", id)
		}
	}
	ids := make(map[string]string)
	for _, addr := range []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1", "10.0.0.1:1", "[::1]:1", "h:1"} {
		id := discovery.NewID("user", addr)
		if other, taken := ids[id]; taken {
			t.Errorf("%s and %s, where two processes can listen, have one ID", other, addr)
		}
		ids[id] = addr
	}
	if discovery.NewID("user", ":1") != discovery.NewID("user", "127.0.0.1:1") {
		t.Error("the ID changes with the wildcard")
	}
}

func TestARegistryThatLosesTheInstanceAtOnceIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var registered atomic.Int64
		_, stop := registration(t, stubRegistrar{
			register:   func(context.Context, discovery.Instance) error { registered.Add(1); return nil },
			check:      func(context.Context, discovery.Instance) error { return discovery.ErrNotRegistered },
			deregister: func(context.Context, discovery.Instance) error { return nil },
		})
		<-time.After(time.Minute)
		if n := registered.Load(); n < 20 || n > 60 {
			t.Errorf("registered %d times in a minute, want 20 to 60", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
