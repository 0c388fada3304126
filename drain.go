package keelson

import (
	"context"
	"time"

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
	d := s.cfg.Drain
	return lifecycle.Config{
		DrainBudget:  d.Deregister + d.Propagation + d.Streams + d.Calls + 2*d.Stop,
		WorkerBudget: d.Stop,
		StopBudget:   d.Stop,
	}
}

// drainSteps is the ordered stop: no call that was accepted goes unanswered.
func (s *Service) drainSteps() []lifecycle.Step {
	d := s.cfg.Drain
	return []lifecycle.Step{
		{Name: "health says NOT_SERVING", Budget: d.Stop, Run: func(context.Context) error { s.health.Drain(); return nil }},
		{Name: "leave the registry", Budget: d.Deregister + drainPoll, BestEffort: true, Run: s.leaveRegistry},
		{Name: "serve on while clients learn it", Budget: d.Propagation + cutReserve, Run: s.propagate},
		{Name: "streams end", Budget: d.Streams + cutReserve, Run: s.endStreams},
		{Name: "calls finish", Budget: d.Calls, BestEffort: true, Run: s.finishCalls},
		{Name: "stop serving", Budget: d.Stop, BestEffort: true, Run: func(context.Context) error { s.stopGRPC(); return nil }},
	}
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
	s.log.Warn("streams did not end by themselves", "streams", s.streams.Load())
	s.endCut(errCut)
	return poll(ctx, 2*cutReserve, none)
}

// finishCalls lets calls in flight finish. Clients see GOAWAY and go elsewhere.
func (s *Service) finishCalls(ctx context.Context) error {
	done := make(chan struct{})
	s.handlers.Go(func() { defer close(done); s.live.grpc.GracefulStop() })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err() // the next step stops the server, which ends GracefulStop
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
