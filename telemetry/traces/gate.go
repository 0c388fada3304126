package traces

import (
	"context"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// gate admits sampled spans while there is room, and never blocks. Spans that
// end before [Tracing.Run] wait in it; those that end after it are dropped.
type gate struct {
	pipe *pipeline

	mu     sync.RWMutex
	next   sdktrace.SpanProcessor // nil before Run
	early  []sdktrace.ReadOnlySpan
	closed bool
}

// OnStart does nothing.
func (g *gate) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd hands a span on, or drops and counts it.
func (g *gate) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if g.pipe.waiting.Add(1) > int64(g.pipe.cfg.QueueSize) {
		g.drop()
		return
	}
	s = clean(s)
	g.mu.RLock()
	next, closed := g.next, g.closed
	if next != nil && !closed {
		next.OnEnd(s) // does not block
	}
	g.mu.RUnlock()
	switch {
	case closed:
		g.drop()
	case next == nil:
		g.keep(s)
	}
}

func (g *gate) drop() {
	g.pipe.waiting.Add(-1)
	g.pipe.dropped.Inc()
}

// keep holds a span for [gate.open].
func (g *gate) keep(s sdktrace.ReadOnlySpan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next != nil { // opened since
		g.next.OnEnd(s)
		return
	}
	g.early = append(g.early, s)
}

// open lets spans through, the early ones first.
func (g *gate) open(next sdktrace.SpanProcessor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.early {
		next.OnEnd(s)
	}
	g.next, g.early = next, nil
}

// close lets no more spans through; those that have passed are exported.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Shutdown is [Tracing.Run]'s to call on the processor behind the gate.
func (g *gate) Shutdown(context.Context) error { return nil }

// ForceFlush flushes the processor behind the gate.
func (g *gate) ForceFlush(ctx context.Context) error {
	g.mu.RLock()
	next := g.next
	g.mu.RUnlock()
	if next == nil {
		return nil
	}
	return next.ForceFlush(ctx)
}
