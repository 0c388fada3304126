package internal

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/target"
)

const (
	// seriesStep is the length of a step of a history, seriesSteps how many are
	// kept.
	seriesStep, seriesSteps = time.Second, 300
	// seriesWindow is over how many steps the rates of now are taken.
	seriesWindow = 5
)

// series is the traffic of a service or an instance over time: what it is now,
// and a history of fixed size. It is not safe for concurrent use.
type series struct {
	source *target.Traffic
	raw    target.TrafficCount // of source, as last read
	sum    target.TrafficCount // of all sources, one after the other

	marks    []mark // the ends of the last steps, the oldest first
	samples  [seriesSteps]sample
	from, to uint64 // steps of which there are samples; that of step n is at n modulo the length
	inFlight int
}

// mark is what the sum was at a moment. Marks between which nothing was called
// share it.
type mark struct {
	at  time.Time
	sum *target.TrafficCount
}

// sample is one step.
type sample struct {
	calls, errors float32 // per second
	p50, p99      float32 // in seconds; 0: none
	inFlight      int32
}

// newSeries begins before a step. What was counted before is in the totals and in
// no rate.
func newSeries(t *target.Traffic, now time.Time, step uint64) *series {
	s := &series{from: step, to: step}
	s.read(t)
	s.mark(now)
	return s
}

// read takes over what was counted since. Without a source, or when another one
// has taken its place (the instance was away, and its counter with it), the sum
// goes on from where it was.
func (s *series) read(t *target.Traffic) {
	if t == nil {
		return
	}
	if t != s.source {
		s.source, s.raw = t, target.TrafficCount{}
	}
	if t.Ended() == s.raw.Ended {
		return
	}
	var now target.TrafficCount
	t.Read(&now)
	s.sum.Ended += now.Ended - s.raw.Ended
	s.sum.Failed += now.Failed - s.raw.Failed
	since := now.Latency
	since.Sub(&s.raw.Latency)
	s.sum.Latency.Add(&since)
	s.raw = now
}

// mark remembers the sum, and forgets the oldest mark.
func (s *series) mark(now time.Time) {
	m := mark{at: now}
	if n := len(s.marks); n > 0 && s.marks[n-1].sum.Ended == s.sum.Ended {
		m.sum = s.marks[n-1].sum
	} else {
		sum := s.sum
		m.sum = &sum
	}
	if len(s.marks) == seriesWindow {
		s.marks = append(s.marks[:0], s.marks[1:]...)
	}
	s.marks = append(s.marks, m)
}

// rates are what came between a mark and now.
type rates struct {
	elapsed       time.Duration
	calls, errors float64 // per second
	ratio         float64
	p50, p99      time.Duration
}

func (s *series) since(m mark, now time.Time) rates {
	r := rates{elapsed: now.Sub(m.at)}
	calls, failed := s.sum.Ended-m.sum.Ended, s.sum.Failed-m.sum.Failed
	if calls == 0 || r.elapsed <= 0 {
		return r
	}
	r.calls, r.errors = float64(calls)/r.elapsed.Seconds(), float64(failed)/r.elapsed.Seconds()
	r.ratio = float64(failed) / float64(calls)
	latency := s.sum.Latency
	latency.Sub(&m.sum.Latency)
	r.p50, r.p99 = latency.Quantile(0.5), latency.Quantile(0.99)
	return r
}

// advance ends one step, or several when the clock has run ahead: then what was
// counted is spread evenly over them.
func (s *series) advance(now time.Time, steps uint64) {
	r := s.since(s.marks[len(s.marks)-1], now)
	next := sample{
		calls: float32(r.calls), errors: float32(r.errors), p50: float32(r.p50.Seconds()), p99: float32(r.p99.Seconds()),
		inFlight: int32(s.inFlight), //nolint:gosec // far below 2^31
	}
	to := s.to + steps
	for n := to - min(steps, seriesSteps); n < to; n++ {
		s.samples[n%seriesSteps] = next
	}
	s.to = to
	if to > seriesSteps {
		s.from = max(s.from, to-seriesSteps)
	}
	s.mark(now)
}

// traffic is what it is now.
func (s *series) traffic(now time.Time) *platformv1.Traffic {
	r := s.since(s.marks[0], now)
	t := &platformv1.Traffic{
		Window: durationpb.New(max(0, r.elapsed)), CallsPerSecond: r.calls, ErrorsPerSecond: r.errors, ErrorRatio: r.ratio,
		InFlight:   int32(s.inFlight),   //nolint:gosec // far below 2^31
		CallCount:  int64(s.sum.Ended),  //nolint:gosec // far below 2^63
		ErrorCount: int64(s.sum.Failed), //nolint:gosec // far below 2^63
	}
	if r.p50 > 0 {
		t.P50, t.P99 = durationpb.New(r.p50), durationpb.New(r.p99)
	}
	return t
}

// history is the newest samples from a step on, at most so many; nil when there
// are none. end is when the last step ended.
func (s *series) history(from uint64, most int, end time.Time) *platformv1.History {
	from = max(from, s.from)
	if s.to > uint64(most) { //nolint:gosec // it is not negative
		from = max(from, s.to-uint64(most)) //nolint:gosec // likewise
	}
	if from >= s.to {
		return nil
	}
	n := int(s.to - from) //nolint:gosec // at most seriesSteps
	h := &platformv1.History{
		EndTime: timestamppb.New(end), Step: durationpb.New(seriesStep),
		CallsPerSecond: make([]float32, 0, n), ErrorsPerSecond: make([]float32, 0, n),
		P50Seconds: make([]float32, 0, n), P99Seconds: make([]float32, 0, n), InFlight: make([]int32, 0, n),
	}
	for ; from < s.to; from++ {
		x := &s.samples[from%seriesSteps]
		h.CallsPerSecond, h.ErrorsPerSecond = append(h.CallsPerSecond, x.calls), append(h.ErrorsPerSecond, x.errors)
		h.P50Seconds, h.P99Seconds = append(h.P50Seconds, x.p50), append(h.P99Seconds, x.p99)
		h.InFlight = append(h.InFlight, x.inFlight)
	}
	return h
}
