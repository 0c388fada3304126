import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import type { HandlerContext } from "@connectrpc/connect";
import { attempts, KeelsonError } from "../src/common.js";
import type { CallInfo, KeelsonOptions } from "../src/common.js";
import { AuditService } from "../src/gen/audit/v1/audit_pb.js";
import { PlatformService } from "../src/gen/keelson/platform/v1/platform_pb.js";
import { UserService } from "../src/gen/user/v1/user_pb.js";
import { newCorrelationId, newUuid } from "../src/ids.js";
import { policyOf } from "../src/policy.js";
import { TestClock } from "./clock.js";
import { clientOf, fault } from "./server.js";

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const away = fault(Code.Unavailable, "DRAINING");

/** Clients of a user service that fails some times before it answers. */
function flaky(failures: number, error: ConnectError = away, options: Partial<KeelsonOptions> = {}) {
  const clock = new TestClock();
  const calls: CallInfo[] = [];
  const seen: { requestId: string; context: HandlerContext }[] = [];
  const answer = (request: object, context: HandlerContext) => {
    seen.push({ requestId: "requestId" in request ? String(request.requestId) : "", context });
    if (seen.length <= failures) {
      throw error;
    }
    return { name: "users/ada-l" };
  };
  const client = clientOf(
    (router) => {
      router.rpc(UserService.method.getUser, answer);
      router.rpc(UserService.method.createUser, answer);
      router.rpc(UserService.method.suspendUser, answer);
      router.rpc(UserService.method.watchUsers, async function* (_, context) {
        answer({}, context);
        yield { revision: "1" };
        throw error;
      });
    },
    { clock, onCall: (call) => calls.push(call), ...options },
  );
  return { ...client, clock, calls, seen };
}

const code = (want: Code) => (error: unknown) => error instanceof KeelsonError && error.code === want;

test("a read is sent again until it is answered, after growing waits", async () => {
  const { users, clock, calls, seen } = flaky(2);
  assert.equal((await users.getUser({ name: "users/ada-l" })).name, "users/ada-l");
  assert.equal(seen.length, 3);
  assert.deepEqual(clock.waits, [50, 100]);
  assert.deepEqual([calls[0]?.attempts, calls[0]?.method, calls[0]?.error], [3, "user.v1.UserService/GetUser", undefined]);
});

test("a call is given up after its attempts, with the last error", async () => {
  const { users, calls, seen } = flaky(9);
  await assert.rejects(users.getUser({}), code(Code.Unavailable));
  assert.equal(seen.length, 3);
  assert.deepEqual([calls.length, calls[0]?.attempts, calls[0]?.error?.reason], [1, 3, "DRAINING"]);
});

test("a write gets a request ID, the same for all attempts, and the request given is not changed", async () => {
  const { users, seen } = flaky(2);
  const request = { userId: "ada-l", requestId: "" };
  await users.createUser(request);
  assert.equal(seen.length, 3);
  assert.match(seen[0]?.requestId ?? "", uuid4);
  assert.equal(new Set(seen.map((s) => s.requestId)).size, 1);
  assert.equal(request.requestId, "");
});

test("a request ID that was given is kept", async () => {
  const { users, seen } = flaky(0);
  await users.createUser({ requestId: "mine" });
  assert.equal(seen[0]?.requestId, "mine");
});

test("each write has a request ID of its own", async () => {
  const { users, seen } = flaky(0);
  await users.createUser({});
  await users.createUser({});
  assert.notEqual(seen[0]?.requestId, seen[1]?.requestId);
});

for (const given of [Code.Internal, Code.Aborted, Code.ResourceExhausted, Code.DeadlineExceeded, Code.NotFound]) {
  test(`only UNAVAILABLE is tried again, not ${Code[given]}`, async () => {
    const { users, seen } = flaky(1, new ConnectError("x", given));
    await assert.rejects(users.getUser({}), code(given));
    assert.equal(seen.length, 1);
  });
}

test("a server that asks to wait is waited for", async () => {
  const { users, clock } = flaky(1, fault(Code.Unavailable, "OVERLOADED", {}, 700));
  await users.getUser({});
  assert.deepEqual(clock.waits, [700]);
});

test("a wait that the deadline does not leave is not begun", async () => {
  const { users, clock, seen } = flaky(1, fault(Code.Unavailable, "OVERLOADED", {}, 3000));
  await assert.rejects(users.getUser({}, { timeoutMs: 2000 }), code(Code.Unavailable));
  assert.deepEqual([seen.length, clock.waits], [1, []]);
});

test("a call may say how often it is sent", async () => {
  const { users, seen } = flaky(9);
  await assert.rejects(users.getUser({}, { contextValues: attempts(1) }));
  assert.equal(seen.length, 1);
});

test("the budget ends retries when half of it is gone", async () => {
  const { users, seen } = flaky(1000, away, { retry: { budget: { tokens: 10 } } });
  for (let i = 0; i < 10; i++) {
    await assert.rejects(users.getUser({}));
  }
  assert.ok(seen.length < 16, `${seen.length} attempts for 10 calls`);
});

