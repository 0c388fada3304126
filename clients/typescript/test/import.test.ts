import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { importUsers, KeelsonError, rowsOf } from "../src/common.js";
import type { ImportOptions, ImportProgress, ImportResult, ImportRow, UnreadableRow } from "../src/common.js";
import { TestClock } from "./clock.js";

interface Sent {
  importId: string;
  items: { sequence: number; userId: string; email: string }[];
  headers: Headers;
}
type Answer = (sent: Sent) => Response | Promise<Response>;

const created = (sequence: number) => ({ result: { sequence: String(sequence), name: `users/u${sequence}` } });
const lines = (...messages: object[]) => new Response(messages.map((m) => JSON.stringify(m) + "\n").join(""), { headers: { "x-correlation-id": "of-the-server" } });
const all: Answer = ({ items, importId }) => lines({ started: { importId, window: 10 } }, ...items.map((i) => created(i.sequence)), { summary: {} });
const status = (code: Code, reason: string, message = "x") => ({ code, message, details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "user.keelson.dev" }] });

function read(body: string): Omit<Sent, "headers"> {
  const [first, ...rest] = body.trimEnd().split("\n").map((text) => JSON.parse(text));
  return { importId: first.start.importId, items: rest.map(({ item }) => ({ sequence: Number(item.sequence ?? 0), userId: item.userId ?? "", email: item.user.email })) };
}

/** Imports rows into a server that answers one request after another as it is told, and then all. */
async function importing(rows: Iterable<ImportRow | UnreadableRow> | AsyncIterable<ImportRow | UnreadableRow>, answers: Answer[], options: ImportOptions = {}) {
  const sent: Sent[] = [];
  const clock = new TestClock();
  const progress: ImportProgress[] = [];
  const results: ImportResult[] = [];
  const fetch = async (url: unknown, init: RequestInit = {}) => {
    assert.equal(url, "http://test.invalid/v1/users:import");
    init.signal?.throwIfAborted();
    const request = { ...read(String(init.body)), headers: new Headers(init.headers) };
    sent.push(request);
    return (answers[sent.length - 1] ?? all)(request);
  };
  const rest = { baseUrl: "http://test.invalid", headers: new Headers({ "x-api-key": "k" }), fetch: fetch as typeof globalThis.fetch };
  let error: unknown;
  try {
    for await (const result of importUsers({ rest }, rows, { clock, onProgress: (p) => progress.push(p), ...options })) {
      results.push(result);
    }
  } catch (caught) {
    error = caught;
  }
  return { sent, clock, progress, results, error, last: progress.at(-1) };
}

const users = (count: number): ImportRow[] => Array.from({ length: count }, (_, i) => ({ userId: `u${i}`, user: { email: `u${i}@example.com` } }));
const sequences = (sent: Sent[]) => sent.map((s) => s.items.map((i) => i.sequence));

test("rows are sent in chunks under one import ID, and each has a result", async () => {
  const { sent, results, last, error } = await importing(users(5), [], { chunkSize: 2 });
  assert.equal(error, undefined);
  assert.deepEqual(sequences(sent), [[0, 1], [2, 3], [4]]);
  assert.equal(new Set(sent.map((s) => s.importId)).size, 1);
  assert.deepEqual(sent[0]?.items[1], { sequence: 1, userId: "u1", email: "u1@example.com" });
  assert.deepEqual(results[4], { row: 4, outcome: "created", name: "users/u4", error: undefined });
  assert.deepEqual(last, { read: 5, bytes: 0, created: 5, replayed: 0, failed: 0, retrying: undefined });
});

test("requests carry the key, a correlation ID and their types", async () => {
  const { sent } = await importing(users(1), [], { importId: "mine" });
  const headers = sent[0]?.headers;
  assert.deepEqual([sent[0]?.importId, headers?.get("x-api-key"), headers?.get("content-type"), headers?.get("accept")], ["mine", "k", "application/x-ndjson", "application/x-ndjson"]);
  assert.match(headers?.get("x-correlation-id") ?? "", /^[0-9a-z]{26}$/);
});

