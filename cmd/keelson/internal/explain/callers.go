package explain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery"
)

// Caller is a running instance that calls the method, and how it sees the
// target.
type Caller struct {
	// Instance is the ID of the caller.
	Instance string `json:"instance"`
	// Target is what it dialled.
	Target string `json:"target"`
	// LoadBalancer is gRPC's policy that chooses instances.
	LoadBalancer string `json:"load_balancer"`
	// Decision is what its resolver decided last.
	Decision struct {
		Kind   string    `json:"kind"`
		Reason string    `json:"reason,omitempty"`
		Time   time.Time `json:"time"`
	} `json:"decision"`
	// Instances are those among which it chooses.
	Instances []seen `json:"instances"`
	// Methods are what it has called.
	Methods []called `json:"methods"`
}

// seen is an instance as a caller sees it.
type seen struct {
	ID         string `json:"id"`
	Address    string `json:"address"`
	Held       bool   `json:"held,omitempty"`
	Connection string `json:"connection"`
	Health     string `json:"health"`
	Balance    *struct {
		Breaker  string        `json:"breaker"`
		Factor   float64       `json:"factor"`
		Why      string        `json:"why,omitempty"`
		Latency  time.Duration `json:"latency_ns,omitempty"`
		InFlight int           `json:"in_flight"`
		Ejected  string        `json:"ejected,omitempty"`
	} `json:"balance,omitempty"`
}

// called is what holds at the caller's end.
type called struct {
	Method        string `json:"method"`
	Timeout       string `json:"timeout"`
	RetryAttempts int    `json:"retry_attempts"`
	Hedge         string `json:"hedge"`
	HedgeDelay    string `json:"hedge_delay,omitempty"`
	Breaker       *struct {
		State    string `json:"state"`
		Calls    int    `json:"calls"`
		Failures int    `json:"failures"`
	} `json:"breaker,omitempty"`
}

// callers asks everybody that runs who has called the method. Who does not answer
// is left out: the policy is what was asked for.
func callers(ctx context.Context, method string) []Caller {
	registry, err := workspace.FindRegistry()
	if err != nil {
		return nil
	}
	instances, err := registry.Instances()
	if err != nil {
		return nil
	}
	// All at once: each that hangs takes its whole time to be given up.
	targets := make([][]Caller, len(instances))
	var asked sync.WaitGroup
	for i, in := range instances {
		asked.Go(func() { targets[i] = calledBy(ctx, in) })
	}
	asked.Wait()
	var found []Caller
	for i, in := range instances {
		for _, c := range targets[i] {
			c.Instance = in.ID
			c.Methods = slices.DeleteFunc(c.Methods, func(m called) bool { return m.Method != method })
			if len(c.Methods) > 0 {
				found = append(found, c)
			}
		}
	}
	return found
}

func calledBy(ctx context.Context, in discovery.Instance) []Caller {
	var targets []Caller
	if err := get(ctx, in, "targets", &targets); err != nil {
		return nil
	}
	return targets
}

// callersText writes how the callers see their targets.
func callersText(list []Caller) string {
	var b strings.Builder
	for _, c := range list {
		m := c.Methods[0]
		fmt.Fprintf(&b, "\ncalled by %s at %s\n", c.Instance, c.Target)
		fmt.Fprintf(&b, "  timeout %s, %s, hedge %s, %s\n", m.Timeout, plural(m.RetryAttempts, "attempt"), m.hedging(), m.breaking())
		fmt.Fprintf(&b, "  %s over %s; registry: %s\n", c.LoadBalancer, plural(len(c.Instances), "instance"), c.decided())
		rows := [][]string{{"  INSTANCE", "CONNECTION", "HEALTH", "BREAKER", "SHARE", "LATENCY", "IN FLIGHT"}}
		for _, i := range c.Instances {
			rows = append(rows, i.row())
		}
		columns(&b, rows)
	}
	return b.String()
}

func (m called) hedging() string {
	if m.HedgeDelay == "" {
		return m.Hedge
	}
	return m.Hedge + " after " + m.HedgeDelay
}

func (m called) breaking() string {
	if m.Breaker == nil {
		return "breaker off"
	}
	return fmt.Sprintf("breaker %s (%d of %d calls failed)", m.Breaker.State, m.Breaker.Failures, m.Breaker.Calls)
}

func (c Caller) decided() string {
	text := c.Decision.Kind
	if c.Decision.Reason != "" {
		text += ", " + c.Decision.Reason
	}
	return text + " (" + c.Decision.Time.Local().Format(time.TimeOnly) + ")"
}

func (i seen) row() []string {
	id := "  " + i.ID
	if i.Held {
		id += " (held)"
	}
	row := []string{id, i.Connection, i.Health, "-", "-", "-", "-"}
	if b := i.Balance; b != nil {
		row[3] = b.Breaker
		row[4] = strconv.FormatFloat(100*b.Factor, 'f', 0, 64) + " %"
		if b.Why != "" {
			row[4] += " (" + b.Why + ")"
		}
		if b.Latency > 0 {
			row[5] = b.Latency.Round(10 * time.Microsecond).String()
		}
		row[6] = strconv.Itoa(b.InFlight)
	}
	return row
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
