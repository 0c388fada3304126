// Package zpages shows what a process is doing, on its debug listener: the
// calls in flight, and per method how many calls took how long and the latest
// that failed, were slow or were sampled. It needs nothing outside the process,
// so that it is there when the collector is not.
//
// It holds a bounded number of records and no payloads.
package zpages

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// The values of a zero [Config].
const (
	DefaultKeep     = 16
	DefaultInFlight = 1024
	DefaultSlow     = time.Second
)

// Config bounds what is held. The zero value works.
type Config struct {
	// Keep is how many calls are remembered per method and of each kind: failed,
	// slow, sampled. Zero: 16.
	Keep int
	// InFlight is how many calls in flight are listed at most; it is rounded up
	// to a power of two. Calls beyond are counted, not listed. Zero: 1024.
	InFlight int
	// Slow is from when on a unary call is slow. Zero: 1 s.
	Slow time.Duration
}

// bounds are the lower bounds of the latency buckets, those of OpenCensus.
var bounds = [...]time.Duration{
	0, 10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond,
	100 * time.Millisecond, time.Second, 10 * time.Second, 100 * time.Second,
}

// Pages remembers calls and serves the pages about them. All methods are safe
// for concurrent use; Begin and End on nil Pages do nothing.
type Pages struct {
	cfg     Config
	slots   []slot
	open    atomic.Int64
	methods [2]sync.Map // by side: *policy.Method -> *method
}

// New returns pages that know nothing yet.
func New(cfg Config) *Pages {
	if cfg.Keep <= 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = DefaultInFlight
	}
	if cfg.Slow <= 0 {
		cfg.Slow = DefaultSlow
	}
	size := 1
	for size < cfg.InFlight {
		size *= 2
	}
	return &Pages{cfg: cfg, slots: make([]slot, size)}
}

// Begin lists a call as in flight. It comes after everything else that begins
// the call, because the page reads the record. It does not allocate.
func (p *Pages) Begin(c *call.Call) {
	if p == nil {
		return
	}
	p.open.Add(1)
	p.list(c)
}

// End takes a call off the list and remembers it if it failed, was slow or was
// sampled; call.Call.End comes first. It allocates only for those.
func (p *Pages) End(c *call.Call) {
	if p == nil {
		return
	}
	p.unlist(c)
	p.open.Add(-1)
	p.method(c).ended(c, p.cfg)
}

func (p *Pages) method(c *call.Call) *method {
	methods := &p.methods[c.Side&1]
	if m, ok := methods.Load(c.Method); ok {
		return m.(*method) //nolint:errcheck,forcetypeassert // the map holds nothing else
	}
	m, _ := methods.LoadOrStore(c.Method, &method{})
	return m.(*method) //nolint:errcheck,forcetypeassert // the map holds nothing else
}

// method is what is known of the ended calls of one method at one side.
type method struct {
	latency [len(bounds)]atomic.Uint64
	failed  atomic.Uint64

	mu                     sync.Mutex
	failures, slow, traced ring
}

func (m *method) ended(c *call.Call, cfg Config) {
	if c.Code != codes.OK {
		m.failed.Add(1)
	} else {
		m.latency[bucket(c.Duration)].Add(1)
	}
	slow := c.Method.Kind == policy.Unary && c.Duration >= cfg.Slow
	if c.Code == codes.OK && !slow && !c.SpanContext.IsSampled() {
		return
	}
	r := recordOf(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case c.Code != codes.OK:
		m.failures.add(r, cfg.Keep)
	case slow:
		m.slow.add(r, cfg.Keep)
	default:
		m.traced.add(r, cfg.Keep)
	}
}

func bucket(d time.Duration) int {
	i := len(bounds) - 1
	for i > 0 && d < bounds[i] {
		i--
	}
	return i
}

// ring holds the latest records.
type ring struct {
	records []record
	next    int
}

func (r *ring) add(c record, keep int) {
	if len(r.records) < keep {
		r.records = append(r.records, c)
		return
	}
	r.records[r.next] = c
	r.next = (r.next + 1) % keep
}

// latest returns the records, the newest first.
func (r *ring) latest() []record {
	out := make([]record, 0, len(r.records))
	for i := range r.records {
		out = append(out, r.records[(r.next+2*len(r.records)-1-i)%len(r.records)])
	}
	return out
}

// record is what is kept of a call after it has ended.
type record struct {
	Method, Side, Peer, Correlation, Trace, Code, Error string
	Start                                               time.Time
	Duration                                            time.Duration
	Attempts                                            int32
	Received, Sent                                      int64
}

// maxError is the longest text of an error that is kept, in bytes.
const maxError = 256

func recordOf(c *call.Call) record {
	r := inFlight(c)
	r.Duration, r.Code = c.Duration, errs.CodeName(c.Code)
	if c.Failure != nil {
		text := c.Failure.Error()
		r.Error = text[:min(len(text), maxError)]
	}
	return r
}

// inFlight reads what does not change between the begin and the end.
func inFlight(c *call.Call) record {
	r := record{
		Method: c.Method.FullName, Side: c.Side.String(), Correlation: c.CorrelationID, Start: c.Start,
		Attempts: c.Attempts.Load(), Received: c.Received.Load(), Sent: c.Sent.Load(),
	}
	if c.SpanContext.IsValid() {
		r.Trace = c.SpanContext.TraceID().String()
	}
	if c.Side == call.Server && c.Peer != nil { // a client learns its peer while the call is under way
		r.Peer = c.Peer.String()
	}
	return r
}
