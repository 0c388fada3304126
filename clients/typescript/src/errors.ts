import { createRegistry, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, JsonObject, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
  file_google_rpc_error_details,
} from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { correlationOf } from "./ids.js";

/** One field of a request that is not as it should be. */
export interface FieldViolation {
  /** The path of the field as in the request: `user.email`. */
  readonly field: string;
  /** UPPER_SNAKE_CASE, or the ID of a validation rule. */
  readonly reason: string;
  /** What would be right, in words. */
  readonly description: string;
}

/** A detail as it came: the full name of its type, and its bytes. */
export interface RawDetail {
  readonly type: string;
  readonly value: Uint8Array;
}

/** Reasons of errors that this package makes itself, with {@link clientDomain}. */
export const clientReasons = {
  /** The connection could not be made or broke; whether the server acted is not known. */
  connectionLost: "CONNECTION_LOST",
  /** A stream was silent for longer than its server lets it be. */
  silent: "STREAM_SILENT",
  /** A line of an imported file cannot be read. */
  badRow: "ROW_UNREADABLE",
} as const;

/** The domain of {@link clientReasons}. */
export const clientDomain = "client.keelson.dev";

interface ErrorParts {
  code: Code;
  message: string;
  details?: readonly RawDetail[];
  correlationId?: string;
  reason?: string;
  cause?: unknown;
}

/**
 * KeelsonError is every error that a call of this package ends with. Decide by
 * {@link code} and {@link reason}, never by the text.
 */
export class KeelsonError extends Error {
  override readonly name = "KeelsonError";
  /** The gRPC code, the same over every protocol. */
  readonly code: Code;
  /** Says what went wrong in UPPER_SNAKE_CASE, within {@link domain}; "" when the server gave none. */
  readonly reason: string;
  /** Whose reason it is, such as `user.keelson.dev`. */
  readonly domain: string;
  /** What the reason comes with, such as `current_etag`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields of the request that are wrong; empty for other errors. */
  readonly fieldViolations: readonly FieldViolation[];
  /** How many milliseconds the server asks to wait before the call is tried again. */
  readonly retryAfterMs: number | undefined;
  /** What to quote when asking for help: services log it and traces carry it. */
  readonly correlationId: string;
  /** All details as they came; see {@link findDetails}. */
  readonly details: readonly RawDetail[];

  constructor(parts: ErrorParts) {
    super(parts.message, { cause: parts.cause });
    this.code = parts.code;
    this.details = parts.details ?? [];
    const info = this.findDetails(ErrorInfoSchema)[0];
    this.reason = info?.reason ?? parts.reason ?? "";
    this.domain = info?.domain ?? (parts.reason === undefined ? "" : clientDomain);
    this.metadata = info?.metadata ?? {};
    this.fieldViolations = this.findDetails(BadRequestSchema).flatMap((d) =>
      d.fieldViolations.map(({ field, reason, description }) => ({ field, reason, description })),
    );
    const delay = this.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.retryAfterMs = delay && durationMs(delay);
    this.correlationId = parts.correlationId || (this.findDetails(RequestInfoSchema)[0]?.requestId ?? "");
  }

  /**
   * The details of one type: `error.findDetails(PreconditionFailureSchema)`. The
   * schemas are in `@keelson/client/gen/google/rpc/error_details_pb`. What does
   * not decode is left out.
   */
  findDetails<D extends DescMessage>(schema: D): MessageShape<D>[] {
    return this.details.flatMap((detail) => {
      if (detail.type !== schema.typeName) {
        return [];
      }
      try {
        return [fromBinary(schema, detail.value)];
      } catch {
        return [];
      }
    });
  }

  /** Tells that the connection failed, not the server: nothing was answered. */
  get isNetworkFailure(): boolean {
    return this.domain === clientDomain && this.reason === clientReasons.connectionLost;
  }

  /** Makes a KeelsonError of whatever was caught; one stays what it is. */
  static from(caught: unknown, correlationId = ""): KeelsonError {
    if (caught instanceof KeelsonError) {
      return caught;
    }
    const error = ConnectError.from(caught);
    const parts: ErrorParts = {
      code: error.code,
      message: error.rawMessage,
      details: incoming(error),
      correlationId: correlationOf(error.metadata) || correlationId,
      cause: caught,
    };
    if (lostConnection(error)) {
      parts.code = Code.Unavailable;
      parts.reason = clientReasons.connectionLost;
    }
    return new KeelsonError(parts);
  }

  /** Makes a KeelsonError of a google.rpc.Status, such as the error of an imported row. */
  static fromStatus(status: Status, correlationId = ""): KeelsonError {
    return new KeelsonError({
      code: status.code,
      message: status.message,
      details: status.details.map((any) => ({ type: afterSlash(any.typeUrl), value: any.value })),
      correlationId,
    });
  }

  /**
   * Makes a KeelsonError of the JSON of a google.rpc.Status, as REST answers it.
   * Details of types that this package does not know are left out.
   */
  static fromStatusJson(json: JsonValue, correlationId = ""): KeelsonError {
    const status = isObject(json) ? json : {};
    const details = Array.isArray(status["details"]) ? status["details"] : [];
    return new KeelsonError({
      code: knownCode(status["code"]),
      message: typeof status["message"] === "string" ? status["message"] : "the server gave no reason",
      details: details.flatMap(detailFromJson),
      correlationId,
    });
  }
}

// Details that connect made from the wire have a type; those that code of this
// process gave an error to be sent have a schema.
function incoming(error: ConnectError): RawDetail[] {
  return error.details.flatMap((d) => ("type" in d ? [{ type: d.type, value: d.value }] : []));
}

const registry = /*@__PURE__*/ createRegistry(file_google_rpc_error_details);

function detailFromJson(json: JsonValue): RawDetail[] {
  if (!isObject(json)) {
    return [];
  }
  const { "@type": url, ...rest } = json;
  const schema = typeof url === "string" ? registry.getMessage(afterSlash(url)) : undefined;
  if (!schema) {
    return [];
  }
  try {
    const message = fromJson(schema, rest, { ignoreUnknownFields: true });
    return [{ type: schema.typeName, value: toBinary(schema, message) }];
  } catch {
    return [];
  }
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function knownCode(code: JsonValue | undefined): Code {
  return typeof code === "number" && code in Code ? code : Code.Unknown;
}

function afterSlash(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1);
}

// Codes under which connect reports, without an answer of the server, a
// connection that broke or an answer that was cut short.
const brokenAnswer = new Set([Code.InvalidArgument, Code.DataLoss, Code.Internal]);

/** Tells that an error was made on this side, because no whole answer arrived. */
function lostConnection(error: ConnectError): boolean {
  if (error.isWireError || [...error.metadata].length > 0) {
    return false; // a server or proxy answered
  }
  for (let cause = error.cause; cause !== undefined; ) {
    // fetch rejects with a TypeError, Node with an error that has a code; connect
    // throws a text when an answer is cut short.
    if (cause instanceof TypeError || typeof cause === "string" || hasNodeCode(cause)) {
      return true;
    }
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return error.cause === undefined && brokenAnswer.has(error.code);
}

function hasNodeCode(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string";
}
