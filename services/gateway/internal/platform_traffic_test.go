package internal_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/services/gateway/internal"
	"github.com/keelson-dev/keelson/target"
)

// load makes calls at a pace for a while: ten per second, each tenth an error.
func (w *world) load(t *target.Traffic, d time.Duration, latency time.Duration) {
	for n := range int(d / (100 * time.Millisecond)) {
		<-time.After(50 * time.Millisecond)
		t.Begin()
		t.End(n%10 == 5, latency)
		<-time.After(50 * time.Millisecond)
	}
}

func near(got, want float64) bool { return math.Abs(got-want) <= 0.05*want+1e-9 }

func TestPlatformTellsRatesAndLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1")
		pass(10 * time.Second)
		if traffic := w.service(t, "user", false).GetTraffic(); traffic.GetCallsPerSecond() != 0 || traffic.GetP50() != nil || traffic.GetErrorRatio() != 0 {
			t.Errorf("before the first call: %v", traffic)
		}
		w.load(w.traffic, 10*time.Second, 20*time.Millisecond)
		w.load(w.live("user-1").Traffic(), 10*time.Second, -1)
		w.traffic.Begin()
		w.load(w.traffic, 10*time.Second, 40*time.Millisecond)
		s := w.service(t, "user", false)
		got := s.GetTraffic()
		if !near(got.GetCallsPerSecond(), 10) || !near(got.GetErrorsPerSecond(), 1) || !near(got.GetErrorRatio(), 0.1) || !near(got.GetP50().AsDuration().Seconds(), 0.04) || !near(got.GetP99().AsDuration().Seconds(), 0.04) {
			t.Errorf("the service has %v", got)
		}
		if d := got.GetWindow().AsDuration(); d < 4*time.Second || d > 6*time.Second || got.GetInFlight() != 1 || got.GetCallCount() != 200 || got.GetErrorCount() != 20 {
			t.Errorf("the service has %v", got)
		}
		if i := s.GetInstances()[0].GetTraffic(); i.GetCallsPerSecond() != 0 || i.GetCallCount() != 100 || i.GetErrorCount() != 10 || i.GetP50() != nil {
			t.Errorf("the instance, which was called before, has %v", i)
		}
	})
}

// of tells whether a list has so many entries, all near a value.
func of(list []float32, n int, want float64) bool {
	return len(list) == n && !slices.ContainsFunc(list, func(x float32) bool { return !near(float64(x), want) })
}

func TestPlatformHistoryIsFiveMinutesInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		began := time.Now()
		w.register("user-1")
		pass(10 * time.Second)
		w.load(w.traffic, 20*time.Second, 20*time.Millisecond)
		synctest.Wait()
		h := w.service(t, "user", true).GetHistory()
		if !of(h.GetCallsPerSecond()[:10], 10, 0) || !of(h.GetCallsPerSecond()[10:], 20, 10) || !of(h.GetErrorsPerSecond()[10:], 20, 1) ||
			!of(h.GetP50Seconds()[:10], 10, 0) || !of(h.GetP99Seconds()[10:], 20, 0.02) || len(h.GetInFlight()) != 30 {
			t.Errorf("after half a minute it is %v", h)
		}
		if !h.GetEndTime().AsTime().Equal(began.Add(30*time.Second)) || h.GetStep().AsDuration() != time.Second {
			t.Errorf("it ends at %s, which began at %s", h.GetEndTime().AsTime(), began)
		}
		pass(290 * time.Second)
		s := w.service(t, "user", true)
		if h := s.GetHistory(); !of(h.GetCallsPerSecond()[:10], 10, 10) || !of(h.GetCallsPerSecond()[10:], 290, 0) {
			t.Errorf("after five minutes it is %v", h.GetCallsPerSecond())
		}
		if n := len(s.GetInstances()[0].GetHistory().GetCallsPerSecond()); n != 300 {
			t.Errorf("that of the instance has %d steps", n)
		}
		if plain := w.service(t, "user", false); plain.GetHistory() != nil || plain.GetInstances()[0].GetHistory() != nil {
			t.Error("there is a history that nobody asked for")
		}
		list, err := w.ListServices(t.Context(), &platformv1.ListServicesRequest{History: true})
		if err != nil || len(list.GetServices()[1].GetHistory().GetInFlight()) != 300 {
			t.Errorf("the list has no history: %v", err)
		}
	})
}

func TestPlatformHistoryStaysEvenWhenTheClockRunsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1")
		pass(5 * time.Second)
		w.traffic.End(false, time.Millisecond)
		w.hold <- struct{}{} // nobody can look
		pass(10 * time.Second)
		<-w.hold
		pass(time.Second)
		calls := w.service(t, "user", true).GetHistory().GetCallsPerSecond()
		if len(calls) != 16 {
			t.Errorf("%d steps in 16 seconds: %v", len(calls), calls)
		}
		sum := float32(0)
		for _, c := range calls {
			sum += c
		}
		if !near(float64(sum), 1) {
			t.Errorf("%v calls in %v", sum, calls)
		}
	})
}

func TestPlatformHistoriesOfManyInstancesFitAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		for n := range 2100 {
			w.list = append(w.list, target.Entry{Instance: instanceOf("user-" + string(rune('a'+n%26)) + time.Duration(n).String())})
		}
		w.user.Apply(w.list)
		w.hold <- struct{}{} // one look ends all steps
		pass(100 * time.Second)
		<-w.hold
		pass(time.Second)
		s := w.service(t, "user", true)
		traffic, points := 0, 0
		for _, i := range s.GetInstances() {
			if i.GetTraffic() != nil {
				traffic++
			}
			points += len(i.GetHistory().GetCallsPerSecond())
		}
		if len(s.GetInstances()) != 2100 || traffic != 2048 || points == 0 || points > 175_000 {
			t.Errorf("%d instances, the traffic of %d, with %d points", len(s.GetInstances()), traffic, points)
		}
		w.user.Apply(nil)
		pass(time.Second)
		w.user.Apply(w.list[:2048-64])
		pass(time.Second)
		for _, i := range w.service(t, "user", false).GetInstances() {
			gone := i.GetStatus() == platformv1.Instance_STATUS_GONE // it may never have had any
			if i.GetTraffic() == nil && !gone {
				t.Fatalf("the traffic of %s is not kept, though there is room again", i.GetId())
			}
		}
	})
}
