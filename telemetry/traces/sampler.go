package traces

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// decided in a context says that the call at hand is sampled already.
type decided struct{}

// sampler decides over spans without a parent: those of calls have been
// decided over before, and those of jobs are by the ratio in force.
type sampler struct{ t *Tracing }

func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.ParentContext.Value(decided{}) != nil || s.t.chosen() {
		return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (s *sampler) Description() string { return "KeelsonRatio" }

// ids makes IDs that are unique, not secret.
type ids struct{}

func (ids) NewIDs(context.Context) (trace.TraceID, trace.SpanID) { return newTraceID(), newSpanID() }

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

func newTraceID() (id trace.TraceID) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()|1) // all zeros is invalid
	return id
}

func newSpanID() (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
