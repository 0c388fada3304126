package balancer

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTargetsThatEndedLongAgoHaveNoMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	set := &settings{metrics: newMetrics(reg), open: make(map[string]int)}
	kept := newObserver(set, "kept")
	for k := range 1000 {
		o, other := newObserver(set, fmt.Sprint(k)), newObserver(set, fmt.Sprint(k))
		o.picks.Inc()
		o.close()
		other.picks.Inc()
		other.close()
	}
	if n := testutil.CollectAndCount(reg, "keelson_balancer_picks_total"); n != 101 {
		t.Errorf("%d targets have metrics; want the latest 100, and the one that is connected to", n)
	}
	newObserver(set, "999").picks.Inc()
	if n := testutil.ToFloat64(set.metrics.picks.WithLabelValues("999")); n != 3 {
		t.Errorf("a target that is connected to again counts %v", n)
	}
	kept.close()
}
