package discovery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

const dialled = "test:///user"

// rig is a resolver on a scripted registry, in a bubble of virtual time.
type rig struct {
	t       *testing.T
	driver  *scripted
	targets *target.Registry
	reg     *prometheus.Registry
	builder *discovery.Builder
	conn    *fakeConn
	close   func()
}

func inBubble(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, driver: newScripted(), targets: target.NewRegistry(), reg: prometheus.NewRegistry()}
		r.builder = discovery.NewResolver(r.driver, discovery.Config{}, discovery.WithTargets(r.targets), discovery.WithRegisterer(r.reg))
		conn, res := build(t, r.builder, dialled)
		r.conn, r.close = conn, res.Close
		test(r)
		r.close()
		if running, _ := r.driver.counts(); running != 0 {
			t.Errorf("%d watches run after the last connection was closed", running)
		}
	})
}

func (r *rig) answer(names ...string) {
	r.driver.updates <- list(names...)
	synctest.Wait()
}

func (r *rig) fail(err error) {
	r.driver.errs <- err
	synctest.Wait()
}

func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) want(ids, decision string) {
	r.t.Helper()
	if got := r.conn.ids(); got != ids {
		r.t.Errorf("instances in effect: %q, want %q", got, ids)
	}
	if got := r.targets.Lookup(dialled).Decision().Kind; got != decision {
		r.t.Errorf("decision: %q, want %q", got, decision)
	}
}

// connect reports connections to instances, in the state given.
func (r *rig) connect(s connectivity.State, h target.Health, names ...string) {
	r.t.Helper()
	for _, in := range list(names...).Instances {
		r.targets.Lookup(dialled).Live(in.Address).Track().Set(s, h)
	}
}

func TestAnswersAreInEffectInOrder(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("c", "a", "b")
		r.want("abc", "accepted")
		r.answer("b", "c", "a")
		r.want("abc", "unchanged")
		if n := r.conn.updates(); n != 1 {
			t.Errorf("gRPC was told %d times of one list", n)
		}
		r.answer("d", "c", "b", "a")
		r.want("abcd", "accepted")
		r.answer("a", "c", "d")
		r.want("acd", "accepted")
	})
}

func TestErrorKeepsTheLastGoodListWithoutLimit(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		for range 100 {
			r.fail(errors.New("connection refused"))
			r.want("ab", "kept")
			r.pass(discovery.DefaultMaxBackoff)
		}
		if got := r.conn.lastError(); got != "" {
			t.Errorf("error reported although there is a list: %s", got)
		}
		r.answer("a", "b", "c")
		r.want("abc", "accepted")
	})
}

func TestARegistryThatIsWaitedForIsNamed(t *testing.T) {
	inBubble(t, func(r *rig) {
		synctest.Wait()
		r.want("", "waiting")
		if n, err := testutil.GatherAndCount(r.reg, "keelson_resolver_decisions_total"); err != nil || n != 0 {
			t.Errorf("%d decisions, %v; want none yet", n, err)
		}
		r.pass(time.Second)
		if d := r.targets.Lookup(dialled).Decision(); d.Kind != "waiting" || d.Reason != `service "user" in test registry has not answered within 500ms` {
			t.Errorf("decision: %+v", d)
		}
		if n, err := testutil.GatherAndCount(r.reg, "keelson_resolver_decisions_total"); err != nil || n != 1 {
			t.Errorf("%d decisions, %v; want that of waiting", n, err)
		}
		r.answer("a")
		r.want("a", "accepted")
	})
}

func TestErrorBeforeTheFirstAnswerReachesCalls(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.fail(errors.New("connection refused"))
		r.want("", "error")
		for _, part := range []string{"user", "test registry", "connection refused"} {
			if got := r.conn.lastError(); !strings.Contains(got, part) {
				t.Errorf("error %q does not say %q", got, part)
			}
		}
		r.pass(discovery.DefaultMaxBackoff)
		r.answer("a")
		r.want("a", "accepted")
	})
}

