import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { KeelsonError, watchServices, watchUsers } from "../src/common.js";
import type { UserEvent, WatchState, WatchUsersOptions } from "../src/common.js";
import { PlatformService, WatchServicesResponse_Type } from "../src/gen/keelson/platform/v1/platform_pb.js";
import { UserService, WatchUsersResponse_Type } from "../src/gen/user/v1/user_pb.js";
import type { WatchUsersRequest, WatchUsersResponseSchema } from "../src/gen/user/v1/user_pb.js";
import { TestClock } from "./clock.js";
import { clientOf, fault } from "./server.js";

type Message = MessageInitShape<typeof WatchUsersResponseSchema>;
/** What one stream sends before it ends: with an error, with OK, or (hang) not at all. */
type Script = { send?: Message[]; end?: ConnectError | "ok" | "hang" };

const { ADDED, MODIFIED, DELETED, BOOKMARK } = WatchUsersResponse_Type;
const change = (type: WatchUsersResponse_Type, name: string, revision: string): Message => ({ type, user: { name }, revision });
const initial = (revision: string, ...names: string[]): Message[] => [
  ...names.map((name) => change(ADDED, name, "")),
  { type: BOOKMARK, revision, initialStateEnd: true },
];
const bookmark = (revision: string): Message => ({ type: BOOKMARK, revision });

/** Watches a server that follows a script, a line for each stream, until so many events came. */
async function watching(scripts: Script[], count: number, options: WatchUsersOptions = {}) {
  const requests: WatchUsersRequest[] = [];
  const states: WatchState[] = [];
  const events: string[] = [];
  const clock = new TestClock();
  const { users } = clientOf((router) =>
    router.rpc(UserService.method.watchUsers, async function* (request, { signal }) {
      const { send = [], end = "hang" } = scripts[requests.length] ?? {};
      requests.push(request);
      yield* send;
      if (end === "hang") {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      } else if (end !== "ok") {
        throw end;
      }
    }),
  );
  let error: unknown;
  try {
    for await (const event of watchUsers(users, { silenceMs: 1e6, clock, onState: (state) => states.push(state), ...options })) {
      events.push(shown(event));
      if (events.length === count) {
        break;
      }
    }
  } catch (caught) {
    error = caught;
  }
  return { requests, states: states.map((s) => s.kind), full: states, events, clock, error, starts: requests.map((r) => r.startRevision) };
}

function shown(event: UserEvent): string {
  switch (event.kind) {
    case "reset":
      return `reset ${event.reason}`;
    case "synced":
    case "bookmark":
      return `${event.kind} ${event.revision}`;
    default:
      return `${event.kind} ${event.user.name}${event.initial ? " initial" : ` ${event.revision}`}`;
  }
}

const broken = new ConnectError("away", Code.Unavailable);

test("a watch tells the users as they are, then changes", async () => {
  const { events, requests, states } = await watching(
    [{ send: [...initial("5", "a", "b"), change(MODIFIED, "a", "6"), bookmark("7"), change(DELETED, "b", "8")] }],
    7,
    { filter: "labels:x", showDeleted: true },
  );
  assert.deepEqual(events, ["reset start", "added a initial", "added b initial", "synced 5", "modified a 6", "bookmark 7", "deleted b 8"]);
  assert.deepEqual([requests[0]?.filter, requests[0]?.showDeleted, requests[0]?.includeInitialState], ["labels:x", true, true]);
  assert.deepEqual(states, ["connecting", "live", "closed"]);
});

test("a broken stream is gone on with after its last revision, and the waits grow", async () => {
  const { events, starts, states, clock } = await watching(
    [{ send: initial("5"), end: broken }, { end: broken }, { end: broken }, { send: [change(MODIFIED, "a", "6")], end: broken }, { send: [change(MODIFIED, "a", "7")] }],
    4,
  );
  assert.deepEqual(events, ["reset start", "synced 5", "modified a 6", "modified a 7"]);
  assert.deepEqual(starts, ["", "5", "5", "5", "6"]);
  assert.deepEqual(clock.waits, [250, 500, 1000, 250]);
  assert.deepEqual(states, ["connecting", "live", "waiting", "connecting", "waiting", "connecting", "waiting", "connecting", "live", "waiting", "connecting", "live", "closed"]);
});

