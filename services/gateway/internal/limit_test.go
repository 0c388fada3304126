package internal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	redistest "github.com/keelson-dev/keelson/internal/testservers/redis"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// limits lets each client make so many calls, and none after them.
func limits(burst int, keys ...internal.KeyConfig) func(*setup) {
	return func(s *setup) {
		s.config.Limits.Rate, s.config.Limits.Burst, s.config.Limits.Keys = 1e-6, burst, keys
	}
}

func keyOf(name, key string, burst int) internal.KeyConfig {
	sum := sha256.Sum256([]byte(key))
	return internal.KeyConfig{Name: name, SHA256: hex.EncodeToString(sum[:]), Rate: 1e-6, Burst: burst}
}

func TestAClientThatCallsTooOftenIsToldSo(t *testing.T) {
	f := newFake(t, echo)
	g := described1(t, f, limits(3))
	var trailer metadata.MD
	for i, want := range []string{`"client";r=2;t=1000000`, `"client";r=1;t=2000000`, `"client";r=0;t=3000000`} {
		if _, err := g.call(soon(t), unaryMethod, "x", grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if got := trailer.Get(ratelimit.LimitKey); len(got) != 1 || got[0] != want && i == 0 {
			t.Errorf("call %d: %q; want %q", i, got, want)
		}
		if got := trailer.Get(ratelimit.PolicyKey); len(got) != 1 || got[0] != `"client";q=3;w=3000000` {
			t.Errorf("call %d: the policy is %q", i, got)
		}
	}
	for _, method := range []string{unaryMethod, watchMethod, bidiMethod} {
		s := g.stream(t, soon(t), method)
		e := wantError(t, s.end(), codes.ResourceExhausted, errs.ReasonRateLimited)
		if wait, ok := e.RetryAfter(); !ok || wait <= 0 || len(e.Quotas()) != 1 || e.Quotas()[0].GetSubject() != "address:bufconn" || e.Domain() != internal.Domain {
			t.Errorf("%s: wait %v, quotas %v, domain %s", method, wait, e.Quotas(), e.Domain())
		}
		trailer := s.Trailer()
		if len(trailer.Get(ratelimit.LimitKey)) != 1 || len(trailer.Get(ratelimit.PolicyKey)) != 1 || trailer.Get(ratelimit.PushbackKey)[0] != "-1" {
			t.Errorf("%s: the trailer is %v", method, trailer)
		}
	}
	if n := f.calls.Load(); n != 3 {
		t.Errorf("%d calls reached the backend; want 3", n)
	}
	if _, err := healthpb.NewHealthClient(g).Check(soon(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health is limited: %v", err)
	}
}

// TestAStreamTellsItsQuotaWithTheFirstMessage checks that it comes with a header and
// not at the end of a stream that may be long, that no header comes for it, and that
// it is said once.
func TestAStreamTellsItsQuotaWithTheFirstMessage(t *testing.T) {
	f := newFake(t, func(_ string, ss grpc.ServerStream) error {
		switch text, err := receive(ss); {
		case err != nil:
			return err
		case text == "header":
			if err := ss.SendHeader(metadata.Pairs("x-header", "early")); err != nil {
				return err
			}
		case text == "nothing":
			return nil
		case text == "fail":
			return status.Error(codes.Unavailable, "later")
		}
		return errors.Join(send(ss, "m"), send(ss, "m"))
	})
	g := described1(t, f, limits(100))
	for _, method := range []string{unaryMethod, watchMethod, sendMethod, bidiMethod} {
		for text, inHeader := range map[string]bool{"messages": true, "header": true, "nothing": false, "fail": false} {
			if method == unaryMethod {
				inHeader = false // it ends at once
			}
			s := g.stream(t, soon(t), method)
			s.send(t, text)
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			for more := error(nil); more == nil; {
				more = s.RecvMsg(&wrapperspb.StringValue{})
			}
			header, _ := s.Header()
			for _, key := range []string{ratelimit.LimitKey, ratelimit.PolicyKey} {
				if h, tr := len(header.Get(key)), len(s.Trailer().Get(key)); h+tr != 1 || (h == 1) != inHeader {
					t.Errorf("%s, %s: %d times in the header, %d in the trailer", method, text, h, tr)
				}
			}
			if text == "fail" && header != nil {
				t.Errorf("%s: a header came before an error: %v", method, header)
			}
		}
	}
}

func TestOnlyKeysThatAreConfiguredTellClientsApart(t *testing.T) {
	f := newFake(t, echo)
	g := described1(t, f, limits(2, keyOf("partner", "the key", 5)))
	admitted := func(key string, n int) (count int) {
		ctx := soon(t)
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
		}
		for range n {
			if _, err := g.call(ctx, unaryMethod, "x"); err == nil {
				count++
			}
		}
		return count
	}
	if n := admitted("the key", 7); n != 5 {
		t.Errorf("the key admitted %d calls; want 5", n)
	}
	if n := admitted("made up 1", 1) + admitted("made up 2", 1) + admitted("made up 3", 1) + admitted("", 1); n != 2 {
		t.Errorf("%d calls were admitted with keys that were made up; want 2, as by address", n)
	}
}

func TestClientsAreKnownByTheirHost(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7:1": "203.0.113.7", "[::ffff:203.0.113.7]:1": "203.0.113.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::1]:2": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", in)
		if err == nil {
			if got := internal.AddressOf(tcp); got != want {
				t.Errorf("%s is %q; want %q", in, got, want)
			}
		}
		if got := internal.AddressOf(textAddr(in)); got != want { // as net/http gives it
			t.Errorf("%s as text is %q; want %q", in, got, want)
		}
	}
	if got := internal.AddressOf(nil); got != "unknown" {
		t.Errorf("nobody is %q", got)
	}
}

type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

func TestGatewaysShareALimitInRedisAndFallBackToTheirShare(t *testing.T) {
	server := redistest.Start(t)
	f := newFake(t, echo)
	shared := func(s *setup) {
		s.config.Limits.Redis.Address, s.config.Limits.Redis.Instances, s.config.Limits.Redis.Timeout = server.Address, 2, 10*time.Second
	}
	a, b := described1(t, f, limits(6), shared), described1(t, f, limits(6), shared)
	admitted := func(n int) (count int) {
		for range n {
			for _, g := range []*gateway{a, b} {
				if _, err := g.call(soon(t), unaryMethod, "x"); err == nil {
					count++
				}
			}
		}
		return count
	}
	if n := admitted(6); n != 6 {
		t.Errorf("two gateways admitted %d calls; want 6", n)
	}
	server.Kill(t)
	if n := admitted(6); n != 6 {
		t.Errorf("two gateways admitted %d calls without Redis; want their shares, 3 each", n)
	}
	server.Restart(t)
	keelsontest.Eventually(t, "both gateways to count in Redis again", func() bool {
		_, errA := a.call(soon(t), unaryMethod, "x")
		_, errB := b.call(soon(t), unaryMethod, "x")
		return errA == nil || errB == nil // buckets of a Redis that lost its memory are full
	})
}
