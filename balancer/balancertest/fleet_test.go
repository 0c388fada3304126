package balancertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInstancesDoAsTheyAreTold(t *testing.T) {
	for name, tc := range map[string]struct {
		do     func(*balancertest.Instance)
		failed bool
	}{
		"answer": {func(*balancertest.Instance) {}, false},
		"slow":   {func(i *balancertest.Instance) { i.Behave(balancertest.Behaviour{Latency: 100 * time.Millisecond}) }, false},
		"fail":   {func(i *balancertest.Instance) { i.Behave(balancertest.Behaviour{FailureRate: 1}) }, true},
		"stuck":  {func(i *balancertest.Instance) { i.Behave(balancertest.Behaviour{Stuck: true}) }, true},
		"hang":   {func(i *balancertest.Instance) { i.Hang() }, true},
		"killed": {func(i *balancertest.Instance) { i.Kill() }, true},
		"hang and resume": {func(i *balancertest.Instance) {
			i.Hang()
			i.Hang()
			i.Resume()
			i.Resume()
		}, false},
		"killed and started": {func(i *balancertest.Instance) {
			i.Kill()
			i.Start()
			i.Start()
			time.Sleep(5 * time.Second)
		}, false},
		"not serving from its start": {func(i *balancertest.Instance) {
			i.Kill()
			i.SetServing(false)
			i.Start()
			time.Sleep(5 * time.Second)
		}, true},
		"the only one, and serving no longer": {func(i *balancertest.Instance) { i.SetServing(false); time.Sleep(time.Second) }, false},
		"serving again": {func(i *balancertest.Instance) {
			i.SetServing(false)
			i.SetServing(true)
			time.Sleep(time.Second)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := balancertest.New(t, 1)
				defer f.Close()
				conn := f.Dial(balancer.Config{})
				tc.do(f.Instance(0))
				out := balancertest.Load{Rate: 10, Duration: time.Second}.Run(t.Context(), conn)
				if out.Calls != 10 || (out.Failed > 0) != tc.failed {
					t.Errorf("%+v", out)
				}
			})
		})
	}
}

func Example() {
	test := func(t *testing.T) {
		fleet := balancertest.New(t, 3)
		conn := fleet.Dial(balancer.Config{})
		fleet.Instance(0).Hang()
		shares := fleet.Shares(func() {
			balancertest.Load{Rate: 100, Duration: 10 * time.Second}.Run(t.Context(), conn)
		})
		t.Logf("%.2f of the calls went to an instance that hangs", shares[0])
		fleet.Close()
	}
	_ = func(t *testing.T) { synctest.Test(t, test) }
	// Output:
}