test("waits do not grow beyond their cap", async () => {
  const { clock } = await watching([...Array<Script>(8).fill({ end: broken }), { send: initial("1") }], 1);
  assert.equal(Math.max(...clock.waits), 3000);
  assert.equal(clock.waits.length, 8);
});

test("a server that asks to wait is waited for", async () => {
  const { clock } = await watching([{ end: fault(Code.ResourceExhausted, "RATE_LIMITED", {}, 9000) }, { send: initial("1") }], 1);
  assert.deepEqual(clock.waits, [9000]);
});

for (const [name, end] of [
  ["DRAINING", fault(Code.Unavailable, "DRAINING", { resume_token: "9" })],
  ["WATCH_EXPIRED", fault(Code.Aborted, "WATCH_EXPIRED", { resume_token: "9" })],
  ["SLOW_CONSUMER", fault(Code.Aborted, "SLOW_CONSUMER", { resume_token: "9" })],
] as const) {
  test(`what the server ends in good order is gone on with at once, from its token: ${name}`, async () => {
    const { starts, states, clock } = await watching([{ send: initial("5"), end }, { send: [change(ADDED, "a", "10")] }], 3);
    assert.deepEqual(starts, ["", "9"]);
    assert.deepEqual(states, ["connecting", "live", "closed"]);
    assert.deepEqual(clock.waits, []);
  });
}

test("a stream that ends with OK is opened again", async () => {
  const { starts, states } = await watching([{ send: initial("5"), end: "ok" }, { send: [bookmark("6")] }], 3);
  assert.deepEqual([starts, states], [["", "5"], ["connecting", "live", "closed"]]);
});

test("streams that end at once are not opened in a hurry", async () => {
  const draining = fault(Code.Unavailable, "DRAINING");
  const { clock } = await watching([{ end: draining }, { end: "ok" }, { send: initial("5") }], 1);
  assert.deepEqual(clock.waits, [250, 500]);
});

test("the users as they are come again when the stream broke within them", async () => {
  const { events, starts } = await watching([{ send: [change(ADDED, "a", "")], end: broken }, { send: initial("5", "a") }], 5);
  assert.deepEqual(events, ["reset start", "added a initial", "reset interrupted", "added a initial", "synced 5"]);
  assert.deepEqual(starts, ["", ""]);
});

for (const reason of ["REVISION_COMPACTED", "REVISION_UNKNOWN"]) {
  test(`the users as they are come again when the revision is lost: ${reason}`, async () => {
    const lost = fault(Code.OutOfRange, reason);
    const { events, starts, states, clock, requests } = await watching([{ end: lost }, { send: initial("5", "a") }], 3, { startRevision: "2" });
    assert.deepEqual(events, ["reset lost", "added a initial", "synced 5"]);
    assert.deepEqual(starts, ["2", ""]);
    assert.equal(requests[1]?.includeInitialState, true);
    assert.deepEqual(states, ["connecting", "resyncing", "connecting", "live", "closed"]);
    assert.deepEqual(clock.waits, []);
  });
}

test("a caller who lists says where to go on", async () => {
  const reasons: string[] = [];
  const relist = async (error: KeelsonError) => {
    reasons.push(error.reason);
    return "40";
  };
  const { events, starts } = await watching([{ end: fault(Code.OutOfRange, "REVISION_COMPACTED") }, { send: [change(ADDED, "a", "41")] }], 1, { startRevision: "2", relist });
  assert.deepEqual([events, starts, reasons], [["added a 41"], ["2", "40"], ["REVISION_COMPACTED"]]);
});

