package traces

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

// The metadata keys of W3C Trace Context and W3C Baggage.
const (
	headerParent  = "traceparent"
	headerState   = "tracestate"
	headerBaggage = "baggage"
)

// maxBaggage is the longest baggage that is taken, in bytes (W3C Baggage 3.3.2).
const maxBaggage = 8192

// extract reads the caller's place in its trace, and its baggage. A parent that
// does not parse is as none, as W3C Trace Context 3.2.2.5 has it.
func extract(ctx context.Context) (context.Context, trace.SpanContext) {
	if text := joined(ctx, headerBaggage); text != "" && len(text) <= maxBaggage {
		if b, err := baggage.Parse(text); err == nil {
			ctx = baggage.ContextWithBaggage(ctx, b)
		}
	}
	v := metadata.ValueFromIncomingContext(ctx, headerParent)
	if len(v) != 1 {
		return ctx, trace.SpanContext{}
	}
	sc, ok := parseParent(v[0])
	if !ok {
		return ctx, trace.SpanContext{}
	}
	if text := joined(ctx, headerState); text != "" {
		if state, err := trace.ParseTraceState(text); err == nil {
			sc.TraceState = state
		}
	}
	return ctx, trace.NewSpanContext(sc)
}

// joined returns the values of a key as one list, as both specifications have
// it for headers that come more than once.
func joined(ctx context.Context, key string) string {
	switch v := metadata.ValueFromIncomingContext(ctx, key); len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	default:
		return strings.Join(v, ",")
	}
}

// parseParent reads version-traceid-spanid-flags. Versions above 00 may carry
// more after the flags; ff is not a version.
func parseParent(s string) (sc trace.SpanContextConfig, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return sc, false
	}
	var version, flags [1]byte
	ok = unhex(version[:], s[:2]) && unhex(sc.TraceID[:], s[3:35]) && unhex(sc.SpanID[:], s[36:52]) && unhex(flags[:], s[53:55])
	if !ok || version[0] == 0xff || !sc.TraceID.IsValid() || !sc.SpanID.IsValid() {
		return sc, false
	}
	if version[0] == 0 && len(s) != 55 || len(s) > 55 && s[55] != '-' {
		return sc, false
	}
	sc.TraceFlags, sc.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	return sc, true
}

// unhex decodes lower-case hex digits; W3C allows no others.
func unhex(dst []byte, s string) bool {
	for i := range dst {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// inject appends the metadata that carries a place in a trace, and the baggage
// of a context.
func inject(ctx context.Context, sc trace.SpanContext, pairs []string) []string {
	if sc.IsValid() {
		pairs = append(pairs, headerParent, formatParent(sc))
		if state := sc.TraceState().String(); state != "" {
			pairs = append(pairs, headerState, state)
		}
	}
	if b := baggage.FromContext(ctx); b.Len() > 0 {
		pairs = append(pairs, headerBaggage, b.String())
	}
	return pairs
}

func formatParent(sc trace.SpanContext) string {
	const hex = "0123456789abcdef"
	var text [55]byte
	id, span := sc.TraceID(), sc.SpanID()
	b := append(text[:0], "00-"...)
	for _, v := range id {
		b = append(b, hex[v>>4], hex[v&15])
	}
	b = append(b, '-')
	for _, v := range span {
		b = append(b, hex[v>>4], hex[v&15])
	}
	b = append(b, '-', '0', '0')
	if sc.IsSampled() {
		b[len(b)-1] = '1'
	}
	return string(b)
}
