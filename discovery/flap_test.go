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

func (r *rig) update(u discovery.Update) {
	r.driver.updates <- u
	synctest.Wait()
}

func TestARegistryThatFlapsRebuildsNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c", "d")
		before := r.conn.updates()
		for range 60 {
			r.answer("a", "b", "c")
			r.pass(time.Second)
			r.answer("a", "b", "c", "d")
			r.pass(time.Second)
		}
		if n := r.conn.updates() - before; n != 0 {
			t.Errorf("an instance that comes and goes once a second made %d lists", n)
		}
		for range 60 {
			r.answer()
			r.pass(time.Second)
			r.answer("a", "b", "c", "d")
			r.pass(time.Second)
		}
		if n := r.conn.updates() - before; n != 0 {
			t.Errorf("a list that comes and goes once a second made %d lists", n)
		}
	})
}

func TestAnInstanceWhoseConnectionFailsWhileItIsAbsentLeavesThen(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c")
		r.answer("a", "b")
		r.want("abc", "accepted")
		r.connect(connectivity.TransientFailure, target.HealthUnknown, "a") // one that stays is none of this
		r.pass(3 * time.Second)
		r.want("ab", "removed")
	})
}

func TestListsAreHandedOutAtAPace(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := r.conn.updates()
		for i := range 100 {
			u := list("a", "b")
			u.Instances[0].Weight = uint32(i + 1)
			r.update(u)
			r.pass(100 * time.Millisecond)
		}
		r.pass(time.Second)
		if n := r.conn.updates() - start; n < 10 || n > 20 {
			t.Errorf("100 changes in 10 s made %d lists, want about one a second after a burst", n)
		}
		states := r.conn.states
		in, _ := target.FromEndpoint(states[len(states)-1].Endpoints[0])
		if in.Weight != 100 {
			t.Errorf("the last list has weight %d, want that of the last change", in.Weight)
		}
	})
}

func TestAStaleAnswerAddsAndTakesNothingAway(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d", "e")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c", "d", "e")
		u := list("a", "b", "c", "d", "f")
		u.Stale = "no leader"
		r.update(u)
		r.pass(time.Minute)
		r.want("abcdef", "held")
		if d := r.targets.Lookup(dialled).Decision(); !strings.Contains(d.Reason, "no leader") {
			t.Errorf("reason: %s", d.Reason)
		}
		r.answer("a", "b", "c", "d", "f") // the leader is back, and does not know e
		r.pass(time.Minute)
		r.want("abcdf", "removed")
	})
}

func TestInstancesThatServeDoNotMoveToWhereTheyWereLongAgo(t *testing.T) {
	for name, stale := range map[string]string{"stale": "no leader", "said to be up to date": ""} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.answer("a", "b", "c")
				r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c")
				old := list("x", "y", "z")
				old.Stale = stale
				for i, id := range []string{"a", "b", "c"} {
					old.Instances[i].ID = id
				}
				r.update(old)
				r.want("aabbcc", "held")
				r.pass(time.Minute)
				r.want("aabbcc", "held")
				r.answer("a", "b", "c")
				r.want("abc", "accepted")
			})
		})
	}
}

func TestAnAnswerWithoutAChangeEndsWhatAStaleOneLeftOpen(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d", "e")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c", "d", "e")
		u := list("a", "b", "c", "d")
		u.Stale = "no leader"
		r.update(u)
		r.update(discovery.Update{Unchanged: true, Stale: "no leader"})
		r.pass(time.Minute)
		r.want("abcde", "unchanged")
		r.update(discovery.Update{Unchanged: true}) // the leader is back, and does not know e
		r.pass(time.Minute)
		r.want("abcd", "removed")
	})
}

func TestInstancesThatAllFailTheirChecksAreUsedWhenNothingElseIsKnown(t *testing.T) {
	inBubble(t, func(r *rig) {
		all := discovery.Update{Failing: list("a", "b").Instances}
		r.update(all)
		r.want("ab", "failing")
		r.answer("c")
		r.want("c", "accepted")
		r.connect(connectivity.Ready, target.HealthServing, "c")
		r.update(all)
		r.pass(time.Minute)
		r.want("c", "held")
	})
}

func TestInstancesThatAllFailTheirChecksAreReplacedByOthersThatDo(t *testing.T) {
	inBubble(t, func(r *rig) {
		failing := func(names ...string) { r.update(discovery.Update{Failing: list(names...).Instances}) }
		failing("a", "b")
		r.want("ab", "failing")
		r.connect(connectivity.Ready, target.HealthServing, "a")
		failing("c", "d")
		r.want("abcd", "held")
		if d := r.targets.Lookup(dialled).Decision(); !strings.Contains(d.Reason, "all 2 instances fail their checks") {
			t.Errorf("reason: %s", d.Reason)
		}
		r.update(discovery.Update{Unchanged: true})
		if d := r.targets.Lookup(dialled).Decision(); !strings.Contains(d.Reason, "all 2 instances fail their checks") {
			t.Errorf("reason: %s", d.Reason)
		}
		r.connect(connectivity.Ready, target.HealthServing, "c")
		one := list("d")
		one.Failing = list("c").Instances
		r.update(one) // a and c serve, whatever their checks say
		r.want("acd", "held")
	})
}