test("a list that fails is made again after a wait", async () => {
  let tries = 0;
  const relist = async () => {
    if (++tries < 3) {
      throw new KeelsonError({ code: Code.Unavailable, message: "away" });
    }
    return "40";
  };
  const lost = fault(Code.OutOfRange, "REVISION_COMPACTED");
  const { starts, clock, states } = await watching([{ end: lost }, { send: [bookmark("41")] }], 1, { startRevision: "2", relist });
  assert.deepEqual(starts, ["2", "40"]);
  assert.deepEqual(clock.waits, [250, 500]);
  assert.deepEqual(states, ["connecting", "resyncing", "waiting", "resyncing", "waiting", "resyncing", "connecting", "live", "closed"]);
});

test("a revision that is lost each time does not make a busy loop", async () => {
  const lost = fault(Code.OutOfRange, "REVISION_COMPACTED");
  const { clock } = await watching([...Array<Script>(6).fill({ end: lost }), { send: [bookmark("41")] }], 1, { startRevision: "2", relist: async () => "3" });
  assert.ok(clock.waits.length >= 4, `${clock.waits.length} waits`);
});

test("an error that stays ends the watch with it", async () => {
  const { error, full } = await watching([{ end: fault(Code.InvalidArgument, "INVALID_REQUEST") }], 1);
  assert.ok(error instanceof KeelsonError && error.code === Code.InvalidArgument);
  const last = full.at(-1);
  assert.ok(last?.kind === "closed" && last.error === error);
});

test("an aborted signal ends the watch without an error", async () => {
  const end = new AbortController();
  const { error, states } = await watching([{ send: initial("5") }], 99, {
    signal: end.signal,
    onState: (state) => state.kind === "live" && end.abort(),
  });
  assert.equal(error, undefined);
  assert.deepEqual(states, []); // told to the other one
});

test("a signal that is aborted already opens nothing", async () => {
  const { requests, states, error } = await watching([], 1, { signal: AbortSignal.abort() });
  assert.deepEqual([requests.length, states, error], [0, ["connecting", "closed"], undefined]);
});

test("changes from now on begin without users, and go on as others do", async () => {
  const { events, requests } = await watching([{ send: [bookmark("5")], end: broken }, { send: [change(ADDED, "a", "6")] }], 2, { initialState: false });
  assert.deepEqual(events, ["bookmark 5", "added a 6"]);
  assert.equal(requests[0]?.includeInitialState, false);
  assert.equal(requests[1]?.startRevision, "5");
});

test("a stream that is silent for too long is opened again", async () => {
  const clock = new TestClock();
  const result = watching([{}, { send: initial("5") }], 2, { clock });
  await clock.fire(); // it waits for the first message
  const { starts, full } = await result;
  assert.deepEqual(starts, ["", ""]);
  assert.ok(full.some((state) => state.kind === "waiting" && state.error.reason === "STREAM_SILENT"));
});

test("services come with each stream, then their updates", async () => {
  const { SNAPSHOT, UPDATE, REMOVE, HEARTBEAT } = WatchServicesResponse_Type;
  let streams = 0;
  const { platform } = clientOf((router) =>
    router.rpc(PlatformService.method.watchServices, async function* (request, { signal }) {
      streams++;
      assert.equal(request.interval?.nanos, 500_000_000);
      yield { type: SNAPSHOT, service: { name: "services/a" } };
      yield { type: SNAPSHOT, service: { name: "services/b" }, snapshotEnd: true };
      yield { type: UPDATE, service: { name: "services/a" } };
      if (streams === 1) {
        throw fault(Code.Unavailable, "DRAINING");
      }
      yield { type: HEARTBEAT };
      yield { type: REMOVE, service: { name: "services/a" } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }),
  );
  const kinds: string[] = [];
  const states: string[] = [];
  for await (const event of watchServices(platform, { intervalMs: 500, clock: new TestClock(), silenceMs: 1e6, onState: (s) => states.push(s.kind) })) {
    kinds.push(event.kind === "service" ? `${event.service.name}${event.initial ? " initial" : ""}` : event.kind);
    if (event.kind === "removed") {
      break;
    }
  }
  const stream = ["reset", "services/a initial", "services/b initial", "synced", "services/a"];
  assert.deepEqual(kinds, [...stream, ...stream, "heartbeat", "removed"]);
  assert.deepEqual(states, ["connecting", "live", "closed"]);
});
