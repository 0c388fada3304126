package internal

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/errs"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// What a watch may ask for as interval, and gets when it asks for nothing.
const minInterval, usualInterval, maxInterval = lookOften, time.Second, time.Minute

const (
	// heartbeatAfter is how long a watch is silent before it gets a heartbeat.
	heartbeatAfter = 5 * time.Second
	// takeLimit is how long a client may take for a message, takeDraining once the
	// gateway drains.
	takeLimit, takeDraining = 15 * time.Second, time.Second
)

// servicesWatch is one WatchServices stream. There is no queue: it sends one
// message after the other, each made of what is newest when its turn comes. Only
// while there is something to send, a second goroutine sends, so that a client
// that does not read cannot keep the stream from being ended.
type servicesWatch struct {
	*Platform
	stream   grpc.ServerStreamingServer[platformv1.WatchServicesResponse]
	ctx      context.Context
	draining <-chan struct{}
	interval time.Duration
	history  bool
	expires  time.Time
	sent     map[string]*sentService // by name
	last     time.Time               // of the last message
}

// sentService is what a watcher has of a service.
type sentService struct {
	of       *seenService
	revision uint64
	at       time.Time
	step     uint64 // with which its history goes on
}

// WatchServices streams services (see the contract in platform.proto).
func (p *Platform) WatchServices(req *platformv1.WatchServicesRequest, stream grpc.ServerStreamingServer[platformv1.WatchServicesResponse]) error {
	interval := usualInterval
	if req.GetInterval() != nil {
		if interval = req.GetInterval().AsDuration(); interval <= 0 || req.GetInterval().CheckValid() != nil {
			return platformInvalid("interval", "must be above zero; leave it out for %s", usualInterval)
		}
	}
	ctx := stream.Context()
	age := p.cfg.MaxAge - rand.N(p.cfg.MaxAge/10+1) //nolint:gosec // no secret
	defer p.join()()
	w := &servicesWatch{
		Platform: p, stream: stream, ctx: ctx, draining: p.from.Draining(ctx), interval: min(max(interval, minInterval), maxInterval),
		history: req.GetHistory(), expires: time.Now().Add(age), sent: make(map[string]*sentService),
	}
	if err := w.begin(p.current()); err != nil {
		return err
	}
	return w.follow()
}

// join counts a watcher in, until leave is called.
func (p *Platform) join() (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watchers++; p.watchers == 1 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watchers--
	}
}

// begin sends all services as they are.
func (w *servicesWatch) begin(v *platformView) error {
	for i, s := range v.services {
		m := w.tell(platformv1.WatchServicesResponse_TYPE_SNAPSHOT, s, v.at)
		m.SnapshotEnd = i == len(v.services)-1
		if err := w.ended(); err != nil {
			return err
		}
		if err := w.send(m); err != nil {
			return err
		}
	}
	return nil
}

// follow sends what becomes of them until the stream ends.
func (w *servicesWatch) follow() error {
	age := time.NewTimer(time.Until(w.expires))
	defer age.Stop()
	for {
		if err := w.ended(); err != nil {
			return err
		}
		w.mu.RLock()
		v := w.view
		w.mu.RUnlock()
		if m := w.next(v); m != nil {
			if err := w.send(m); err != nil {
				return err
			}
			continue
		}
		select {
		case <-v.changed:
		case <-w.draining:
		case <-w.ctx.Done():
		case <-age.C:
		}
	}
}

// ended is why the stream must end now; nil when it need not.
func (w *servicesWatch) ended() error {
	select {
	case <-w.draining:
		return errs.Draining("")
	case <-w.ctx.Done():
		return w.ctx.Err()
	default:
	}
	if !time.Now().Before(w.expires) {
		return watchExpired()
	}
	return nil
}

// next is the message that is due, nil for none: a service that is gone, then the
// one of those that are due which was sent longest ago.
func (w *servicesWatch) next(v *platformView) *platformv1.WatchServicesResponse {
	for name := range w.sent {
		if v.find(name) == nil {
			delete(w.sent, name)
			return &platformv1.WatchServicesResponse{Type: platformv1.WatchServicesResponse_TYPE_REMOVE, Service: &platformv1.Service{Name: name}}
		}
	}
	var due *serviceView
	var oldest time.Time
	for _, s := range v.services {
		had := w.sent[s.GetName()]
		switch {
		case had == nil:
			return w.tell(platformv1.WatchServicesResponse_TYPE_UPDATE, s, v.at)
		case had.of == s.of && had.revision == s.revision && v.at.Sub(had.at) < w.interval-lookOften/2:
			continue
		case due == nil || had.at.Before(oldest):
			due, oldest = s, had.at
		}
	}
	switch {
	case due != nil:
		return w.tell(platformv1.WatchServicesResponse_TYPE_UPDATE, due, v.at)
	case v.at.Sub(w.last) >= heartbeatAfter:
		return &platformv1.WatchServicesResponse{Type: platformv1.WatchServicesResponse_TYPE_HEARTBEAT}
	}
	return nil
}

// tell makes the message about a service, and notes that the watcher has it.
func (w *servicesWatch) tell(kind platformv1.WatchServicesResponse_Type, s *serviceView, at time.Time) *platformv1.WatchServicesResponse {
	had := w.sent[s.GetName()]
	if had == nil || had.of != s.of {
		had = &sentService{of: s.of}
		w.sent[s.GetName()] = had
	}
	m := s.Service
	if w.history {
		m, had.step = s.withHistory(had.step)
	}
	had.revision, had.at = s.revision, at
	return &platformv1.WatchServicesResponse{Type: kind, Service: m}
}

// send sends a message in a goroutine of its own, and returns when it is sent or
// when there is a reason not to wait for that. Then the goroutine is left in
// Send, which gRPC ends as soon as the handler has returned.
func (w *servicesWatch) send(m *platformv1.WatchServicesResponse) error {
	w.last = time.Now()
	m.SendTime = timestamppb.New(w.last)
	sent := make(chan error, 1)
	go func() { sent <- w.stream.Send(m) }()
	limit := time.NewTimer(takeLimit)
	defer limit.Stop()
	draining := w.draining
	for {
		select {
		case err := <-sent:
			return err
		case <-draining:
			draining = nil
			limit.Reset(takeDraining)
		case <-limit.C:
			if draining == nil && w.draining != nil {
				return errs.Draining("")
			}
			return watchSlow(takeLimit)
		}
	}
}
