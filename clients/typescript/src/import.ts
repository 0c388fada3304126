import { create, fromJson, toJson } from "@bufbuild/protobuf";
import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { RestEndpoint } from "./client.js";
import { systemClock } from "./clock.js";
import type { Clock } from "./clock.js";
import { clientReasons, KeelsonError } from "./errors.js";
import { ImportUsersRequestSchema, ImportUsersResponseSchema } from "./gen/user/v1/user_pb.js";
import type { ImportUsersResponse_Result } from "./gen/user/v1/user_pb.js";
import { correlationHeader, newCorrelationId, newUuid } from "./ids.js";
import { linesOf } from "./lines.js";
import { backoffMs } from "./retry.js";
import type { ImportRow, UnreadableRow } from "./rows.js";

/** What became of one row. */
export interface ImportResult {
  /** The number of the row, from 0. */
  readonly row: number;
  /** `replayed`: it was stored before, by this import or an earlier one with the same ID. */
  readonly outcome: "created" | "replayed" | "failed";
  /** The name of the user; "" when it failed. */
  readonly name: string;
  /** Why it failed; its field violations are as those of CreateUser. */
  readonly error: KeelsonError | undefined;
}

/** How far an import is. */
export interface ImportProgress {
  /** Rows that were read, and how many bytes of their file that took. */
  readonly read: number;
  readonly bytes: number;
  readonly created: number;
  readonly replayed: number;
  readonly failed: number;
  /** What broke the last request, while it is being tried again. */
  readonly retrying: KeelsonError | undefined;
}

/** How {@link importUsers} works. */
export interface ImportOptions {
  /** The name of the import: run again under the same one, no row is stored twice (for 24 h). Default: a new UUID. */
  importId?: string;
  /** Rows per request. Default 500. */
  chunkSize?: number;
  /** Ends the import: CANCELED. What was acknowledged is stored. */
  signal?: AbortSignal;
  /** Called after each row that was answered, and when a request is tried again. */
  onProgress?: (progress: ImportProgress) => void;
  /** How often a request is sent without any row being answered, the first time included. Default 6. */
  attempts?: number;
  /** The wait before a request is sent again, in milliseconds; doubled for each time. Default 250, up to 3000. */
  initialBackoffMs?: number;
  maxBackoffMs?: number;
  /** For tests. */
  clock?: Clock;
}

/**
 * Imports users over REST (POST /v1/users:import), which works in browsers, and
 * yields what became of each row as it is answered:
 *
 *     for await (const result of importUsers(client, rowsOf(file), { onProgress, signal })) { ... }
 *
 * Rows are read as they are needed and sent in chunks, one after another. A
 * request that breaks is sent again with the rows that were not answered; the
 * server knows those that it has stored. A row that is wrong is a result, not
 * the end. It throws what ends the import; run it again with the same `importId`.
 */
export async function* importUsers(
  client: { readonly rest: RestEndpoint },
  rows: Iterable<ImportRow | UnreadableRow> | AsyncIterable<ImportRow | UnreadableRow>,
  options: ImportOptions = {},
): AsyncGenerator<ImportResult, void, void> {
  const run = new Import(client.rest, options);
  let chunk = new Map<number, ImportRow>();
  for await (const row of rows) {
    const sequence = run.reads(row);
    if ("unreadable" in row) {
      yield run.count({ row: sequence, outcome: "failed", name: "", error: row.unreadable });
      continue;
    }
    chunk.set(sequence, row);
    if (chunk.size >= (options.chunkSize ?? 500)) {
      yield* run.send(chunk);
      chunk = new Map();
    }
  }
  yield* run.send(chunk);
}

/** Errors after which a chunk is sent again. */
const passing = new Set([Code.Unavailable, Code.Aborted, Code.ResourceExhausted, Code.DeadlineExceeded]);

class Import {
  private readonly rest: RestEndpoint;
  private readonly options: ImportOptions;
  private readonly id: string;
  private readonly clock: Clock;
  private progress: ImportProgress = { read: 0, bytes: 0, created: 0, replayed: 0, failed: 0, retrying: undefined };

  constructor(rest: RestEndpoint, options: ImportOptions) {
    this.rest = rest;
    this.options = options;
    this.id = options.importId ?? newUuid();
    this.clock = options.clock ?? systemClock;
  }

  /** Counts a row that was read, and returns its number. */
  reads(row: ImportRow | UnreadableRow): number {
    const sequence = this.progress.read;
    this.progress = { ...this.progress, read: sequence + 1, bytes: row.end ?? this.progress.bytes };
    return sequence;
  }

  /** Counts a result. */
  count(result: ImportResult): ImportResult {
    this.tell({ [result.outcome]: this.progress[result.outcome] + 1, retrying: undefined });
    return result;
  }

