package balancer

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// stateOf is a list of n instances of which the k-th is missing.
func stateOf(n, k int) resolver.State {
	var s resolver.State
	for i := range n {
		if i == k {
			continue
		}
		address := fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)
		ep := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		s.Endpoints = append(s.Endpoints, target.SetEndpoint(ep, target.Instance{ID: address, Address: address}))
	}
	return s
}

func TestPickersAreBoundedUnderChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, seconds = 200, 20
		p, cc := stubPolicy(t, n, `{}`, nil)
		parsed, _ := parse([]byte(`{}`))
		synctest.Wait()
		time.Sleep(5 * time.Second)
		before, start := cc.pickers(), time.Now()
		for s := range seconds {
			// The registry flaps, and in each second twenty connections break and come back.
			if err := p.UpdateClientConnState(balancer.ClientConnState{ResolverState: stateOf(n, s%5), BalancerConfig: parsed}); err != nil {
				t.Fatal(err)
			}
			for k := range 20 {
				cc.mu.Lock()
				sub := cc.subs[(s*20+k)%len(cc.subs)]
				cc.mu.Unlock()
				sub.listen(balancer.SubConnState{ConnectivityState: connectivity.Idle})
				time.Sleep(40 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond)
		}
		rate := float64(cc.pickers()-before) / time.Since(start).Seconds()
		if rate > 11 {
			t.Errorf("%.1f pickers a second", rate)
		}
		t.Logf("%.1f pickers a second", rate)
		p.Close()
	})
}

func TestEjectionsAreToldToTheWrappedPolicyOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := stubPolicy(t, 100, `{}`, nil)
		time.Sleep(20 * time.Second)
		before := cc.pickers()
		for k, i := range p.instancesNow() {
			if k < 40 {
				p.eject(i, p.now())
			}
		}
		p.poke()
		time.Sleep(time.Second)
		if n := cc.pickers() - before; n < 5 || n > 12 {
			t.Errorf("%d pickers in a second", n)
		}
		for k, i := range p.instancesNow() {
			if k >= 40 && k < 60 {
				p.eject(i, p.now()) // more than half are out now
			}
		}
		p.poke()
		synctest.Wait()
		eachSub(p, func(s *subConn) {
			if s.told.Load() {
				t.Errorf("in a panic the wrapped policy still holds %s to be out", s.inst.address)
			}
		})
		if !p.panicking.Load() {
			t.Error("no panic")
		}
		p.Close()
	})
}

func TestCallsWaitWhenTheListShrinksToAnInstanceThatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := stubPolicy(t, 3, `{}`, nil)
		time.Sleep(5 * time.Second)
		p.eject(p.instancesNow()[0], p.now())
		p.poke()
		time.Sleep(500 * time.Millisecond)
		left := stateOf(1, -1)
		parsed, _ := parse([]byte(`{}`))
		if err := p.UpdateClientConnState(balancer.ClientConnState{ResolverState: left, BalancerConfig: parsed}); err != nil {
			t.Fatal(err)
		}
		info := balancer.PickInfo{FullMethodName: "/a/b", Ctx: t.Context()}
		if _, err := cc.pick().Pick(info); err != nil && !errors.Is(err, balancer.ErrNoSubConnAvailable) {
			t.Errorf("a call fails: %v", err)
		}
		synctest.Wait()
		r, err := cc.pick().Pick(info)
		if err != nil {
			t.Fatalf("the only instance is not used: %v", err)
		}
		r.Done(sent)
		p.Close()
	})
}

func TestErrorsOfPickersThatAreReplacedStandForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := stubPolicy(t, 1, `{}`, nil)
		defer p.Close()
		synctest.Wait()
		nobody, info := errors.New("nobody"), balancer.PickInfo{FullMethodName: "/a/b", Ctx: t.Context()}
		before := p.newPicker(base.NewErrPicker(nobody))
		if _, err := before.Pick(info); !errors.Is(err, nobody) {
			t.Errorf("the latest picker says %v", err)
		}
		p.newPicker(base.NewErrPicker(nobody))
		if _, err := before.Pick(info); !errors.Is(err, balancer.ErrNoSubConnAvailable) {
			t.Errorf("one that was replaced says %v", err)
		}
	})
}
