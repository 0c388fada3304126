package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/keelson-dev/keelson/discovery"
)

const (
	// asks, per second, and burst bound how often a watch asks, whatever the registry answers. A rolling restart changes the list three
	// times for each instance, and calls may wait for the one that is back.
	asks  = rate.Limit(4)
	burst = 10
	// answerTimeout is how long an answer may take beyond the time it was asked to wait; Consul adds up to a sixteenth of that.
	answerTimeout = 10 * time.Second
)

// parameters are those of a dial target that is in order.
type parameters struct {
	tags       []string
	datacenter string
}

func (d *Driver) parameters(q discovery.Query) (parameters, error) {
	p := parameters{datacenter: d.cfg.Datacenter}
	if err := discovery.ValidateService(q.Service); err != nil {
		return p, err
	}
	for _, name := range slices.Sorted(maps.Keys(q.Params)) {
		values := q.Params[name]
		switch {
		case slices.Contains(values, ""):
			return p, fmt.Errorf("parameter %q of the dial target has no value", name)
		case name == "tag":
			p.tags = values
		case name == "dc" && len(values) == 1:
			p.datacenter = values[0]
		case name == "dc":
			return p, fmt.Errorf("parameter %q of the dial target is there %d times; a service is looked for in one datacenter", name, len(values))
		default:
			return p, fmt.Errorf("unknown parameter %q in the dial target; a consul registry takes tag and dc", name)
		}
	}
	return p, nil
}

// CheckQuery reports why Watch would never answer: it does no I/O.
func (d *Driver) CheckQuery(q discovery.Query) error {
	_, err := d.parameters(q)
	return err
}

// Watch implements discovery.Watcher. It knows the parameters tag, which may be repeated and must all be there, and dc.
func (d *Driver) Watch(ctx context.Context, q discovery.Query, deliver func(discovery.Update)) error {
	p, err := d.parameters(q)
	if err != nil {
		return err
	}
	s, err := d.open()
	if err != nil {
		return err
	}
	defer s.close()
	w := &watch{d: d, s: s, service: q.Service, params: p, decoder: newDecoder(q.Service)}
	defer d.met.contact.DeleteLabelValues(q.Service)
	pace := rate.NewLimiter(asks, burst)
	for {
		if err := pace.Wait(ctx); err != nil {
			return errors.Join(err, ctx.Err())
		}
		u, err := w.next(ctx)
		if err != nil {
			return err
		}
		deliver(u)
	}
}

// watch is one chain of queries.
type watch struct {
	d       *Driver
	s       *session
	service string
	params  parameters
	decoder *decoder
	index   uint64 // 0: the next query does not wait
	noted   string // what was logged last about the answers
}

// answer is what a server said.
type answer struct {
	index       uint64
	contact     time.Duration
	leader      bool // the server knows of one, or does not say
	filtered    bool // ACLs took something away
	denyDefault bool // ACLs take away what nobody allowed
	body        []byte
}

// next asks for the list, waiting for a change when there is something to compare with.
func (w *watch) next(ctx context.Context) (discovery.Update, error) {
	a, err := w.ask(ctx, "stale")
	if err != nil {
		return discovery.Update{}, err
	}
	// An index that goes back means that what was counted has been replaced: a restored snapshot, a server that began anew.
	if a.index < w.index {
		a.index = 0
	}
	w.index = a.index
	u, err := w.decoder.decode(a.body)
	if err != nil {
		return u, err
	}
	w.d.contacted(w.service, a)
	if !u.Unchanged && len(u.Instances)+len(u.Failing)+len(u.Invalid) == 0 {
		if err := w.confirmEmpty(ctx, a); err != nil {
			w.decoder.forget()
			return u, err
		}
	}
	u.Stale = a.stale(w.d.cfg.MaxStale)
	w.note(a, u.Stale)
	return u, nil
}

// confirmEmpty believes in an empty list only when the leader tells the same: a server that has just started knows nothing yet.
func (w *watch) confirmEmpty(ctx context.Context, a answer) error {
	if err := a.emptied(w.s.token); err != nil {
		return err
	}
	w.index = 0
	again, err := w.ask(ctx, "consistent")
	if err != nil {
		return fmt.Errorf("the list is empty, and its confirmation failed: %w", err)
	}
	if err := again.emptied(w.s.token); err != nil {
		return err
	}
	u, err := newDecoder(w.service).decode(again.body)
	if err == nil && len(u.Instances)+len(u.Failing)+len(u.Invalid) > 0 {
		err = faultf(kindStale, "a server gave an empty list, the leader does not")
	}
	w.index = again.index
	return err
}