  /** Sends rows until each is answered, and takes them out of the chunk. */
  async *send(chunk: Map<number, ImportRow>): AsyncGenerator<ImportResult, void, void> {
    const { attempts = 6, initialBackoffMs = 250, maxBackoffMs = 3000, signal } = this.options;
    for (let failures = 0; chunk.size > 0; ) {
      const open = chunk.size;
      const correlationId = newCorrelationId();
      try {
        yield* this.request(chunk, correlationId);
      } catch (caught) {
        const error = signal?.aborted ? canceled(correlationId) : KeelsonError.from(caught, correlationId);
        failures = chunk.size < open ? 1 : failures + 1;
        if (!passing.has(error.code) || failures >= attempts) {
          throw error;
        }
        this.tell({ retrying: error });
        await this.clock.sleep(Math.max(error.retryAfterMs ?? 0, backoffMs(failures - 1, initialBackoffMs, maxBackoffMs, this.clock)), signal);
      }
    }
  }

  private tell(change: Partial<ImportProgress>): void {
    this.progress = { ...this.progress, ...change };
    this.options.onProgress?.(this.progress);
  }

  /** Makes one request, and yields the results of its rows. */
  private async *request(chunk: Map<number, ImportRow>, correlationId: string): AsyncGenerator<ImportResult, void, void> {
    const headers = new Headers(this.rest.headers);
    headers.set("content-type", "application/x-ndjson");
    headers.set("accept", "application/x-ndjson");
    headers.set(correlationHeader, correlationId);
    const response = await this.rest.fetch(`${this.rest.baseUrl}/v1/users:import`, {
      method: "POST",
      headers,
      body: this.body(chunk),
      signal: this.options.signal ?? null,
    });
    const id = response.headers.get(correlationHeader) ?? correlationId;
    if (!response.ok || !response.body) {
      throw await refusal(response, id);
    }
    for await (const { text } of linesOf(response.body)) {
      const result = text === "" ? undefined : this.result(parse(text, id), id);
      if (result && chunk.delete(result.row)) {
        yield this.count(result);
      }
    }
    if (chunk.size > 0) {
      throw lost("the answer ended before all rows were answered", id);
    }
  }

  private body(chunk: Map<number, ImportRow>): string {
    const lines = [line({ case: "start", value: { importId: this.id } })];
    for (const [sequence, { user, userId = "" }] of chunk) {
      lines.push(line({ case: "item", value: { sequence: BigInt(sequence), user, userId } }));
    }
    return lines.join("");
  }

  private result(json: JsonValue, correlationId: string): ImportResult | undefined {
    const error = (json as JsonObject)["error"];
    if (error !== undefined) {
      throw KeelsonError.fromStatusJson(error, correlationId);
    }
    const { message } = fromJson(ImportUsersResponseSchema, withoutUnknown(json), { ignoreUnknownFields: true });
    return message.case === "result" ? resultOf(message.value, json, correlationId) : undefined;
  }
}

function line(message: MessageInitShape<typeof ImportUsersRequestSchema>["message"] & object): string {
  return JSON.stringify(toJson(ImportUsersRequestSchema, create(ImportUsersRequestSchema, { message }))) + "\n";
}

function parse(text: string, correlationId: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw lost("the answer was cut off within a line", correlationId);
  }
}

// The JSON of a message with details of types that are not known here does not
// parse: the error of a row is read apart from it.
function withoutUnknown(json: JsonValue): JsonValue {
  const { result, ...rest } = json as JsonObject;
  if (typeof result !== "object" || result === null || Array.isArray(result) || !("error" in result)) {
    return json;
  }
  const { error: _, ...known } = result;
  return { ...rest, result: known };
}

function resultOf({ sequence, outcome, replayed }: ImportUsersResponse_Result, json: JsonValue, correlationId: string): ImportResult {
  const row = Number(sequence);
  const error = ((json as JsonObject)["result"] as JsonObject)["error"];
  if (error !== undefined) {
    return { row, outcome: "failed", name: "", error: KeelsonError.fromStatusJson(error, correlationId) };
  }
  return { row, outcome: replayed ? "replayed" : "created", name: outcome.case === "name" ? outcome.value : "", error: undefined };
}

/** The error of a request that was answered with an HTTP error. */
async function refusal(response: Response, correlationId: string): Promise<KeelsonError> {
  const json = (await response.json().catch(() => undefined)) as JsonObject | undefined;
  if (json && typeof json["code"] === "number") {
    return KeelsonError.fromStatusJson(json, correlationId);
  }
  const away = [429, 502, 503, 504].includes(response.status);
  return new KeelsonError({ code: away ? Code.Unavailable : Code.Unknown, message: `HTTP ${response.status} ${response.statusText}`.trim(), correlationId });
}

function lost(message: string, correlationId: string): KeelsonError {
  return new KeelsonError({ code: Code.Unavailable, reason: clientReasons.connectionLost, message, correlationId });
}

function canceled(correlationId: string): KeelsonError {
  return new KeelsonError({ code: Code.Canceled, message: "the import was ended", correlationId });
}
