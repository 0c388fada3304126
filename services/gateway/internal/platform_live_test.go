package internal_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/keelson-dev/keelson/errs"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

func TestPlatformShowsABackendThatDiesAndIsBack(t *testing.T) {
	f := newFake(t, echo)
	g := newGateway(t, f)
	stream, err := platformv1.NewPlatformServiceClient(g).WatchServices(soon(t), &platformv1.WatchServicesRequest{Interval: durationpb.New(250 * time.Millisecond), History: true})
	if err != nil {
		t.Fatal(err)
	}
	// until takes messages until the backend is as wanted.
	until := func(what string, so func(*platformv1.Service, *platformv1.Instance) bool) {
		t.Helper()
		for {
			m, err := stream.Recv()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if s := m.GetService(); s.GetName() == "services/backend" && len(s.GetInstances()) == 1 && so(s, s.GetInstances()[0]) {
				return
			}
		}
	}
	if _, err := g.call(soon(t), unaryMethod, "hello"); err != nil {
		t.Fatal(err)
	}
	until("serving, with a call", func(s *platformv1.Service, i *platformv1.Instance) bool {
		return s.GetState() == platformv1.Service_STATE_SERVING && i.GetStatus() == platformv1.Instance_STATUS_SERVING &&
			s.GetTraffic().GetCallCount() > 0 && i.GetTraffic().GetCallCount() > 0 && s.GetGrpcServices()[0].GetFullName() == echoService
	})
	f.server.Stop()
	until("down", func(s *platformv1.Service, i *platformv1.Instance) bool {
		return s.GetState() == platformv1.Service_STATE_DOWN && i.GetStatus() == platformv1.Instance_STATUS_UNREACHABLE
	})
	f.start(t)
	until("serving again", func(s *platformv1.Service, i *platformv1.Instance) bool {
		return s.GetState() == platformv1.Service_STATE_SERVING && i.GetStatus() == platformv1.Instance_STATUS_SERVING
	})
	self, err := platformv1.NewPlatformServiceClient(g).GetService(soon(t), &platformv1.GetServiceRequest{Name: "services/gateway"})
	if err != nil || !self.GetSelf() || self.GetInstances()[0].GetId() == "" {
		t.Errorf("the gateway is %v, %v", self, err)
	}
	if err := g.drain(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	wantError(t, err, codes.Unavailable, errs.ReasonDraining)
}
