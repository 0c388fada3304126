package stat_test

import (
	"math"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/stat"
)

func TestClopperPearsonAgreesWithTables(t *testing.T) {
	tests := []struct {
		name         string
		k, n         int
		lower, upper float64
	}{
		{"nothing known", 0, 0, 0, 1},
		{"all of few", 10, 10, 0.691503, 1},
		{"none of few", 0, 10, 0, 0.308497},
		{"half of few", 5, 10, 0.187086, 0.812914},
		{"one of twenty", 1, 20, 0.001265, 0.248733},
		{"all of a million", 1_000_000, 1_000_000, 1 - 3.688873e-6, 1},
		{"nearly all", 99_990, 100_000, 0.999816, 0.999952},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			lower, upper := stat.ClopperPearson(tc.k, tc.n, 0.95)
			if math.Abs(lower-tc.lower) > 1e-6 || math.Abs(upper-tc.upper) > 1e-6 {
				t.Errorf("got [%.7f, %.7f], want [%.7f, %.7f]", lower, upper, tc.lower, tc.upper)
			}
		})
	}
}

func TestPercentilesAreThoseOfTheNearestRank(t *testing.T) {
	var d []time.Duration
	for i := range 1000 {
		d = append(d, time.Duration(1000-i)*time.Millisecond)
	}
	got := stat.Percentiles(d)
	want := stat.Latencies{Count: 1000, P50: 500 * time.Millisecond, P90: 900 * time.Millisecond, P99: 990 * time.Millisecond, P999: 999 * time.Millisecond, Max: time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if stat.Percentiles(nil) != (stat.Latencies{}) {
		t.Error("no durations have percentiles")
	}
	if one := stat.Percentiles([]time.Duration{7}); one.P50 != 7 || one.P999 != 7 {
		t.Errorf("one duration: %+v", one)
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		name string
		give []float64
		want float64
	}{{"none", nil, 0}, {"one", []float64{3}, 3}, {"odd", []float64{9, 1, 5}, 5}, {"even", []float64{4, 1, 2, 9}, 3}} {
		t.Run(tc.name, func(t *testing.T) {
			if got := stat.Median(tc.give); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