func TestEmptyBeforeTheFirstListReachesCallsAndNeverAsAList(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer()
		r.want("", "empty")
		if got := r.conn.lastError(); !strings.Contains(got, "no instance of service \"user\" in test registry is registered") {
			t.Errorf("error: %q", got)
		}
		if n := r.conn.updates(); n != 0 {
			t.Errorf("gRPC was told %d lists", n)
		}
	})
}

func TestAnErrorNamesTheParametersOfTheTarget(t *testing.T) {
	inBubble(t, func(r *rig) {
		conn, res := build(t, r.builder, dialled+"?tag=v9")
		defer res.Close()
		for range 2 { // either watch may take an answer
			r.answer()
			r.fail(errors.New("connection refused"))
			r.fail(errors.New("connection refused"))
		}
		if want := `service "user" with tag=v9 in test registry`; !strings.Contains(conn.lastError(), want) {
			t.Errorf("error %q, want %q in it", conn.lastError(), want)
		}
	})
}

func TestRepetitionsAreJitteredAndCapped(t *testing.T) {
	inBubble(t, func(r *rig) {
		var longest time.Duration
		for range 30 {
			start := time.Now()
			r.fail(errors.New("away")) // returns when the watch runs again and takes it
			longest = max(longest, time.Since(start))
		}
		if longest > discovery.DefaultMaxBackoff || longest < discovery.DefaultMaxBackoff/3 {
			t.Errorf("longest pause %s, want up to %s", longest, discovery.DefaultMaxBackoff)
		}
	})
}

func TestRegistryThatAnswersAndFailsIsNotHammered(t *testing.T) {
	inBubble(t, func(r *rig) {
		start, n := time.Now(), 0
		for ; time.Since(start) < time.Hour; n++ {
			r.answer("a")
			r.fail(errors.New("away"))
		}
		if n > 2420 { // pauses of 1.5 s to 3 s
			t.Errorf("asked %d times in an hour", n)
		}
	})
}

func TestEmptiedListIsHeldWhileConnectionsAreUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c")
		r.answer()
		r.want("abc", "held")
		r.pass(24 * time.Hour)
		r.want("abc", "held")
		if got := r.conn.lastError(); got != "" {
			t.Errorf("error reported: %s", got)
		}
	})
}

func TestEmptiedListWithoutConnectionsIsAnErrorAndStays(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		r.connect(connectivity.TransientFailure, target.HealthUnknown, "a", "b")
		r.answer()
		r.pass(9 * time.Second)
		r.want("ab", "held")
		r.pass(3 * time.Second)
		r.want("ab", "gone")
		if got := r.conn.lastError(); !strings.Contains(got, "none of the 2 known before has a usable connection") {
			t.Errorf("error: %q", got)
		}
		r.fail(errors.New("away"))
		r.want("ab", "kept")
		r.answer("c")
		r.want("abc", "held")
	})
}

func TestHalvedListIsHeldUntilConnectionsConfirm(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c")
		r.connect(connectivity.Ready, target.HealthNotServing, "d")
		r.answer("a", "b")
		r.want("abcd", "held")
		r.pass(9 * time.Second)
		r.want("abcd", "held")
		r.pass(3 * time.Second)
		r.want("abc", "confirmed") // d asks for no calls; c serves on
		r.answer("a", "b", "c")
		r.want("abc", "accepted")
		if n := r.targets.Lookup(dialled).Snapshot().Instances[2]; n.Held {
			t.Error("an instance that came back is still held")
		}
	})
}

func TestLessThanHalfLeavesAfterAMoment(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b", "c", "d", "e")
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c", "d")
		r.connect(connectivity.Ready, target.HealthNotServing, "e")
		r.answer("a", "b", "c")
		r.want("abcd", "accepted") // e drains and goes at once
		r.pass(time.Second)
		r.want("abcd", "accepted")
		r.pass(2 * time.Second)
		r.want("abc", "removed")
	})
}

func TestAdditionsOfASuspiciousAnswerAreInEffectAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		r.answer("c", "d")
		r.want("abcd", "held")
		r.pass(12 * time.Second) // nobody tracks connections: the time alone decides
		r.want("cd", "confirmed")
	})
}

