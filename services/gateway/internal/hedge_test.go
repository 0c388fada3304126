package internal_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// instances makes several backends the instances of one target, which hedges reads
// after a while.
func instances(after time.Duration, all ...*fake) func(*setup) {
	byAddress := map[string]*fake{}
	list := manual.NewBuilderWithScheme("several")
	var state grpcresolver.State
	for i, f := range all {
		address := fmt.Sprintf("127.0.0.%d:80", i+1)
		byAddress[address] = f
		state.Addresses = append(state.Addresses, grpcresolver.Address{Addr: address})
	}
	list.InitialState(state)
	return func(s *setup) {
		s.config.Services = []internal.ServiceConfig{{Service: echoService, Target: "several:///backend"}}
		s.config.Methods = []policy.Override{{Method: readMethod, HedgeDelay: after}}
		s.dial = []grpc.DialOption{grpc.WithResolvers(list), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return byAddress[address].dial(ctx, address)
		})}
	}
}

func TestASecondInstanceAnswersForOneThatIsSlow(t *testing.T) {
	var first atomic.Bool
	first.Store(true) // nobody is slow yet
	ended := make(chan error, 1)
	h := func(method string, ss grpc.ServerStream) error {
		if !first.CompareAndSwap(false, true) {
			return echo(method, ss)
		}
		<-ss.Context().Done()
		ended <- ss.Context().Err()
		return ss.Context().Err()
	}
	a, b := newFake(t, h), newFake(t, h)
	g := described1(t, a, instances(20*time.Millisecond, a, b))
	keelsontest.Eventually(t, "both instances to be connected", func() bool { // a write is never hedged
		_, err := g.call(soon(t), unaryMethod, "text")
		return err == nil && a.calls.Load() > 0 && b.calls.Load() > 0
	})
	a.calls.Store(0)
	b.calls.Store(0)
	first.Store(false)
	if got, err := g.call(soon(t), readMethod, "text"); err != nil || got != "TEXT" {
		t.Fatalf("answered %q, %v", got, err)
	}
	if a.calls.Load() != 1 || b.calls.Load() != 1 {
		t.Errorf("the instances were asked %d and %d times; want each once", a.calls.Load(), b.calls.Load())
	}
	if err := <-ended; err == nil {
		t.Error("the slow attempt goes on")
	}
}

// TestAnswersAreThoseToTheirOwnRequests would show memory that is given back too
// early or twice: other calls would write into it.
func TestAnswersAreThoseToTheirOwnRequests(t *testing.T) {
	var n atomic.Int64
	h := func(_ string, ss grpc.ServerStream) error {
		text, err := receive(ss)
		if err != nil {
			return err
		}
		switch n.Add(1) % 7 {
		case 1:
			return status.Error(codes.Unavailable, "try again")
		case 2, 3: // until the hedge is on its way too
			wait := time.NewTimer(2 * time.Millisecond)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ss.Context().Done():
			}
		}
		return send(ss, strings.ToUpper(text))
	}
	a, b := newFake(t, h), newFake(t, h)
	g := described1(t, a, instances(time.Millisecond, a, b))
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 100 {
				text := strings.Repeat(fmt.Sprintf("caller %d call %d ", caller, i), 1+i*37)
				ctx, cancel := context.WithCancel(soon(t))
				if i%5 == 0 { // some go away in the middle
					cut := time.AfterFunc(time.Duration(i)*20*time.Microsecond, cancel)
					defer cut.Stop()
				}
				got, err := g.call(ctx, readMethod, text)
				if want := strings.ToUpper(text); err == nil && got != want {
					t.Errorf("caller %d, call %d: the answer is to another request", caller, i)
				}
				if code := errCode(err); err != nil && code != codes.Unavailable && code != codes.Canceled {
					t.Errorf("caller %d, call %d: %v", caller, i, err)
				}
				cancel()
			}
		})
	}
	callers.Wait()
}
