package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/policy"
)

func TestWhatMayBeHedgedIs(t *testing.T) {
	const service = "/shop.v1.Shop/"
	for name, c := range map[string]struct {
		defaults  policy.Defaults
		overrides []policy.Override
		want      map[string]string
	}{
		"by default what has no side effects": {
			want: map[string]string{"Get": "95th percentile", "Buy": "none", "Burn": "none", "Watch": "none"},
		},
		"nothing where it is off": {
			defaults: policy.Defaults{NoHedge: true},
			want:     map[string]string{"Get": "none", "Buy": "none", "Burn": "none", "Watch": "none"},
		},
		"of a service only what may be": {
			defaults:  policy.Defaults{NoHedge: true},
			overrides: []policy.Override{{Method: service + "*", Hedge: policy.On, HedgeDelay: 20 * time.Millisecond}},
			want:      map[string]string{"Get": "20ms", "Buy": "none", "Burn": "none", "Watch": "none"},
		},
		"a later override wins": {
			overrides: []policy.Override{{Method: service + "*", HedgeDelay: time.Second}, {Method: service + "Get", HedgeDelay: -1}},
			want:      map[string]string{"Get": "95th percentile", "Buy": "none", "Burn": "none", "Watch": "none"},
		},
		"not what is turned off": {
			overrides: []policy.Override{{Method: service + "Get", Hedge: policy.Off}},
			want:      map[string]string{"Get": "none", "Buy": "none", "Burn": "none", "Watch": "none"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := policy.NewTable(shop(t))
			if err := table.Apply(c.defaults, c.overrides); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for method := range c.want {
				got[method] = table.Lookup(service + method).Effective().Value(policy.FieldHedgeDelay)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOverridesThatMakeNoSenseAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		override policy.Override
		want     string
	}{
		"a hedged write":   {policy.Override{Method: "/shop.v1.Shop/Buy", Hedge: policy.On}, "two instances must not execute"},
		"a hedged stream":  {policy.Override{Method: "/shop.v1.Shop/Watch", Hedge: policy.On}, "it is a stream"},
		"a strange hedge":  {policy.Override{Method: "/shop.v1.Shop/Get", Hedge: "yes"}, "valid are on and off"},
		"a strange switch": {policy.Override{Method: "/shop.v1.Shop/Get", Breaker: "true"}, "valid are on and off"},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.NewTable(shop(t)).Apply(policy.Defaults{}, []policy.Override{c.override})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestABreakerCanBeTurnedOff(t *testing.T) {
	table := policy.NewTable(shop(t))
	get, buy := table.Lookup("/shop.v1.Shop/Get"), table.Lookup("/shop.v1.Shop/Buy")
	if !get.Effective().Breaker || !buy.Effective().Breaker {
		t.Fatal("breakers are off by default")
	}
	if err := table.Apply(policy.Defaults{NoBreaker: true}, []policy.Override{{Method: get.FullName, Breaker: policy.On}}); err != nil {
		t.Fatal(err)
	}
	if e := get.Effective(); !e.Breaker || e.Value(policy.FieldBreaker) != "on" || e.Source(policy.FieldBreaker) != "code" {
		t.Errorf("Get: breaker %s from %s, want it on by the override", e.Value(policy.FieldBreaker), e.Source(policy.FieldBreaker))
	}
	if buy.Effective().Breaker {
		t.Error("Buy has a breaker although they are off")
	}
}
