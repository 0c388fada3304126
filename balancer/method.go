package balancer

import (
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// maxMethods bounds how many methods of a target are told apart; the rest share one.
const maxMethods = 1000

// method is what a target's instances together usually need for one method. Safe for concurrent use.
type method struct {
	name   string
	unary  bool
	stream bool // it is known to be one; neither is set where nothing is known
	// median and tail are running estimates of the 50th and the 95th percentile of the logarithm of the duration in seconds, as float64
	// bits. They move by a small step towards each observation, so a minority of slow instances does not move the median (stochastic
	// approximation of a quantile: Tierney 1983). An update lost to a concurrent one does not matter.
	median, tail atomic.Uint64
	count        atomic.Uint32
}

const (
	quantileStep = 0.05 // of the logarithm, that is 5 % of the duration
	tailQuantile = 0.95
	knownCalls   = 5
)

// observe takes the logarithm of one duration and returns how far it is from the usual one.
func (m *method) observe(x float64) float64 {
	n := m.count.Add(1)
	if n == 1 {
		m.median.Store(math.Float64bits(x))
		m.tail.Store(math.Float64bits(x))
		return 0
	}
	if n > math.MaxUint32/2 {
		m.count.Store(math.MaxUint32 / 4)
	}
	step := max(quantileStep, 2/float64(n))
	usual := math.Float64frombits(m.median.Load())
	m.median.Store(math.Float64bits(usual + step*sign(x-usual)/2))
	tail := math.Float64frombits(m.tail.Load())
	if x > tail {
		tail += step * tailQuantile
	} else {
		tail -= step * (1 - tailQuantile)
	}
	m.tail.Store(math.Float64bits(tail))
	return x - usual
}

// against returns how far the logarithm of a duration is from the usual one, and whether there is a usual one.
func (m *method) against(x float64) (float64, bool) {
	return x - math.Float64frombits(m.median.Load()), m.count.Load() > 0
}

// known tells whether there have been calls enough to say what is usual.
func (m *method) known() bool { return m.count.Load() >= knownCalls }

// usual is the median duration, zero before the first call.
func (m *method) usual() time.Duration {
	if m.count.Load() == 0 {
		return 0
	}
	return fromLog(math.Float64frombits(m.median.Load()))
}

// slowest is the duration that few calls exceed, zero before the first.
func (m *method) slowest() time.Duration {
	if m.count.Load() == 0 {
		return 0
	}
	return fromLog(math.Float64frombits(m.tail.Load()))
}

func sign(x float64) float64 {
	if x < 0 {
		return -1
	}
	return 1
}

func toLog(d time.Duration) float64 { return math.Log(max(d, time.Microsecond).Seconds()) }

func fromLog(x float64) time.Duration {
	return time.Duration(min(math.Exp(x), 1e9) * float64(time.Second))
}

// methods are the methods of one target, by name. Reading takes no lock.
type methods struct {
	byName atomic.Pointer[map[string]*method]
	mu     sync.Mutex // serialises writers
	rest   [2]method  // beyond maxMethods: streams, unary
}

func newMethods() *methods {
	ms := &methods{}
	ms.byName.Store(&map[string]*method{})
	ms.rest[0].name, ms.rest[1].name, ms.rest[1].unary = policy.UnknownName, policy.UnknownName, true
	return ms
}

func (ms *methods) get(name string, c *call.Call) *method {
	if m := (*ms.byName.Load())[name]; m != nil {
		return m
	}
	unary, stream := kindOf(name, c)
	return ms.add(name, unary, stream)
}

func (ms *methods) add(name string, unary, stream bool) *method {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	old := *ms.byName.Load()
	if m := old[name]; m != nil {
		return m
	}
	if len(old) >= maxMethods {
		if unary {
			return &ms.rest[1]
		}
		return &ms.rest[0]
	}
	next := maps.Clone(old)
	m := &method{name: strings.Clone(name), unary: unary, stream: stream}
	next[m.name] = m
	ms.byName.Store(&next)
	return m
}

// kindOf tells unary methods and streams by their policy, or by the descriptors linked into the process. A method that nobody describes may
// be a stream: like streams, it says nothing about hangs and latency.
func kindOf(name string, c *call.Call) (unary, stream bool) {
	if c != nil && c.Method != nil && c.Method.FullName != policy.UnknownName {
		unary = c.Method.Kind == policy.Unary
		return unary, !unary
	}
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
	if !full.IsValid() {
		return false, false
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
	if err != nil {
		return false, false
	}
	m, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return false, false
	}
	unary = !m.IsStreamingClient() && !m.IsStreamingServer()
	return unary, !unary
}