// emptied is the error for an empty list that something else than the service may have emptied.
func (a answer) emptied(token string) error {
	switch {
	case !a.leader:
		return faultf(kindStale, "the list is empty, and the server that gave it knows of no leader")
	case a.filtered:
		return faultf(kindDenied, "the list is empty because ACLs filtered it; give the token service:read and node:read")
	case a.denyDefault && token == "":
		return faultf(kindDenied, "the list is empty, and ACLs deny by default; set a token with service:read and node:read")
	}
	return nil
}

// stale says why an answer may be out of date, or nothing.
func (a answer) stale(most time.Duration) string {
	switch {
	case !a.leader:
		return "the server that answered knows of no leader"
	case a.contact > most:
		return fmt.Sprintf("the server that answered heard from its leader %s ago", a.contact.Round(time.Second))
	}
	return ""
}

// ask sends one query. The slice in the answer is valid until the next one.
func (w *watch) ask(ctx context.Context, consistency string) (a answer, err error) {
	op, limit := opList, answerTimeout
	q := url.Values{consistency: {""}}
	if w.index > 0 {
		op, limit = opWait, answerTimeout+w.d.cfg.Wait+w.d.cfg.Wait/16
		q.Set("index", strconv.FormatUint(w.index, 10))
		q.Set("wait", strconv.FormatInt(w.d.cfg.Wait.Milliseconds(), 10)+"ms")
	}
	if w.params.datacenter != "" {
		q.Set("dc", w.params.datacenter)
	}
	if len(w.params.tags) > 0 {
		q["tag"] = w.params.tags
	}
	start := time.Now()
	defer func() { w.d.met.observe(op, start, err) }()
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err = w.send(within, q.Encode())
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = faultf(kindUnreachable, "no answer within %s: %w", limit, err)
	}
	return a, err
}

func (w *watch) send(ctx context.Context, query string) (answer, error) {
	r, err := w.s.newRequest(ctx, "/v1/health/service/"+w.service, query)
	if err != nil {
		return answer{}, err
	}
	resp, err := w.s.http.Do(r)
	if err != nil {
		return answer{}, w.s.explain(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return answer{}, w.s.statusFault(resp.StatusCode, string(text))
	}
	a, err := parseHeader(resp.Header)
	if err != nil {
		return a, err
	}
	a.body, err = w.decoder.read(resp.Body, resp.ContentLength)
	if err != nil && !errors.As(err, new(*fault)) {
		err = faultf(kindMalformed, "read the list: %w", err)
	}
	return a, err
}

// parseHeader takes what Consul says about an answer; what does not say it is not Consul.
func parseHeader(h http.Header) (a answer, err error) {
	text := h.Get("X-Consul-Index")
	if a.index, err = strconv.ParseUint(text, 10, 64); err != nil {
		return a, faultf(kindMalformed, "answered with X-Consul-Index %q; it is no index, is this Consul?", text)
	}
	a.index = max(a.index, 1) // 0 would not wait
	ms, err := strconv.ParseUint(h.Get("X-Consul-LastContact"), 10, 32)
	if err == nil {
		a.contact = time.Duration(ms) * time.Millisecond
	}
	// An agent that answers from what a server streams to it says "false" here whatever is so: it does not know.
	streamed := h.Get("X-Consul-Query-Backend") == "streaming"
	a.leader = streamed || h.Get("X-Consul-KnownLeader") != "false"
	a.filtered = h.Get("X-Consul-Results-Filtered-By-ACLs") == "true"
	a.denyDefault = h.Get("X-Consul-Default-ACL-Policy") == "deny"
	return a, nil
}

func (d *Driver) contacted(service string, a answer) {
	age := a.contact.Seconds()
	if !a.leader {
		age = math.Inf(1)
	}
	d.met.contact.WithLabelValues(service).Set(age)
}

// note logs what is odd about the answers, when it begins and when it ends.
func (w *watch) note(a answer, stale string) {
	line := stale
	if line == "" && a.filtered {
		line = "ACLs took entries out of the list; the token lacks service:read or node:read for some"
	}
	before := w.noted
	w.noted = line
	switch {
	case (line == "") == (before == ""):
	case line != "":
		w.d.log.Warn("registry answers with reservations", "registry", w.d.String(), "service", w.service, "reason", line)
	default:
		w.d.log.Info("registry answers without reservations again", "registry", w.d.String(), "service", w.service)
	}
}
