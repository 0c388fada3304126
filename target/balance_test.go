package target_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/target"
)

func TestSnapshotShowsTheWorstThatConnectionsMakeOfAnInstance(t *testing.T) {
	well := target.Balance{Factor: 1, InFlight: 2, Latency: time.Millisecond}
	thin := target.Balance{Factor: 0.1, InFlight: 1, Why: "latency"}
	half := target.Balance{Breaker: target.BreakerHalfOpen, Factor: 0.5, InFlight: 1}
	open := target.Balance{Breaker: target.BreakerOpen, Ejected: "hang", EjectedAt: time.Unix(0, 0).UTC()}
	with := func(b target.Balance, calls int) *target.Balance { b.InFlight = calls; return &b }
	for name, tc := range map[string]struct {
		seen []target.Balance
		want *target.Balance
	}{
		"nobody":             {nil, nil},
		"one":                {[]target.Balance{well}, with(well, 2)},
		"one is thinner":     {[]target.Balance{well, thin, well}, with(thin, 5)},
		"one is half-open":   {[]target.Balance{thin, half}, with(half, 2)},
		"one of them is out": {[]target.Balance{half, open, well}, with(open, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			tg := target.NewRegistry().Acquire("x")
			tg.Apply([]target.Entry{{Instance: full()}})
			var stops []func()
			for _, b := range tc.seen {
				stops = append(stops, tg.Live(full().Address).Observe(func() target.Balance { return b }))
			}
			if diff := cmp.Diff(tc.want, tg.Snapshot().Instances[0].Balance); diff != "" {
				t.Error(diff)
			}
			for _, stop := range stops {
				stop()
				stop()
			}
			if b := tg.Snapshot().Instances[0].Balance; b != nil {
				t.Errorf("shown after all have stopped: %+v", b)
			}
		})
	}
}

func TestBalanceAsJSON(t *testing.T) {
	b, err := json.Marshal(target.Balance{Breaker: target.BreakerHalfOpen, Factor: 0.1, Why: "returning", Latency: time.Millisecond, Ejected: "hang"})
	if want := `{"breaker":"half-open","factor":0.1,"why":"returning","latency_ns":1000000,"in_flight":0,"ejected":"hang"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v", b, err)
	}
	for s, want := range map[target.BreakerState]string{target.BreakerClosed: "closed", target.BreakerOpen: "open", target.BreakerHalfOpen: "half-open"} {
		if s.String() != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
}

func TestWhatHangsOnARegistryIsFoundAtItsTargets(t *testing.T) {
	type key struct{}
	tg := target.NewRegistry(target.WithValue(key{}, "v")).Acquire("x")
	if got := tg.Value(key{}); got != "v" {
		t.Errorf("got %v", got)
	}
	if got := target.NewRegistry().Acquire("x").Value(key{}); got != nil {
		t.Errorf("another registry has %v", got)
	}
}