test("a stream is opened again while it has sent nothing, and not after that", async () => {
  const { users, seen, calls } = flaky(2);
  const revisions: string[] = [];
  await assert.rejects(async () => {
    for await (const message of users.watchUsers({})) {
      revisions.push(message.revision);
    }
  }, code(Code.Unavailable));
  assert.deepEqual([revisions, seen.length], [["1"], 3]);
  assert.deepEqual([calls.length, calls[0]?.attempts], [1, 3]);
});

test("all attempts of a call have one correlation ID, and calls have different ones", async () => {
  const { users, seen, calls } = flaky(1);
  await users.getUser({});
  await users.getUser({});
  const sent = seen.map((s) => s.context.requestHeader.get("x-correlation-id"));
  assert.match(sent[0] ?? "", /^[0-9a-z]{26}$/);
  assert.equal(sent[0], sent[1]);
  assert.notEqual(sent[1], sent[2]);
  assert.equal(calls[0]?.correlationId, sent[0]);
});

test("the correlation ID that the server answers is taken over", async () => {
  const { users, calls } = flakyTrailer();
  await users.getUser({});
  assert.equal(calls[0]?.correlationId, "of-the-trailer");
});

function flakyTrailer() {
  const calls: CallInfo[] = [];
  const client = clientOf(
    (router) =>
      router.rpc(UserService.method.getUser, (_, context) => {
        context.responseTrailer.set("x-correlation-id", "of-the-trailer");
        return {};
      }),
    { onCall: (call) => calls.push(call) },
  );
  return { ...client, calls };
}

test("headers, the API key and a correlation ID of the caller's are sent", async () => {
  const { users, seen } = flaky(0, away, { apiKey: "k", headers: { "x-a": "1", "x-b": "2" } });
  await users.getUser({}, { headers: { "x-b": "3", "x-correlation-id": "mine" } });
  const header = seen[0]?.context.requestHeader;
  assert.deepEqual(["x-api-key", "x-a", "x-b", "x-correlation-id"].map((name) => header?.get(name)), ["k", "1", "3", "mine"]);
});

for (const [name, timeoutMs, option, want] of [
  ["of the contract", undefined, undefined, "2000"],
  ["of the client", undefined, 60_000, "60000"],
  ["of the call", 30_000, 60_000, "30000"],
] as const) {
  test(`a call has the deadline ${name}`, async () => {
    const { users, seen } = flaky(0, away, option === undefined ? {} : { timeoutMs: option });
    await users.getUser({}, timeoutMs === undefined ? {} : { timeoutMs });
    assert.equal(seen[0]?.context.requestHeader.get("connect-timeout-ms"), want);
  });
}

test("further attempts have what the deadline leaves", async () => {
  const { users, seen } = flaky(1);
  await users.getUser({});
  assert.deepEqual(seen.map((s) => s.context.requestHeader.get("connect-timeout-ms")), ["2000", "1950"]);
});

test("a call without a deadline has none, and neither has a stream", async () => {
  const { users, seen } = flaky(0, away, { timeoutMs: 0 });
  await users.getUser({});
  await users.watchUsers({})[Symbol.asyncIterator]().next();
  assert.deepEqual(seen.map((s) => s.context.timeoutMs()), [undefined, undefined]);
});

test("a deadline that passes is DEADLINE_EXCEEDED, with the correlation ID", async () => {
  const { users } = clientOf((router) => router.rpc(UserService.method.getUser, (_, { signal }) => ended(signal)));
  await assert.rejects(users.getUser({}, { timeoutMs: 1 }), (error) => code(Code.DeadlineExceeded)(error) && (error as KeelsonError).correlationId !== "");
});

test("a call that is cancelled ends as CANCELED", async () => {
  const cancel = new AbortController();
  const { users } = clientOf((router) =>
    router.rpc(UserService.method.getUser, (_, { signal }) => {
      cancel.abort();
      return ended(signal);
    }),
  );
  await assert.rejects(users.getUser({}, { signal: cancel.signal }), code(Code.Canceled));
});

function ended(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new ConnectError("ended", Code.Canceled))));
}

test("what may be sent twice comes from the contract", () => {
  const retryable = (service: typeof UserService | typeof AuditService | typeof PlatformService) =>
    service.methods.filter((m) => policyOf(m).retryable).map((m) => m.name);
  assert.deepEqual(
    retryable(UserService),
    UserService.methods.map((m) => m.name).filter((name) => name !== "ImportUsers"), // its client streams
  );
  assert.deepEqual(retryable(AuditService), ["GetChange", "ListChanges"]);
  assert.equal(policyOf(UserService.method.watchUsers).timeoutMs, undefined);
  assert.equal(policyOf(UserService.method.createUser).timeoutMs, 5000);
});

test("IDs have their form and differ", () => {
  const ids = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const [uuid, id] = [newUuid(), newCorrelationId()];
    assert.match(uuid, uuid4);
    assert.match(id, /^[0-9a-hjkmnp-tv-z]{26}$/);
    ids.add(uuid).add(id);
  }
  assert.equal(ids.size, 2000);
});