func TestAnInstanceThatMovesIsReplacedAndNotHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a")
		moved := list("a")
		moved.Instances[0].Address = "10.0.0.99:1"
		r.driver.updates <- moved
		synctest.Wait()
		r.want("a", "accepted")
		renamed := list("b")
		renamed.Instances[0].Address = "10.0.0.99:1"
		r.driver.updates <- renamed
		synctest.Wait()
		r.want("b", "accepted")
	})
}

func TestConfirmOptionReplacesLiveState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newScripted()
		asked := ""
		b := discovery.NewResolver(driver, discovery.Config{Hold: time.Second}, discovery.WithConfirm(func(name string, in target.Instance) bool {
			asked = name
			return in.ID == "a"
		}))
		conn, res := build(t, b, dialled)
		defer res.Close()
		driver.updates <- list("a", "b", "c")
		driver.updates <- list("c")
		<-time.After(5 * time.Second)
		synctest.Wait()
		if got := conn.ids(); got != "bc" || asked != dialled {
			t.Errorf("in effect %q after asking about %q, want bc after %q", got, asked, dialled)
		}
	})
}

func TestBadEntriesAreDroppedOneByOne(t *testing.T) {
	inBubble(t, func(r *rig) {
		u := list("a", "b", "c", "d")
		u.Instances[1].Address = "nowhere"
		u.Instances[2].Service = "audit"
		twice := u.Instances[3]
		twice.Address, twice.StartTime = "10.0.0.50:1", time.Now()
		u.Instances = append(u.Instances, twice, discovery.Instance{Service: "user", ID: "e", Address: "0.0.0.0:80"})
		u.Invalid = []error{errors.New("file x.json: garbage")}
		r.driver.updates <- u
		synctest.Wait()
		r.want("ad", "accepted")
		if got := r.conn.states[0].Endpoints[1].Addresses[0].Addr; got != "10.0.0.50:1" {
			t.Errorf("of two entries with one ID, %s is in effect; want the one that started last", got)
		}
		want := `
# HELP keelson_resolver_dropped_entries_total Entries of a registry's answers that were left out: unreadable, invalid or duplicate.
# TYPE keelson_resolver_dropped_entries_total counter
keelson_resolver_dropped_entries_total{reason="duplicate",target="test:///user"} 1
keelson_resolver_dropped_entries_total{reason="invalid",target="test:///user"} 3
keelson_resolver_dropped_entries_total{reason="unreadable",target="test:///user"} 1
`
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "keelson_resolver_dropped_entries_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAnswerOfNonsenseIsHeldLikeAnEmptyOne(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a")
		r.connect(connectivity.Ready, target.HealthServing, "a")
		r.driver.updates <- discovery.Update{Invalid: []error{errors.New("garbage")}}
		r.pass(time.Minute)
		r.want("a", "held")
	})
}

func TestDecisionsAreMetrics(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		r.fail(errors.New("away"))
		r.answer("a")
		want := `
# HELP keelson_resolver_decisions_total What the resolver decided about each answer or error of a registry.
# TYPE keelson_resolver_decisions_total counter
keelson_resolver_decisions_total{decision="accepted",target="test:///user"} 1
keelson_resolver_decisions_total{decision="held",target="test:///user"} 1
keelson_resolver_decisions_total{decision="kept",target="test:///user"} 1
# HELP keelson_resolver_held_instances Instances kept although the registry no longer names them.
# TYPE keelson_resolver_held_instances gauge
keelson_resolver_held_instances{target="test:///user"} 1
# HELP keelson_resolver_instances Instances in the list in effect, held ones included.
# TYPE keelson_resolver_instances gauge
keelson_resolver_instances{target="test:///user"} 2
`
		err := testutil.GatherAndCompare(r.reg, strings.NewReader(want),
			"keelson_resolver_decisions_total", "keelson_resolver_held_instances", "keelson_resolver_instances")
		if err != nil {
			t.Error(err)
		}
	})
}

