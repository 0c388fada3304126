package discovery_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "google.golang.org/grpc" // registers the resolvers that are wrapped
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

// inner is a gRPC resolver whose test says what it finds.
type inner struct {
	mu       sync.Mutex // where no wait of the bubble separates test and resolver
	cc       resolver.ClientConn
	built    int
	closed   int
	resolved int
	fail     error
}

func (b *inner) Scheme() string { return "dns" }

func (b *inner) Build(_ resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.built++
	b.cc = cc
	if !opts.DisableServiceConfig {
		return nil, errors.New("service configs are asked for")
	}
	return b, b.fail
}

func (b *inner) ResolveNow(resolver.ResolveNowOptions) { b.resolved++ }
func (b *inner) Close()                                { b.closed++ }

func (b *inner) found(addrs ...string) {
	var s resolver.State
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: a, ServerName: "sni"})
	}
	if err := b.cc.UpdateState(s); err != nil {
		panic(err)
	}
	synctest.Wait()
}

const named = "dns:///user.example:80"

func TestWrappedResolverKeepsTheLastGoodList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, targets := &inner{}, target.NewRegistry()
		conn, res := build(t, discovery.Wrap(in, discovery.Config{}, discovery.WithTargets(targets)), named)
		synctest.Wait()
		decision := func(want string) {
			t.Helper()
			if got := targets.Lookup(named).Decision().Kind; got != want {
				t.Errorf("decision %q, want %q", got, want)
			}
		}
		in.found()
		decision("error")
		if got := conn.lastError(); !strings.Contains(got, "no address found") || !strings.Contains(got, named) {
			t.Errorf("error: %q", got)
		}
		<-time.After(discovery.DefaultMaxBackoff)
		synctest.Wait()
		in.found("10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80")
		if got := conn.ids(); got != "10.0.0.1:8010.0.0.2:80" {
			t.Errorf("in effect: %s", got)
		}
		if got := conn.states[0].Endpoints[0].Addresses[0].ServerName; got != "sni" {
			t.Errorf("server name %q was not kept", got)
		}
		in.found()
		decision("kept")
		<-time.After(discovery.DefaultMaxBackoff)
		synctest.Wait()
		in.cc.ReportError(errors.New("SERVFAIL"))
		synctest.Wait()
		decision("kept")
		<-time.After(time.Hour)
		synctest.Wait()
		if n := conn.updates(); n != 1 {
			t.Errorf("gRPC was told %d lists, want the good one only", n)
		}
		in.found("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		decision("accepted")
		res.Close()
		if in.built != in.closed {
			t.Errorf("%d resolvers built and %d closed", in.built, in.closed)
		}
	})
}

func TestWrappedResolverIsAskedAgainToSeeAdditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inner{}
		_, res := build(t, discovery.Wrap(in, discovery.Config{Refresh: time.Minute}), named)
		synctest.Wait()
		in.found("10.0.0.1:80")
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if in.resolved < 9 || in.resolved > 11 {
			t.Errorf("asked %d times in ten minutes, want once a minute", in.resolved)
		}
		before := in.resolved
		res.ResolveNow(resolver.ResolveNowOptions{})
		synctest.Wait()
		if in.resolved != before+1 {
			t.Error("gRPC's own wish to resolve was not passed on")
		}
		res.Close()
	})
}

func TestWrappedResolverThatCannotBeBuiltIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &inner{fail: errors.New("bad target")}
		conn, res := build(t, discovery.Wrap(in, discovery.Config{Refresh: -1}), named)
		synctest.Wait()
		if !strings.Contains(conn.lastError(), "bad target") {
			t.Errorf("error: %q", conn.lastError())
		}
		in.mu.Lock()
		in.fail = nil
		in.mu.Unlock()
		<-time.After(discovery.DefaultMaxBackoff)
		synctest.Wait()
		in.found("10.0.0.1:80")
		if conn.ids() == "" {
			t.Error("nothing in effect")
		}
		res.Close()
	})
}

func TestPlainAddressCarriesAttributes(t *testing.T) {
	for _, scheme := range []string{"passthrough", "dns"} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, res := build(t, discovery.Wrap(resolver.Get(scheme), discovery.Config{}), scheme+":///127.0.0.1:8080")
				synctest.Wait()
				if got := conn.ids(); got != "127.0.0.1:8080" {
					t.Errorf("in effect: %q", got)
				}
				if target.FromState(conn.states[0]) == nil {
					t.Error("no live state attached")
				}
				res.Close()
			})
		})
	}
}

// overriding is an inner resolver that asks for an authority of its own.
type overriding struct{ inner }

func (*overriding) OverrideAuthority(resolver.Target) string { return "localhost" }

func TestWrappedResolverKeepsItsAuthority(t *testing.T) {
	if _, ok := discovery.Wrap(&inner{}, discovery.Config{}).(resolver.AuthorityOverrider); ok {
		t.Error("an authority is set where the inner resolver sets none")
	}
	o, ok := discovery.Wrap(&overriding{}, discovery.Config{}).(resolver.AuthorityOverrider)
	if !ok || o.OverrideAuthority(resolver.Target{}) != "localhost" {
		t.Error("the inner resolver's authority is lost")
	}
}