test("a row that is wrong is a result, and the rest goes on", async () => {
  const bad = { result: { sequence: "1", error: { ...status(Code.AlreadyExists, "EMAIL_TAKEN", "taken"), details: [...status(Code.AlreadyExists, "EMAIL_TAKEN").details, { "@type": "x/not.known.Here" }] } } };
  const replayed = { result: { sequence: "2", name: "users/u2", replayed: true } };
  const { results, last } = await importing(users(3), [() => lines(created(0), bad, replayed)]);
  assert.deepEqual(results.map((r) => r.outcome), ["created", "failed", "replayed"]);
  const error = results[1]?.error;
  assert.deepEqual([error?.code, error?.reason, error?.message, error?.correlationId], [Code.AlreadyExists, "EMAIL_TAKEN", "taken", "of-the-server"]);
  assert.deepEqual([last?.created, last?.failed, last?.replayed], [1, 1, 1]);
});

for (const [name, answer] of [
  ["the server drains", () => lines(created(0), { error: status(Code.Unavailable, "DRAINING") })],
  ["the answer ends early", () => lines(created(0))],
  ["the answer is cut off", () => new Response(`${JSON.stringify(created(0))}\n{"resu`)],
  [
    "the connection breaks",
    () => {
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>({
        pull: (c) => (pulls++ ? c.error(new TypeError("network error")) : c.enqueue(new TextEncoder().encode(JSON.stringify(created(0)) + "\n"))),
      });
      return new Response(body);
    },
  ],
] as [string, Answer][]) {
  test(`what was not answered is sent again: ${name}`, async () => {
    const { sent, results, clock, progress, error } = await importing(users(3), [answer]);
    assert.equal(error, undefined);
    assert.deepEqual(sequences(sent), [[0, 1, 2], [1, 2]]);
    assert.equal(sent[0]?.importId, sent[1]?.importId);
    assert.deepEqual(results.map((r) => r.row), [0, 1, 2]);
    assert.deepEqual(clock.waits, [250]);
    assert.equal(progress.find((p) => p.retrying)?.retrying?.code, Code.Unavailable);
    assert.equal(progress.at(-1)?.retrying, undefined);
  });
}

for (const [name, answer] of [
  ["a network that is away", () => Promise.reject(new TypeError("fetch failed"))],
  ["a proxy that finds no backend", () => new Response("<html>", { status: 502 })],
  ["a limit", () => Response.json(status(Code.ResourceExhausted, "RATE_LIMITED"), { status: 429 })],
] as [string, Answer][]) {
  test(`a request is given up after its attempts: ${name}`, async () => {
    const { sent, error, clock } = await importing(users(1), Array<Answer>(9).fill(answer), { attempts: 4 });
    assert.ok(error instanceof KeelsonError && [Code.Unavailable, Code.ResourceExhausted].includes(error.code));
    assert.equal(sent.length, 4);
    assert.deepEqual(clock.waits, [250, 500, 1000]);
  });
}

for (const [name, answer, code, reason] of [
  ["a refusal", () => Response.json(status(Code.InvalidArgument, "INVALID_REQUEST"), { status: 400 }), Code.InvalidArgument, "INVALID_REQUEST"],
  ["a refusal in the stream", () => lines({ error: status(Code.InvalidArgument, "INVALID_REQUEST") }), Code.InvalidArgument, "INVALID_REQUEST"],
  ["an answer of something else", () => new Response("hello", { status: 404 }), Code.Unknown, ""],
] as [string, Answer, Code, string][]) {
  test(`an error that stays ends the import: ${name}`, async () => {
    const { sent, error } = await importing(users(1), [answer]);
    assert.ok(error instanceof KeelsonError);
    assert.deepEqual([sent.length, error.code, error.reason], [1, code, reason]);
  });
}

