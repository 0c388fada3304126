package internal

import (
	"fmt"
	"strings"
	"time"

	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// census is how many instances of a service are in which state.
type census struct {
	by   map[platformv1.Instance_Status]int
	here int // all that are not gone
	lost int // gone lately, without draining
}

func newCensus(instances []*seenInstance, now time.Time) census {
	c := census{by: make(map[platformv1.Instance_Status]int)}
	for _, i := range instances {
		c.by[i.status]++
		switch {
		case !i.gone:
			c.here++
		case !i.drained && now.Sub(i.lastSeen) < goneMatters:
			c.lost++
		}
	}
	return c
}

// state is how the service is, from its instances (see the contract in
// platform.proto), and why in words.
func (s *seenService) state(instances []*seenInstance, now time.Time) (platformv1.Service_State, string) {
	if !s.present {
		return platformv1.Service_STATE_UNKNOWN, "nothing is connected to it"
	}
	c := newCensus(instances, now)
	serving, draining := c.by[platformv1.Instance_STATUS_SERVING], c.by[platformv1.Instance_STATUS_DRAINING]
	ejected, unreachable := c.by[platformv1.Instance_STATUS_EJECTED], c.by[platformv1.Instance_STATUS_UNREACHABLE]
	broken := s.openBreakers()
	why := c.faults(ejected, unreachable)
	switch {
	case serving+draining == 0 && ejected+unreachable > 0:
		return platformv1.Service_STATE_DOWN, why
	case c.here == 0 && s.now.Decision.Kind != "" && s.now.Decision.Kind != "waiting": // for the registry's first answer
		return platformv1.Service_STATE_DOWN, join("no instance is known ("+s.decided()+")", why)
	case serving+draining == 0:
		return platformv1.Service_STATE_UNKNOWN, "nothing is connected to its instances yet"
	case serving == 0:
		return platformv1.Service_STATE_DEGRADED, join("all instances that are connected drain", why)
	case why != "" || broken != "":
		return platformv1.Service_STATE_DEGRADED, join(why, broken)
	default:
		return platformv1.Service_STATE_SERVING, ""
	}
}

// faults says what is wrong with instances.
func (c census) faults(ejected, unreachable int) string {
	text := ""
	if unreachable > 0 {
		text = join(text, fmt.Sprintf("%d of %d instances cannot be reached", unreachable, c.here))
	}
	if ejected > 0 {
		text = join(text, fmt.Sprintf("%d of %d instances are ejected", ejected, c.here))
	}
	switch c.lost {
	case 0:
	case 1:
		text = join(text, "1 instance went without draining")
	default:
		text = join(text, fmt.Sprintf("%d instances went without draining", c.lost))
	}
	return text
}

// openBreakers names the methods whose breaker is not closed.
func (s *seenService) openBreakers() string {
	var names []string
	for _, m := range s.now.Methods {
		if b := m.Breaker; b != nil && breakerOf(b.State) != platformv1.BreakerState_BREAKER_STATE_CLOSED {
			names = append(names, strings.TrimPrefix(m.Method, "/"))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "breakers are not closed: " + strings.Join(names, ", ")
}

// decided says what the resolver made of the registry's last answer.
func (s *seenService) decided() string {
	return strings.Trim("registry: "+s.now.Decision.Kind+", "+text(s.now.Decision.Reason), ", ")
}

func join(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, "; ")
}
