package discovery_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

// logged is a resolver on a scripted registry whose log is read.
func logged(t *testing.T, test func(r *rig, log func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		logs := &bytes.Buffer{}
		r := &rig{t: t, driver: newScripted(), targets: target.NewRegistry()}
		r.builder = discovery.NewResolver(r.driver, discovery.Config{RemovalDelay: -1}, discovery.WithTargets(r.targets),
			discovery.WithLogger(slog.New(slog.NewTextHandler(logs, nil))))
		conn, res := build(t, r.builder, dialled)
		r.conn = conn
		test(r, func() []string {
			synctest.Wait()
			return strings.Split(strings.TrimSpace(logs.String()), "\n")
		})
		res.Close()
	})
}

func TestEachChangeOfTheListIsALineThatNamesIt(t *testing.T) {
	logged(t, func(r *rig, log func() []string) {
		r.answer("a", "b", "c")
		r.answer("a", "b", "d")
		changed := list("a", "b", "d")
		changed.Instances[1].Weight = 7
		r.update(changed)
		r.answer("a", "b", "d", "e", "f", "g", "h", "i", "j", "k")
		lines := log()
		want := []string{"added a, b, c", "added d; left c", "changed b", "added e, f, g, h, i and 2 more; changed b"}
		if len(lines) != len(want) {
			t.Fatalf("%d lines, want %d: %q", len(lines), len(want), lines)
		}
		for i := range want {
			if !strings.Contains(lines[i], want[i]) {
				t.Errorf("line %d is %s, want %q in it", i, lines[i], want[i])
			}
		}
		if d := r.targets.Lookup(dialled).Decision(); !strings.Contains(d.Reason, want[3]) {
			t.Errorf("decision: %q, want %q in it", d.Reason, want[3])
		}
	})
}

func TestADecisionNamesWhatItKeepsAndWhatLeaves(t *testing.T) {
	inBubble(t, func(r *rig) {
		reason := func(want string) {
			t.Helper()
			if got := r.targets.Lookup(dialled).Decision().Reason; got != `service "user" in test registry: `+want {
				t.Errorf("reason %q, want %q", got, want)
			}
		}
		r.answer("a", "b", "c", "d", "e")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c", "d", "e")
		r.answer("a", "b", "c", "d")
		reason("4 instances; about to leave: e")
		r.answer("a", "b")
		reason("2 instances; kept until their own connections confirm that they are gone: c, d, e")
		r.update(discovery.Update{Unchanged: true})
		reason("2 instances; kept until their own connections confirm that they are gone: c, d, e")
	})
}

func TestARegistryThatFailsInEverNewWordsIsToldOfOnceAMinute(t *testing.T) {
	for name, first := range map[string]func(r *rig){"without a list": func(*rig) {}, "with a list": func(r *rig) { r.answer("a") }} {
		t.Run(name, func(t *testing.T) {
			logged(t, func(r *rig, log func() []string) {
				first(r)
				start := time.Now()
				for n := 0; time.Since(start) < time.Hour; n++ {
					r.fail(fmt.Errorf("read tcp 127.0.0.1:%d: connection reset by peer", 30000+n))
				}
				if n := len(log()); n < 55 || n > 62 {
					t.Errorf("%d lines in an hour", n)
				}
			})
		})
	}
}

func TestARegistryThatNeverRestsDoesNotFloodTheLog(t *testing.T) {
	logged(t, func(r *rig, log func() []string) {
		start := time.Now()
		for range 1000 {
			r.answer("a", "b", "c")
			r.pass(time.Second)
			r.fail(errors.New("away"))
			r.answer("a", "b", "d")
			r.pass(time.Second)
		}
		lines := log()
		// Of three decisions in each round one in five seconds is told of, after twenty.
		if n, most := len(lines), 21+int(time.Since(start)/(5*time.Second)); n > most || n < most/2 {
			t.Errorf("%d lines in %s, want %d at most", n, time.Since(start), most)
		}
		if last := lines[len(lines)-1]; !strings.Contains(last, "lines_left_out=") {
			t.Errorf("the last line does not say how many were left out: %s", last)
		}
	})
}

func TestWhereAFlappingRegistryEndsIsInTheLog(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"it fails": func(r *rig) {
			for range 5 {
				r.fail(errors.New("the end"))
				r.pass(discovery.DefaultMaxBackoff)
			}
		},
		"it rests": func(r *rig) {
			r.answer("a", "b", "e")
			r.pass(time.Minute)
			r.update(discovery.Update{Unchanged: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			logged(t, func(r *rig, log func() []string) {
				for range 100 {
					r.answer("a", "b", "c")
					r.answer("a", "b", "d")
				}
				end(r)
				lines := log()
				if last := lines[len(lines)-1]; !strings.Contains(last, "the end") && !strings.Contains(last, "unchanged") || !strings.Contains(last, "lines_left_out=") {
					t.Errorf("the last line is %s", last)
				}
				r.update(discovery.Update{Unchanged: true})
				r.update(discovery.Update{Unchanged: true})
				if n := len(log()) - len(lines); n > 1 { // that it is well again
					t.Errorf("%d lines more", n)
				}
			})
		})
	}
}

func TestEntriesThatAreLeftOutAreToldOfOnce(t *testing.T) {
	logged(t, func(r *rig, log func() []string) {
		answer := func(bad string, names ...string) {
			u := list(names...)
			if bad != "" {
				u.Invalid = []error{errors.New(bad)}
			}
			r.update(u)
		}
		answer("one", "a")
		answer("one", "a", "b")
		answer("one", "a", "b", "c")
		answer("other", "a", "b", "c")
		answer("", "a", "b", "c")
		answer("other", "a", "b", "c")
		var told []string
		for _, line := range log() {
			if _, what, ok := strings.Cut(line, "error="); ok {
				told = append(told, what)
			}
		}
		if got := strings.Join(told, " "); got != "one other other" {
			t.Errorf("told: %s", got)
		}
	})
}
