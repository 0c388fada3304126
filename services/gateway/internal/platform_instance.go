package internal

import (
	"strings"
	"time"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/types/known/timestamppb"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/target"
)

const (
	// goneFor is how long an instance is shown that is not in the registry any
	// more, mostGone how many of a service are.
	goneFor, mostGone = 2 * time.Minute, 64
	// brokenAfter is how long a connection that broke may take to be back.
	brokenAfter = 500 * time.Millisecond
)

// seenInstance is an instance, and what was seen of it over time.
type seenInstance struct {
	key    string
	now    target.InstanceSnapshot // as last seen
	series *series                 // nil where there are too many

	firstSeen, lastSeen time.Time
	gone                bool
	failing             bool      // the last try to connect failed
	connected           bool      // it was connected to before
	downSince           time.Time // it was connected to, and is being connected to again; zero: no

	status      platformv1.Instance_Status
	statusSince time.Time
	drained     bool // it was draining when it was last seen
}

// see takes over what the client knows of the instance.
func (i *seenInstance) see(s target.InstanceSnapshot, now time.Time) {
	s.ID, s.Address, s.Version, s.Zone = text(s.ID), text(s.Address), text(s.Version), text(s.Zone)
	i.now, i.lastSeen, i.gone = s, now, false
	switch s.Connection {
	case connectivity.Ready.String():
		i.failing, i.connected, i.downSince = false, true, time.Time{}
	case connectivity.TransientFailure.String():
		i.failing = true
	case connectivity.Connecting.String():
		if i.connected && i.downSince.IsZero() {
			i.downSince = now
		}
	case connectivity.Idle.String(): // none is needed; what failed before has not been tried again
		i.downSince = time.Time{}
	default: // nobody keeps connections
		i.failing, i.connected, i.downSince = false, false, time.Time{}
	}
	i.count(s.Traffic)
	i.judge(now)
	i.drained = i.status == platformv1.Instance_STATUS_DRAINING
}

// miss notes that the instance is not in the list any more.
func (i *seenInstance) miss(now time.Time) {
	i.gone = true
	i.count(nil)
	i.judge(now)
}

// count takes over what was counted of the instance's traffic.
func (i *seenInstance) count(t *target.Traffic) {
	if i.series == nil {
		return
	}
	i.series.read(t)
	i.series.inFlight = 0
	if !i.gone && i.now.Balance != nil {
		i.series.inFlight = i.now.Balance.InFlight
	}
}

// judge decides the status (see the contract in platform.proto).
func (i *seenInstance) judge(now time.Time) {
	if status := i.statusAt(now); status != i.status {
		i.status, i.statusSince = status, now
	}
}

func (i *seenInstance) statusAt(now time.Time) platformv1.Instance_Status {
	ready := i.now.Connection == connectivity.Ready.String()
	switch {
	case i.gone:
		return platformv1.Instance_STATUS_GONE
	case i.failing, !i.downSince.IsZero() && now.Sub(i.downSince) >= brokenAfter:
		return platformv1.Instance_STATUS_UNREACHABLE
	case i.now.Balance != nil && i.now.Balance.Breaker == target.BreakerOpen:
		return platformv1.Instance_STATUS_EJECTED
	case ready && i.now.Health == target.HealthNotServing.String():
		return platformv1.Instance_STATUS_DRAINING
	case ready:
		return platformv1.Instance_STATUS_SERVING
	case !i.downSince.IsZero(): // it broke just now
		return i.status
	default:
		return platformv1.Instance_STATUS_UNKNOWN
	}
}

// reason says in words why the status is not SERVING.
func (i *seenInstance) reason() string {
	switch i.status {
	case platformv1.Instance_STATUS_GONE:
		if i.drained {
			return "it has drained and left the registry"
		}
		return "it left the registry without draining"
	case platformv1.Instance_STATUS_UNREACHABLE:
		if i.failing {
			return "it cannot be connected to"
		}
		return "its connection broke and is not back"
	case platformv1.Instance_STATUS_EJECTED:
		if i.now.Balance.Ejected == "hang" {
			return "its breaker is open: calls to it hung"
		}
		return "its breaker is open: too many calls to it failed"
	case platformv1.Instance_STATUS_DRAINING:
		return "it says that it serves no new calls"
	case platformv1.Instance_STATUS_UNKNOWN:
		return "nothing is connected to it"
	default:
		return ""
	}
}

// stable is the instance without what changes with every call.
func (i *seenInstance) stable() *platformv1.Instance {
	m := &platformv1.Instance{
		Id: i.now.ID, Address: i.now.Address, Version: i.now.Version, Zone: i.now.Zone, Weight: i.now.Weight,
		Status: i.status, StatusReason: i.reason(), StatusTime: timestamppb.New(i.statusSince),
		FirstSeenTime: timestamppb.New(i.firstSeen), Gone: i.gone, LeftOrderly: i.gone && i.drained, Held: i.now.Held && !i.gone,
	}
	if !i.gone {
		m.Connection, m.Health = connectionOf(i.now.Connection), healthOf(i.now.Health)
	}
	b := i.now.Balance
	if b == nil {
		return m
	}
	m.EjectReason = b.Ejected
	if !b.EjectedAt.IsZero() {
		m.EjectTime = timestamppb.New(b.EjectedAt)
	}
	if i.gone {
		return m
	}
	m.Breaker = breakerOf(b.Breaker.String())
	if b.Why != "" {
		m.BalanceReasons = strings.Split(b.Why, ",")
	}
	return m
}

// fill adds to the stable part what changes with every call.
func (i *seenInstance) fill(m *platformv1.Instance, now time.Time) {
	m.LastSeenTime = timestamppb.New(i.lastSeen)
	if i.now.Balance != nil && !i.gone {
		m.BalanceFactor = i.now.Balance.Factor
	}
	if i.series != nil {
		m.Traffic = i.series.traffic(now)
	}
}

// text is what a message can hold of a text that came from a registry or from the
// configuration: one that is not UTF-8 would make the message of all services fail.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func connectionOf(state string) platformv1.Instance_Connection {
	return platformv1.Instance_Connection(platformv1.Instance_Connection_value["CONNECTION_"+state])
}

func healthOf(health string) platformv1.Instance_Health {
	return platformv1.Instance_Health(platformv1.Instance_Health_value["HEALTH_"+health])
}

// breakerOf takes the words of both kinds of breakers.
func breakerOf(state string) platformv1.BreakerState {
	return platformv1.BreakerState(platformv1.BreakerState_value["BREAKER_STATE_"+strings.ReplaceAll(strings.ToUpper(state), "-", "_")])
}
