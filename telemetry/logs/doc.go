// Package logs writes the log of a service: one JSON line per call and per
// slog record, with the field names of the Elastic Common Schema ([Fields]
// lists them), through a [Sink] that never makes a call wait.
//
// A [Log] has two mouths. [Log.Handler] is an ordinary slog.Handler that adds
// the correlation ID, trace ID, span ID and method of the call in the context
// to every record. [Log.End] writes the one line of a call: it bypasses slog,
// appends into a pooled buffer and allocates nothing.
//
// Payloads are never logged by the chassis. A proto message that a service logs
// itself is rendered as JSON without the fields marked debug_redact, and cut at
// 2 KiB. On a terminal the same lines are rendered by [Pretty].
package logs
