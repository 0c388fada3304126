package internal

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/target"
)

const (
	// goneMatters is for how long an instance that went without draining makes its
	// service DEGRADED.
	goneMatters = 10 * time.Second
	// mostSeries bounds of how many instances of all services the traffic is kept,
	// each with 20 KB at most.
	mostSeries = 2048
)

// seenService is a service, and what was seen of it over time.
type seenService struct {
	id, target string
	self       *target.Instance // set for the gateway's own entry
	now        keelson.TargetState
	present    bool // the client keeps connections to it
	listed     uint64
	grpc       []*platformv1.GrpcService
	instances  map[string]*seenInstance
	series     *series

	digest   []byte // of the message without what changes with every call
	revision uint64 // counts changes of it
}

// room is how much more may be kept.
type room struct{ series int }

// see takes over what the client knows of the service; nil: it keeps no
// connections to it, so that nothing is known of its instances.
func (s *seenService) see(state *keelson.TargetState, now time.Time, step uint64, left *room) {
	if s.present = state != nil; !s.present {
		s.now.Decision = target.Decision{}
		for key := range s.instances {
			s.drop(key, left)
		}
		s.count(nil)
		return
	}
	s.now = *state
	s.count(state.Traffic)
	seen := make(map[string]bool, len(state.Instances))
	for _, in := range state.Instances {
		key := in.ID
		if seen[key] { // two of one ID: the second one is told apart by its address
			key += " " + in.Address
		}
		seen[key] = true
		i := s.instances[key]
		if i == nil {
			i = &seenInstance{key: key, firstSeen: now, statusSince: now}
			s.instances[key] = i
		}
		if i.series == nil && left.series > 0 {
			left.series--
			i.series = newSeries(in.Traffic, now, step)
		}
		i.see(in, now)
	}
	s.miss(seen, now, left)
}

// count takes over what was counted of the service's traffic.
func (s *seenService) count(t *target.Traffic) {
	if s.series == nil {
		return
	}
	s.series.read(t)
	if s.series.source != nil {
		s.series.inFlight = s.series.source.InFlight()
	}
}

// miss keeps those that are not in the list any more for a while.
func (s *seenService) miss(seen map[string]bool, now time.Time, left *room) {
	var gone []*seenInstance
	for key, i := range s.instances {
		if seen[key] {
			continue
		}
		i.miss(now)
		if now.Sub(i.lastSeen) >= goneFor {
			s.drop(key, left)
			continue
		}
		gone = append(gone, i)
	}
	if len(gone) <= mostGone {
		return
	}
	slices.SortFunc(gone, func(a, b *seenInstance) int { return a.lastSeen.Compare(b.lastSeen) })
	for _, i := range gone[:len(gone)-mostGone] {
		s.drop(i.key, left)
	}
}

func (s *seenService) drop(key string, left *room) {
	if s.instances[key].series != nil {
		left.series++
	}
	delete(s.instances, key)
}

// each calls f with every series of the service.
func (s *seenService) each(f func(*series)) {
	if s.series != nil {
		f(s.series)
	}
	for _, i := range s.instances {
		if i.series != nil {
			f(i.series)
		}
	}
}

// sorted are the instances in the order in which they are shown.
func (s *seenService) sorted() []*seenInstance {
	list := make([]*seenInstance, 0, len(s.instances))
	for _, i := range s.instances {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b *seenInstance) int {
		return cmp.Or(cmp.Compare(a.now.ID, b.now.ID), cmp.Compare(a.now.Address, b.now.Address), cmp.Compare(a.key, b.key))
	})
	return list
}

// message is the service as it is now, without history.
func (s *seenService) message(now time.Time) *platformv1.Service {
	m := &platformv1.Service{Name: platformName(s.id), Target: text(s.target), GrpcServices: s.grpc, LoadBalancer: s.now.LoadBalancer}
	if s.self != nil {
		s.describeSelf(m)
		s.settle(m)
		m.ReadTime = timestamppb.New(now)
		return m
	}
	instances := s.sorted()
	for _, i := range instances {
		m.Instances = append(m.Instances, i.stable())
	}
	m.State, m.StateReason = s.state(instances, now)
	m.Resolution, m.Breakers = s.resolution(), s.breakers()
	s.settle(m)
	m.ReadTime, m.Traffic = timestamppb.New(now), s.series.traffic(now)
	for k, i := range instances {
		i.fill(m.Instances[k], now)
	}
	s.fill(m)
	return m
}

// settle compares the message, which has only its stable part yet, with the one
// before.
func (s *seenService) settle(m *platformv1.Service) {
	digest, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || !bytes.Equal(digest, s.digest) {
		s.digest = digest
		s.revision++
	}
}

func (s *seenService) describeSelf(m *platformv1.Service) {
	m.Self, m.State = true, platformv1.Service_STATE_SERVING
	m.Instances = []*platformv1.Instance{{
		Id: text(s.self.ID), Address: text(s.self.Address), Version: text(s.self.Version), Zone: text(s.self.Zone), Weight: s.self.Weight,
		Status: platformv1.Instance_STATUS_SERVING,
	}}
}

func (s *seenService) resolution() *platformv1.Resolution {
	d := s.now.Decision
	if d.Kind == "" {
		return nil
	}
	return &platformv1.Resolution{Decision: d.Kind, Reason: text(d.Reason)}
}

func (s *seenService) breakers() []*platformv1.MethodBreaker {
	var list []*platformv1.MethodBreaker
	for _, m := range s.now.Methods {
		if b := m.Breaker; b != nil {
			list = append(list, &platformv1.MethodBreaker{
				Method: strings.TrimPrefix(m.Method, "/"), State: breakerOf(b.State), StateTime: timestamppb.New(b.Since), NextProbeTime: timeOf(b.NextProbe),
			})
		}
	}
	return list
}

// fill adds to the stable part what changes all the time.
func (s *seenService) fill(m *platformv1.Service) {
	if m.Resolution != nil {
		m.Resolution.DecideTime, m.Resolution.LastGoodTime = timeOf(s.now.Decision.Time), timeOf(s.now.Decision.LastGood)
	}
	k := 0
	for _, called := range s.now.Methods {
		if b := called.Breaker; b != nil {
			m.Breakers[k].CallCount, m.Breakers[k].FailureCount = int32(b.Calls), int32(b.Failures) //nolint:gosec // of ten seconds
			m.Breakers[k].RejectionCount = int64(b.Rejections)                                      //nolint:gosec // far below 2^63
			k++
		}
	}
}

// timeOf is absent for a time that is not known.
func timeOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