func TestGaugesOfATargetEndWithItsLastConnection(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		_, second := build(t, r.builder, dialled)
		gauges := []string{"keelson_resolver_instances", "keelson_resolver_held_instances", "keelson_resolver_last_good_timestamp_seconds"}
		r.close()
		if n, err := testutil.GatherAndCount(r.reg, gauges...); err != nil || n != 3 {
			t.Errorf("%d gauges while a connection is left, %v", n, err)
		}
		second.Close()
		if n, err := testutil.GatherAndCount(r.reg, gauges...); err != nil || n != 0 {
			t.Errorf("%d gauges after the last connection, %v", n, err)
		}
		if n, err := testutil.GatherAndCount(r.reg, "keelson_resolver_decisions_total"); err != nil || n != 1 {
			t.Errorf("%d counters, %v", n, err)
		}
	})
}

func TestConnectionsToOneTargetShareOneWatch(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		second, res := build(t, r.builder, dialled)
		other, otherRes := build(t, r.builder, dialled+"?tag=v1")
		synctest.Wait()
		if running, _ := r.driver.counts(); running != 2 {
			t.Errorf("%d watches for two targets", running)
		}
		if second.ids() != "ab" || other.ids() != "" {
			t.Errorf("the second connection has %q, that of the other target %q", second.ids(), other.ids())
		}
		otherRes.Close()
		r.answer("a", "b", "c")
		if second.ids() != "abc" {
			t.Errorf("the second connection has %q", second.ids())
		}
		res.Close()
		r.answer("a", "b", "c", "d")
		r.want("abcd", "accepted")
		if got := r.driver.queries[1].Params.Get("tag"); got != "v1" {
			t.Errorf("tag %q reached the driver", got)
		}
	})
}

func TestLastGoodListIsRememberedForTheNextConnection(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answer("a", "b")
		r.close()
		if got := len(r.targets.Snapshot()); got != 0 {
			t.Errorf("%d targets shown without a connection", got)
		}
		conn, res := build(t, r.builder, dialled)
		r.conn, r.close = conn, res.Close
		synctest.Wait()
		r.want("ab", "remembered")
		r.fail(errors.New("away"))
		r.want("ab", "kept")
		r.answer("x") // long ago is no reason to hold
		r.want("x", "accepted")
	})
}

func TestListsOfTheTargetsThatEndedLastAreRemembered(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.close()
		dial := func(n int) (seen string) {
			conn, res := build(t, r.builder, fmt.Sprintf("%s?n=%d", dialled, n))
			synctest.Wait()
			seen = conn.ids()
			r.answer("c")
			res.Close()
			return seen
		}
		for n := range 1000 {
			dial(n)
		}
		if dial(999) != "c" || dial(950) != "c" {
			t.Error("a list of late is forgotten")
		}
		if seen := dial(0); seen != "" {
			t.Errorf("the list %q of one of 1,000 targets is remembered forever", seen)
		}
		if n, err := testutil.GatherAndCount(r.reg, "keelson_resolver_updates_total"); err != nil || n > 150 {
			t.Errorf("%d targets have counters, %v; want the latest 100", n, err)
		}
	})
}

func TestRefusedListIsNoReasonToStop(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.conn.refuse = errors.New("bad resolver state")
		r.answer("a")
		r.answer("a", "b")
		r.want("ab", "accepted")
	})
}

func TestDialTargetsThatNameNoServiceAreRefused(t *testing.T) {
	b := discovery.NewResolver(newScripted(), discovery.Config{})
	for _, dial := range []string{
		"test:///", "test://user", "test://host/user", "test:///a/b", "test:///..", "test:///a%20b",
		"test:///user:80", "test:///user?tag=%zz", "test:///user?a=1;b=2", "test:///user#tag",
	} {
		t.Run(dial, func(t *testing.T) {
			if b.Check(parse(t, dial)) == nil {
				t.Error("Check says that it is well")
			}
			if _, err := b.Build(parse(t, dial), &fakeConn{}, resolver.BuildOptions{}); err == nil {
				t.Error("accepted")
			} else if !strings.Contains(err.Error(), dial) {
				t.Errorf("error %q does not name the target", err)
			}
		})
	}
}

func TestAPasswordInATargetIsNotRepeated(t *testing.T) {
	b := discovery.NewResolver(newScripted(), discovery.Config{})
	_, err := b.Build(parse(t, "test://me:secret@/user"), &fakeConn{}, resolver.BuildOptions{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Build: %v, want an error without the password", err)
	}
}
