package policy

import (
	"encoding/json"
	"fmt"
	"time"
)

// How a retry waits and when retries stop (gRFC A6): a call waits 50 ms, 100 ms
// and so on up to 1 s, jittered by gRPC; a client that sees too many failures
// stops retrying until one in ten calls has succeeded again.
const (
	retryInitialBackoff = 50 * time.Millisecond
	retryMaxBackoff     = time.Second
	retryMultiplier     = 2
	throttleTokens      = 100
	throttleRatio       = 0.1
)

type serviceConfig struct {
	LoadBalancing []json.RawMessage `json:"loadBalancingConfig"`
	HealthCheck   healthCheck       `json:"healthCheckConfig"`
	Methods       []methodConfig    `json:"methodConfig,omitempty"`
	Throttling    throttling        `json:"retryThrottling"`
}

type healthCheck struct {
	ServiceName string `json:"serviceName"`
}

type throttling struct {
	MaxTokens  int     `json:"maxTokens"`
	TokenRatio float64 `json:"tokenRatio"`
}

type methodConfig struct {
	Name         []methodName `json:"name"`
	WaitForReady bool         `json:"waitForReady,omitempty"`
	Retry        *retry       `json:"retryPolicy,omitempty"`
}

type methodName struct {
	Service string `json:"service,omitempty"`
	Method  string `json:"method,omitempty"`
}

type retry struct {
	MaxAttempts          int      `json:"maxAttempts"`
	InitialBackoff       string   `json:"initialBackoff"`
	MaxBackoff           string   `json:"maxBackoff"`
	BackoffMultiplier    float64  `json:"backoffMultiplier"`
	RetryableStatusCodes []string `json:"retryableStatusCodes"`
}

// ServiceConfig returns the gRPC service config (JSON) that the table stands
// for: a load-balancing policy (JSON too, such as {"round_robin":{}}), client-side health checks, and per method the
// retries that its contract allows, on UNAVAILABLE only and throttled. Calls
// wait for a ready connection: unary ones until their deadline, which they
// always have, and streams until whoever opens them loses patience.
func (t *Table) ServiceConfig(balancing json.RawMessage) (string, error) {
	sc := serviceConfig{
		LoadBalancing: []json.RawMessage{balancing},
		Throttling:    throttling{MaxTokens: throttleTokens, TokenRatio: throttleRatio},
	}
	for _, m := range t.Methods() {
		e := m.Effective()
		mc := methodConfig{Name: []methodName{{Service: m.Service, Method: m.Name}}, WaitForReady: e.Timeout > 0 || m.Kind != Unary}
		if e.RetryAttempts > 1 && m.Retryable() {
			mc.Retry = &retry{
				MaxAttempts:          e.RetryAttempts,
				InitialBackoff:       seconds(retryInitialBackoff),
				MaxBackoff:           seconds(retryMaxBackoff),
				BackoffMultiplier:    retryMultiplier,
				RetryableStatusCodes: []string{"UNAVAILABLE"},
			}
		}
		sc.Methods = append(sc.Methods, mc)
	}
	text, err := json.Marshal(sc)
	if err != nil {
		return "", fmt.Errorf("make a service config with the load-balancing policy %s: %w", balancing, err)
	}
	return string(text), nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
