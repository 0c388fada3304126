package keelson

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/keelson-dev/keelson/lifecycle"
)

const (
	// cutReserve is the end of the streams' time in which those that did not
	// end by themselves are ended.
	cutReserve = 500 * time.Millisecond
	// drainPoll is how often the drain looks whether it may go on.
	drainPoll = 10 * time.Millisecond
)

func (s *Service) budgets() lifecycle.Config {
	c := lifecycle.Config{WorkerBudget: s.cfg.Drain.Stop, StopBudget: s.cfg.Drain.Stop}
	for _, step := range s.drainSteps() {
		c.DrainBudget += step.Budget
	}
	return c
}

// drainSteps is the ordered stop: no call that was accepted goes unanswered. A
// call that was accepted just before the GOAWAY has its whole deadline, which is
// drain.calls at most, and then the reserve for its answer.
func (s *Service) drainSteps() []lifecycle.Step {
	d := s.cfg.Drain
	steps := []lifecycle.Step{
		{Name: "health says NOT_SERVING", Budget: d.Stop, Run: func(context.Context) error { s.health.Drain(); s.leaveFronts(); return nil }},
		{Name: "leave the registry", Budget: d.Deregister + drainPoll, BestEffort: true, Run: s.leaveRegistry},
		{Name: "serve on while clients learn it", Budget: d.Propagation + cutReserve, Run: s.propagate},
		{Name: "streams end", Budget: d.Streams + cutReserve, Run: s.endStreams},
	}
	if len(s.fronts) > 0 {
		steps = append(steps, lifecycle.Step{Name: "requests of fronts finish", Budget: d.Calls + cutReserve, BestEffort: true, Run: s.shutFronts})
	}
	return append(steps,
		lifecycle.Step{Name: "calls finish", Budget: d.Calls + cutReserve, BestEffort: true, Run: s.finishCalls},
		lifecycle.Step{Name: "stop serving", Budget: d.Stop, BestEffort: true, Run: func(context.Context) error { return s.stopGRPC() }},
	)
}

func (s *Service) leaveRegistry(ctx context.Context) error {
	s.live.deregister()
	select {
	case <-s.live.left:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// propagate waits until no call has begun for a while, or its time is up.
func (s *Service) propagate(ctx context.Context) error {
	begin := time.Now()
	return poll(ctx, s.cfg.Drain.Propagation, func() bool {
		last := time.Unix(0, s.lastCall.Load())
		if last.Before(begin) {
			last = begin
		}
		return time.Since(last) >= s.cfg.Drain.Quiet
	})
}

// endStreams asks streams to end, and near the end of its time ends them.
func (s *Service) endStreams(ctx context.Context) error {
	close(s.draining)
	s.health.EndWatches()
	none := func() bool { return s.streams.Load() == 0 }
	if err := poll(ctx, max(s.cfg.Drain.Streams-cutReserve, 0), none); err != nil || none() {
		return err
	}
	s.log.Warn("streams did not end by themselves", "streams", s.streams.Load(), "methods", s.openCalls())
	s.endCut(errCut)
	return poll(ctx, 2*cutReserve, none)
}

// finishCalls lets calls in flight finish. Clients see GOAWAY and go elsewhere.
func (s *Service) finishCalls(ctx context.Context) error {
	done := make(chan struct{})
	s.stopping.Go(func() { defer close(done); s.live.grpc.GracefulStop() })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		// The next step stops the server, which ends GracefulStop.
		return fmt.Errorf("calls are cut off that did not end within their deadline: %s", s.openCalls())
	}
}

// poll looks until something is so, at most for a time. Only the context's end
// is an error.
func poll(ctx context.Context, most time.Duration, so func() bool) error {
	limit := time.NewTimer(most)
	defer limit.Stop()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// openCalls names the methods that have calls in their handlers, and how many, by
// the gauges that count them anyway.
func (s *Service) openCalls() string {
	families, _ := s.tel.registry.Gather() // what fails is a metric of somebody else
	var open []string
	for _, f := range families {
		if n := f.GetName(); n != "grpc_server_in_flight_calls" && n != "grpc_server_open_streams" {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := m.GetGauge().GetValue(); n > 0 {
				open = append(open, fmt.Sprintf("/%s/%s (%g)", label(m, "grpc_service"), label(m, "grpc_method"), n))
			}
		}
	}
	return strings.Join(open, ", ")
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// explainEnd adds to the error of a service whose goroutines did not all end which
// calls are among them.
func (s *Service) explainEnd(err error) error {
	var left *lifecycle.LeftoverError
	if !errors.As(err, &left) {
		return err
	}
	if open := s.openCalls(); open != "" {
		return fmt.Errorf("%w; calls still in their handlers: %s", err, open)
	}
	return err
}
