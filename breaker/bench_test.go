package breaker_test

import (
	"context"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/call"
)

func BenchmarkACallThroughAClosedBreaker(b *testing.B) {
	c := newClient(b, breaker.Config{})
	get := c.breaker(get)
	r := &call.Call{Context: context.Background(), Method: c.table.Lookup("/shop.v1.Shop/Get"), Start: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		var p breaker.Pass
		if get.Begin(r, &p) == nil {
			p.End(nil)
		}
	}
}

func BenchmarkACallThatAnOpenBreakerRefuses(b *testing.B) {
	c := newClient(b, breaker.Config{OpenTime: time.Hour})
	c.calls(20, errDown)
	get := c.breaker(get)
	r := &call.Call{Context: context.Background(), Method: c.table.Lookup("/shop.v1.Shop/Get"), Start: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		var p breaker.Pass
		_ = get.Begin(r, &p)
	}
}