func TestInstancesThatFailTheirChecksAreUsedWhenTheOthersAreGone(t *testing.T) {
	for name, late := range map[string]bool{"known before": false, "heard of later": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.answer("a", "b")
				r.connect(connectivity.TransientFailure, target.HealthUnknown, "a", "b")
				next := discovery.Update{Failing: list("c", "d").Instances}
				if late {
					r.update(discovery.Update{})
					r.pass(time.Minute)
					r.want("ab", "gone")
					r.update(next)
					r.want("abcd", "failing")
				} else {
					r.update(next)
					r.want("ab", "held")
				}
				r.pass(time.Minute)
				r.want("cd", "confirmed")
			})
		})
	}
}

func TestInstancesThatAreBackAreNotCalledGone(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		a := r.targets.Lookup(dialled).Live(list("a").Instances[0].Address).Track()
		a.Set(connectivity.TransientFailure, target.HealthUnknown)
		r.answer()
		for range 2 {
			r.pass(time.Minute)
			r.want("ab", "gone")
			r.answer()
			r.want("ab", "gone")
			r.update(discovery.Update{Unchanged: true})
			if d := r.targets.Lookup(dialled).Decision(); !strings.Contains(d.Reason, "none of the 2 known before") {
				t.Errorf("reason: %s", d.Reason)
			}
			a.Set(connectivity.Ready, target.HealthServing)
			r.pass(time.Second)
			r.want("ab", "held")
			a.Set(connectivity.TransientFailure, target.HealthUnknown)
		}
	})
}

func TestAnAnswerWithoutAChangeRefreshesTheList(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a")
		first := r.targets.Lookup(dialled).Decision().LastGood
		lists := r.conn.updates()
		r.pass(time.Minute)
		r.update(discovery.Update{Unchanged: true})
		r.want("a", "unchanged")
		if age := r.targets.Lookup(dialled).Decision().LastGood.Sub(first); age != time.Minute {
			t.Errorf("the list is %s younger, want 1m0s", age)
		}
		if n := r.conn.updates() - lists; n != 0 {
			t.Errorf("%d lists were handed out", n)
		}
	})
}

func TestInstancesWithoutAConnectionAreJudgedByTheOthers(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c") // d is in nobody's subset
		r.answer("a")
		r.pass(time.Minute)
		r.want("abcd", "held")
	})
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d")
		r.connect(connectivity.TransientFailure, target.HealthUnknown, "b", "c")
		r.answer("a")
		r.pass(time.Minute)
		r.want("a", "confirmed")
	})
}

func TestACriticalFleetOfASubsetIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, targets := newScripted(), target.NewRegistry()
		b := discovery.NewResolver(driver, discovery.Config{Subset: discovery.Subset{Above: 10, Size: 5, Seed: "x"}}, discovery.WithTargets(targets))
		conn, res := build(t, b, dialled)
		driver.updates <- fleet(100)
		synctest.Wait()
		before := fmt.Sprint(zones(conn.states[0]))
		for _, ep := range conn.states[0].Endpoints {
			c := targets.Lookup(dialled).Live(ep.Addresses[0].Addr).Track()
			c.Set(connectivity.Ready, target.HealthServing)
		}
		driver.updates <- discovery.Update{Failing: fleet(100).Instances}
		<-time.After(time.Hour)
		synctest.Wait()
		if after := fmt.Sprint(zones(conn.states[len(conn.states)-1])); after != before {
			t.Errorf("in effect: %s, want %s", after, before)
		}
		res.Close()
	})
}

func TestEachOutageOfTheRegistryIsLoggedAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, logs := newScripted(), &bytes.Buffer{}
		b := discovery.NewResolver(driver, discovery.Config{}, discovery.WithLogger(slog.New(slog.NewTextHandler(logs, nil))))
		_, res := build(t, b, dialled)
		driver.updates <- list("a", "b")
		for range 2 {
			for range 3 {
				driver.errs <- errors.New("connection refused")
			}
			for range 3 {
				driver.updates <- list("a", "b")
			}
		}
		synctest.Wait()
		res.Close()
		var got []string
		for line := range strings.Lines(logs.String()) {
			_, rest, _ := strings.Cut(line, "decision=")
			decided, _, _ := strings.Cut(rest, " ")
			got = append(got, decided)
		}
		if want := "accepted kept unchanged kept unchanged"; strings.Join(got, " ") != want {
			t.Errorf("logged: %q, want %q", got, want)
		}
	})
}
