package health

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
)

// server answers grpc.health.v1 from a Health. It keeps nothing of its own.
type server struct {
	healthpb.UnimplementedHealthServer
	h *Health
}

// Server gives the gRPC health service, for those who register it themselves.
// It implements the protocol of
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
func (h *Health) Server() healthpb.HealthServer { return &server{h: h} }

// statusOf says what a service's status is, and gives the channel that closes
// when it may have changed.
func (h *Health) statusOf(service string) (healthpb.HealthCheckResponse_ServingStatus, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.services[service]:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN, h.changed
	case h.ready:
		return healthpb.HealthCheckResponse_SERVING, h.changed
	}
	return healthpb.HealthCheckResponse_NOT_SERVING, h.changed
}

// Check answers with the status of one service, NOT_FOUND for an unknown one.
func (s *server) Check(_ context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	st, _ := s.h.statusOf(req.GetService())
	if st == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "health: this server has no service %q; List names those it has", req.GetService())
	}
	return &healthpb.HealthCheckResponse{Status: st}, nil
}

// List answers with the status of every known service.
func (s *server) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if h.ready {
		st = healthpb.HealthCheckResponse_SERVING
	}
	all := make(map[string]*healthpb.HealthCheckResponse, len(h.services))
	for name := range h.services {
		all[name] = &healthpb.HealthCheckResponse{Status: st}
	}
	return &healthpb.HealthListResponse{Statuses: all}, nil
}

// Watch sends the status now and at each change, until the caller goes away or
// EndWatches is called. It needs no goroutine beyond the handler's, and no
// memory in Health beyond a count.
func (s *server) Watch(req *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if err := s.h.enterWatch(); err != nil {
		return err
	}
	defer s.h.leaveWatch()
	sent := healthpb.HealthCheckResponse_ServingStatus(-1)
	for over := false; ; {
		st, changed := s.h.statusOf(req.GetService())
		if st != sent {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: st}); err != nil {
				return err
			}
			sent = st
		}
		if over {
			return errs.Draining("")
		}
		select {
		case <-changed:
		case <-s.h.ended:
			over = true
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func (h *Health) enterWatch() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.ended:
		return errs.Draining("")
	default:
	}
	if h.watches >= h.cfg.MaxWatches {
		return status.Errorf(codes.ResourceExhausted, "health: %d watches are open, the most this server allows", h.watches)
	}
	h.watches++
	return nil
}

func (h *Health) leaveWatch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches--
}
