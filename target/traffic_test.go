package target_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/target"
)

func counted(t *target.Traffic) target.TrafficCount {
	var c target.TrafficCount
	t.Read(&c)
	return c
}

func TestQuantilesAreWithinFivePerCentOfTheSortedSample(t *testing.T) {
	draw := map[string]func(r *rand.Rand) time.Duration{
		"even":        func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(10 * time.Second))) },
		"log-normal":  func(r *rand.Rand) time.Duration { return time.Duration(math.Exp(r.NormFloat64()*2) * 1e6) },
		"exponential": func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 3e6) },
		"two modes":   func(r *rand.Rand) time.Duration { return time.Duration(1+99*r.IntN(2)) * time.Millisecond },
		"one value":   func(*rand.Rand) time.Duration { return 4 * time.Millisecond },
	}
	for name, next := range draw {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{1, 2, 3, 10, 99, 100, 101, 5000} {
				var traffic target.Traffic
				sample := make([]time.Duration, n)
				for i := range sample {
					sample[i] = max(next(r), time.Microsecond*2)
					traffic.End(false, sample[i])
				}
				slices.Sort(sample)
				c := counted(&traffic)
				for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
					want := sample[max(1, int(math.Ceil(q*float64(n))))-1]
					if got := c.Latency.Quantile(q); math.Abs(float64(got-want)) > 0.05*float64(want) {
						t.Errorf("the quantile %v of %d is %s, of the sorted sample %s", q, n, got, want)
					}
				}
			}
		})
	}
}

func TestLatenciesBeyondTheBucketsAreInTheOutermost(t *testing.T) {
	for name, tc := range map[string]struct{ took, low, high time.Duration }{
		"nothing":       {0, time.Microsecond, 1100},
		"nanoseconds":   {3, time.Microsecond, 1100},
		"the first":     {1024, 1024, 1100},
		"the last":      {1<<37 - 1, 130 * time.Second, 138 * time.Second},
		"an hour":       {time.Hour, 130 * time.Second, 138 * time.Second},
		"all that fits": {math.MaxInt64, 130 * time.Second, 138 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var traffic target.Traffic
			traffic.End(false, tc.took)
			c := counted(&traffic)
			if got := c.Latency.Quantile(1); got < tc.low || got > tc.high {
				t.Errorf("%s counts as %s", tc.took, got)
			}
		})
	}
}

func TestTheDifferenceOfTwoCountsIsWhatCameBetween(t *testing.T) {
	var traffic target.Traffic
	for range 100 {
		traffic.End(false, time.Millisecond)
	}
	before := counted(&traffic)
	for range 10 {
		traffic.End(true, time.Second)
	}
	after := counted(&traffic)
	diff := after.Latency
	diff.Sub(&before.Latency)
	if got := diff.Quantile(0.01); diff.Count() != 10 || got < 950*time.Millisecond {
		t.Errorf("%d latencies from %s", diff.Count(), got)
	}
	diff.Add(&before.Latency)
	if diff != after.Latency {
		t.Error("what was taken away and added again is not the same")
	}
	if got := (&target.Latency{}).Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %s", got)
	}
	// A bucket that has begun anew after 2^32.
	var wrapped, old target.Latency
	old[7], wrapped[7] = math.MaxUint32, 4
	wrapped.Sub(&old)
	if wrapped.Count() != 5 {
		t.Errorf("%d after a bucket began anew, want 5", wrapped.Count())
	}
}

func TestTrafficCountsCallsErrorsAndWhatIsInFlight(t *testing.T) {
	var traffic target.Traffic
	if !traffic.IsZero() || !(*target.Traffic)(nil).IsZero() {
		t.Error("traffic before the first call")
	}
	for range 3 {
		traffic.Begin()
	}
	traffic.End(false, time.Millisecond)
	traffic.End(true, -1)
	c := counted(&traffic)
	if c.Begun != 3 || c.Ended != 2 || c.Failed != 1 || c.Latency.Count() != 1 || traffic.InFlight() != 1 || traffic.Ended() != 2 || traffic.IsZero() {
		t.Errorf("counted %d %d %d %d, %d in flight", c.Begun, c.Ended, c.Failed, c.Latency.Count(), traffic.InFlight())
	}
	b, err := json.Marshal(&traffic)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"calls":2,"errors":1,"p50_ns":999155,"p99_ns":999155}`, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestTrafficIsSeenInTheSnapshotOfItsInstance(t *testing.T) {
	tg := target.NewRegistry().Acquire("x")
	list := []target.Entry{{Instance: full()}}
	tg.Apply(list)
	live := tg.Live(full().Address)
	live.Traffic().End(false, time.Millisecond)
	if got := tg.Snapshot().Instances[0].Traffic; got != live.Traffic() || got.Ended() != 1 {
		t.Error("the snapshot holds another traffic")
	}
	tg.Apply(list)
	if tg.Snapshot().Instances[0].Traffic != live.Traffic() {
		t.Error("a new list with the same instance has begun anew")
	}
	tg.Apply(nil)
	tg.Apply(list)
	if tg.Snapshot().Instances[0].Traffic.Ended() != 0 {
		t.Error("an instance that was forgotten has kept its traffic")
	}
}

func TestNoCountOverstatesAnother(t *testing.T) {
	var traffic target.Traffic
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					traffic.Begin()
					traffic.End(true, time.Millisecond)
				}
			}
		})
	}
	for range 500 {
		if c := counted(&traffic); c.Failed > c.Ended || c.Ended > c.Begun || c.Latency.Count() < c.Ended {
			t.Fatalf("begun %d, ended %d, failed %d, latencies %d", c.Begun, c.Ended, c.Failed, c.Latency.Count())
		}
		if traffic.InFlight() < 0 {
			t.Fatal("less than nothing is in flight")
		}
	}
	close(stop)
	writers.Wait()
}

func BenchmarkTrafficEnd(b *testing.B) {
	var traffic target.Traffic
	b.ReportAllocs()
	for b.Loop() {
		traffic.End(false, time.Millisecond)
	}
}