test("a signal ends the import as CANCELED", async () => {
  const end = new AbortController();
  const { sent, error, results } = await importing(users(4), [], { chunkSize: 2, signal: end.signal, onProgress: (p) => p.created === 2 && end.abort() });
  assert.ok(error instanceof KeelsonError && error.code === Code.Canceled);
  assert.deepEqual([sent.length, results.length], [1, 2]);
});

test("a consumer that leaves ends the import", async () => {
  let requests = 0;
  const fetch = async (_: unknown, init: RequestInit = {}) => {
    requests++;
    return all({ ...read(String(init.body)), headers: new Headers() });
  };
  const rest = { baseUrl: "", headers: new Headers(), fetch: fetch as typeof globalThis.fetch };
  for await (const result of importUsers({ rest }, users(9), { chunkSize: 2 })) {
    assert.equal(result.row, 0);
    break;
  }
  assert.equal(requests, 1);
});

async function rowsIn(text: string, name = "x.ndjson"): Promise<(ImportRow | UnreadableRow)[]> {
  const rows = [];
  for await (const row of rowsOf(new File([text], name))) {
    rows.push(row);
  }
  return rows;
}

const shown = (row: ImportRow | UnreadableRow) => ("unreadable" in row ? row.unreadable.message : [row.userId, row.user.email, row.user.displayName, row.user.labels]);

test("NDJSON is read line by line, and lines that are wrong are rows that are", async () => {
  const rows = await rowsIn(
    '\uFEFF{"userId":"a","user":{"email":"ä@x.org","labels":{"team":"x"}}}\r\n\n{"user_id":"b","email":"b@x.org"}\n{"email"\n[]\n{"email":"c","colour":1}',
  );
  assert.deepEqual(rows.slice(0, 2).map(shown), [["a", "ä@x.org", "", { team: "x" }], ["b", "b@x.org", "", {}]]);
  assert.match(String(shown(rows[2]!)), /^line 4: /);
  assert.match(String(shown(rows[3]!)), /^line 5: want a JSON object/);
  assert.match(String(shown(rows[4]!)), /^line 6: .*colour/);
});

test("CSV is read by its column names", async () => {
  const rows = await rowsIn('email,user_id,display_name,labels.team\na@x.org,aaaa,"Ada, ""Countess""",infra\nb@x.org,,,\nc@x.org,"x\nd,e\n', "users.CSV");
  assert.deepEqual(rows.slice(0, 2).map(shown), [["aaaa", "a@x.org", 'Ada, "Countess"', { team: "infra" }], ["", "b@x.org", "", {}]]);
  assert.match(String(shown(rows[2]!)), /^line 4: a quote is out of place in field 2/);
  assert.match(String(shown(rows[3]!)), /^line 5: 2 fields, want 4/);
});

for (const [name, header, want] of [
  ["unknown", "email,colour", /"colour"; want user_id/],
  ["missing", "user_id", /no column email/],
] as const) {
  test(`CSV whose columns are wrong is an error: ${name}`, async () => {
    await assert.rejects(rowsIn(header, "x.csv"), (error) => error instanceof KeelsonError && want.test(error.message));
  });
}

test("rows know how far the file was read", async () => {
  const rows = await rowsIn('{"email":"ä"}\r\n{"email":"b"}');
  assert.deepEqual(rows.map((r) => r.end), [16, 29]);
});

test("a row that cannot be read is a failed result, and has a number of its own", async () => {
  const { results, sent, last } = await importing(rowsOf(new Blob(['{"email":"a"}\nx\n{"email":"c"}\n'])), []);
  assert.deepEqual(sequences(sent), [[0, 2]]);
  assert.deepEqual(results.map((r) => [r.row, r.outcome, r.error?.reason]), [[1, "failed", "ROW_UNREADABLE"], [0, "created", undefined], [2, "created", undefined]]);
  assert.equal(last?.bytes, 30);
});
