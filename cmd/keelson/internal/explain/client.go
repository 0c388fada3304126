package explain

import (
	"fmt"
	"strings"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/policy"
)

// Client is what the client's end does with a call of a method, in words, in the
// order in which a call meets it.
type Client struct {
	// Breaker says when calls are held back.
	Breaker string `json:"breaker"`
	// Hedge says when a second instance is asked.
	Hedge string `json:"hedge"`
	// Retries says when a call is sent again.
	Retries string `json:"retries"`
	// Waiting says what a call does while no instance is ready.
	Waiting string `json:"waiting"`
	// Balancing says which instance it goes to.
	Balancing string `json:"balancing"`
}

// clientOf says what follows from a method's policy.
func clientOf(d policy.Description) Client {
	value := make(map[policy.Field]string, len(d.Fields))
	for _, f := range d.Fields {
		value[f.Name] = f.Value
	}
	unary := d.Kind == policy.Unary.String()
	c := Client{
		Breaker: "off: every call is sent",
		Hedge:   "off: one instance is asked at a time",
		Retries: "none: a call that failed is not sent again, unless no instance has seen it",
		Waiting: "for a ready instance until its deadline, " + value[policy.FieldTimeout] + " at most",
		Balancing: "to an instance that it has not tried, passing over those that fail, hang or drain, and less to slow ones; " +
			"/debug/keelson/targets shows what a client makes of each",
	}
	if value[policy.FieldBreaker] == string(policy.On) {
		c.Breaker = fmt.Sprintf("UNAVAILABLE, reason CIRCUIT_OPEN, for %s to %s at a time, when half of %d calls or more failed at the target within %s",
			breaker.DefaultOpenTime, breaker.DefaultMaxOpenTime, breaker.DefaultMinCalls, breaker.DefaultWindow)
	}
	if value[policy.FieldHedge] == string(policy.On) {
		c.Hedge = "a second instance is asked after " + strings.Replace(value[policy.FieldHedgeDelay], "95th", "the method's own 95th", 1) + ", for one call in ten at most"
	}
	if n := value[policy.FieldRetryAttempts]; n != "1" && d.Retryable {
		c.Retries = "sent " + n + " times at most, on UNAVAILABLE only, after a pause that grows or that the answer's RetryInfo names; fewer when many fail"
	}
	switch {
	case !unary:
		c.Waiting = "for a ready instance for policy.timeout at most, then UNAVAILABLE, reason NO_READY_INSTANCE"
	case value[policy.FieldTimeout] == "none":
		c.Waiting = "not at all: it has no deadline, and fails with UNAVAILABLE"
	}
	return c
}

// text writes it for people.
func (c Client) text() string {
	var b strings.Builder
	b.WriteString("\nwhat a client does with a call\n")
	columns(&b, [][]string{
		{"  breaker", c.Breaker}, {"  hedge", c.Hedge}, {"  retries", c.Retries}, {"  waits", c.Waiting}, {"  goes", c.Balancing},
	})
	return b.String()
}
