package balancer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/balancer"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// turns gives its connections in turn and costs nothing, so that what is measured is ours.
type turns struct {
	subs []*subConn
	next atomic.Uint32
}

func (p *turns) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: p.subs[p.next.Add(1)%uint32(len(p.subs))]}, nil
}

func benchPick(b *testing.B, pick balancer.Picker) {
	m := &policy.Method{FullName: "/test.v1.TestService/Get"}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := &call.Call{Context: context.Background(), Side: call.Client, Method: m}
		info := balancer.PickInfo{FullMethodName: m.FullName, Ctx: c}
		for pb.Next() {
			*c = call.Call{Context: context.Background(), Side: call.Client, Method: m}
			r, err := pick.Pick(info)
			if err != nil {
				b.Error(err)
				return
			}
			r.Done(balancer.DoneInfo{BytesSent: true, BytesReceived: true})
		}
	})
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 50, 1000} {
		b.Run(fmt.Sprintf("ours/%d", n), func(b *testing.B) {
			_, cc := stubPolicy(b, n, `{}`, func(subs []*subConn) balancer.Picker { return &turns{subs: subs} })
			benchPick(b, cc.pick())
		})
		b.Run(fmt.Sprintf("least_request/%d", n), func(b *testing.B) {
			_, cc := stubPolicy(b, n, `{}`, nil)
			benchPick(b, cc.pick())
		})
		b.Run(fmt.Sprintf("least_request alone/%d", n), func(b *testing.B) {
			_, cc := stubPolicy(b, n, `{}`, nil)
			benchPick(b, cc.pick().(*picker).child)
		})
	}
}

// One instance comes or goes: what gRPC's own policies and ours do for it.
func BenchmarkListChange(b *testing.B) {
	for _, n := range []int{50, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := stubPolicy(b, n, `{}`, nil)
			cfg, err := parse([]byte(`{}`))
			if err != nil {
				b.Fatal(err)
			}
			k := 0
			for b.Loop() {
				k++
				if err := p.UpdateClientConnState(balancer.ClientConnState{ResolverState: stateOf(n, k%2-1), BalancerConfig: cfg}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A turn of the clock: what watching the instances costs, ten times a second.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{3, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := stubPolicy(b, n, `{}`, nil)
			now := p.now()
			for b.Loop() {
				now += tickEvery
				p.down.Lock() // nothing else moves
				p.tick(now)
				p.down.Unlock()
			}
		})
	}
}
