package health

import (
	"encoding/json"
	"net/http"
	"time"
)

// The statuses of a Report and of its reasons.
const (
	StatusReady    = "ready"     // takes traffic, nothing to say
	StatusDegraded = "degraded"  // takes traffic; a dependency fails
	StatusNotReady = "not_ready" // takes no traffic
)

// Report is what /readyz answers.
type Report struct {
	// Status is one of the Status constants.
	Status string `json:"status"`
	// Reasons says what keeps the status from being ready: first the
	// conditions, then the dependencies, in the order they were added.
	Reasons []Reason `json:"reasons"`
}

// Reason is one condition or dependency.
type Reason struct {
	// Name is that of the condition or dependency.
	Name string `json:"name"`
	// Status is one of the Status constants.
	Status string `json:"status"`
	// Message says why, when the status is not ready.
	Message string `json:"message,omitempty"`
	// Since is when this status began.
	Since time.Time `json:"since"`
}

// Report says whether the instance is ready, and why not. With verbose it also
// names what is well.
func (h *Health) Report(verbose bool) Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := Report{Status: StatusReady, Reasons: []Reason{}}
	add := func(name, status, message string, since time.Time) {
		if status != StatusReady || verbose {
			r.Reasons = append(r.Reasons, Reason{Name: name, Status: status, Message: message, Since: since.UTC()})
		}
	}
	if h.draining {
		add(drainCondition, StatusNotReady, "the instance is draining", h.drainSince)
	}
	for _, c := range h.conditions {
		st := StatusReady
		if !c.ok {
			st = StatusNotReady
		}
		add(c.name, st, c.reason, c.since)
	}
	for _, d := range h.dependencies {
		st := StatusReady
		if d.failing {
			st, r.Status = StatusDegraded, StatusDegraded
		}
		add(d.name, st, d.message, d.since)
	}
	if !h.ready {
		r.Status = StatusNotReady
	}
	return r
}

// Livez answers 200 as long as the process can answer at all. Nothing else
// decides it: a restart helps against a hung process and against nothing else.
func (h *Health) Livez() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
}

// Readyz answers with the Report as JSON: 200 when ready or degraded, 503 when
// not. With the query parameter verbose it also names what is well.
func (h *Health) Readyz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := h.Report(req.URL.Query().Has("verbose"))
		code := http.StatusOK
		if r.Status == StatusNotReady {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, r)
	})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A caller that went away is no concern of ours.
	_ = json.NewEncoder(w).Encode(v)
}
