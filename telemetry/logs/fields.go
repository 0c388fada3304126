package logs

// ecsVersion is the version of the Elastic Common Schema that the names follow.
const ecsVersion = "8.17.0"

// The names of fields, as in [Fields].
const (
	keyTime        = "@timestamp"
	keyLevel       = "log.level"
	keyMessage     = "message"
	keyECS         = "ecs.version"
	keyService     = "service.name"
	keyVersion     = "service.version"
	keyNode        = "service.node.name"
	keyEnvironment = "service.environment"
	keyTrace       = "trace.id"
	keySpan        = "span.id"
	keyAction      = "event.action"
	keyDuration    = "event.duration"
	keyOutcome     = "event.outcome"
	keyRPCService  = "rpc.service"
	keyRPCMethod   = "rpc.method"
	keyOriginal    = "rpc.method_original"
	keyRPCType     = "rpc.type"
	keyStatus      = "rpc.grpc.status_code"
	keyCode        = "grpc.code"
	keyError       = "error.message"
	keyErrorType   = "error.type"
	keyCorrelation = "labels.correlation_id"
	keyTarget      = "labels.target"
	keyLeft        = "keelson.deadline_left"
	keyTimeout     = "keelson.timeout"
	keySource      = "labels.timeout_source"
	keyAttempts    = "keelson.attempts"
	keyReceived    = "keelson.messages.received"
	keySent        = "keelson.messages.sent"

	// keyDropped counts dropped lines, on the line that tells of them.
	keyDropped = "keelson.dropped_lines"
)

// The values of event.action on the line of a call.
const (
	actionServer = "server_call"
	actionClient = "client_call"
)

// Field describes one field of a log line.
type Field struct {
	// Name is the key in the JSON line.
	Name string
	// Type is string, integer or date.
	Type string
	// On tells which lines have it: every line, lines written with the context
	// of a call, or the line of a call.
	On string
	// Means says what the value is, with its unit.
	Means string
}

// Fields lists every field that this package writes, in the order of a line.
// Keys of slog attributes come after them, as the caller named them.
func Fields() []Field {
	const every, context, line = "every line", "every line of a call", "the line of a call"
	return []Field{
		{keyTime, "date", every, "when it was written, or when the call ended; RFC 3339, UTC, microseconds"},
		{keyLevel, "string", every, "debug, info, warn or error"},
		{keyMessage, "string", every, "what happened; on the line of a call, the method's name and the code"},
		{keyECS, "string", every, "the version of the Elastic Common Schema: " + ecsVersion},
		{keyService, "string", every, "the service"},
		{keyVersion, "string", every, "its version"},
		{keyNode, "string", every, "its instance"},
		{keyEnvironment, "string", every, "where it runs, such as production"},
		{keyTrace, "string", context, "the W3C trace ID, 32 hex digits; unsampled calls have one too"},
		{keySpan, "string", context, "the span ID, 16 hex digits"},
		{keyCorrelation, "string", context, "the correlation ID, which follows a request through every service"},
		{keyRPCService, "string", context, "the full name of the gRPC service; unknown for methods that nothing serves"},
		{keyRPCMethod, "string", context, "the name of the method"},
		{keyAction, "string", line, actionServer + " or " + actionClient},
		{keyOutcome, "string", line, "success, failure, or unknown when the call was cancelled"},
		{keyDuration, "integer", line, "how long the call took, in nanoseconds"},
		{keyRPCType, "string", line, "unary, client_stream, server_stream or bidi_stream"},
		{keyStatus, "integer", line, "the number of the gRPC status code"},
		{keyCode, "string", line, "its name, such as NOT_FOUND"},
		{keyOriginal, "string", line, "on a server, for a method that nothing serves: the name that the caller used, cut at 256 bytes"},
		{"client.address", "string", line, "on a server: the address of the peer"},
		{"client.port", "integer", line, "on a server: its port"},
		{"server.address", "string", line, "on a client: the address of the instance that answered"},
		{"server.port", "integer", line, "on a client: its port"},
		{keyTarget, "string", line, "on a client: what was dialled"},
		{keyLeft, "integer", line, "what was left of the deadline when the call ended, in nanoseconds; negative when it had passed; absent without a deadline"},
		{keyTimeout, "integer", line, "on DEADLINE_EXCEEDED: how long the call was allowed to take, in nanoseconds"},
		{keySource, "string", line, "on DEADLINE_EXCEEDED: what set that bound"},
		{keyAttempts, "integer", line, "on a client: how often the call was sent"},
		{keyReceived, "integer", line, "on a stream: messages received"},
		{keySent, "integer", line, "on a stream: messages sent"},
		{keyErrorType, "string", line, "the reason of the error (ErrorInfo), such as USER_NOT_FOUND"},
		{keyError, "string", line, "the text of the error, cut at 1 KiB; also on any record with an error under the key error or err"},
		{keyDropped, "integer", "the line after a blockage", "how many lines were dropped since the last such line"},
	}
}
