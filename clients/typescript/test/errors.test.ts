import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { clientDomain, KeelsonError } from "../src/common.js";
import { BadRequestSchema, ErrorInfoSchema, HelpSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import { UserService } from "../src/gen/user/v1/user_pb.js";
import { TestClock } from "./clock.js";
import { clientOf, fault } from "./server.js";

async function failing(error: ConnectError): Promise<KeelsonError> {
  const { users } = clientOf((router) => router.rpc(UserService.method.updateUser, () => Promise.reject(error)), { clock: new TestClock() });
  return users.updateUser({}).then(
    () => assert.fail("the call succeeded"),
    (caught: unknown) => {
      assert.ok(caught instanceof KeelsonError);
      return caught;
    },
  );
}

test("an error of a call carries code, reason, metadata and the server's correlation ID", async () => {
  const error = await failing(fault(Code.Aborted, "ETAG_MISMATCH", { current_etag: '"7"' }));
  assert.equal(error.code, Code.Aborted);
  assert.equal(error.reason, "ETAG_MISMATCH");
  assert.equal(error.domain, "user.keelson.dev");
  assert.deepEqual({ ...error.metadata }, { current_etag: '"7"' });
  assert.equal(error.message, "ETAG_MISMATCH happened");
  assert.equal(error.correlationId, "of-the-server");
  assert.equal(error.retryAfterMs, undefined);
  assert.equal(error.isNetworkFailure, false);
});

test("an error of a call carries its field violations, and details of any type", async () => {
  const given = new ConnectError("wrong", Code.InvalidArgument, undefined, [
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "user.email", reason: "EMAIL", description: "want an address" }] } },
    { desc: HelpSchema, value: { links: [{ url: "https://example.com" }] } },
  ]);
  const error = await failing(given);
  assert.deepEqual(error.fieldViolations, [{ field: "user.email", reason: "EMAIL", description: "want an address" }]);
  assert.equal(error.findDetails(HelpSchema)[0]?.links[0]?.url, "https://example.com");
  assert.deepEqual(error.findDetails(ErrorInfoSchema), []);
});

test("a correlation ID that came as header and as trailer is one", () => {
  const error = new ConnectError("x", Code.NotFound, [["x-correlation-id", "one"], ["x-correlation-id", "one"]]);
  assert.equal(KeelsonError.from(error).correlationId, "one");
});

test("an error carries how long to wait", async () => {
  assert.equal((await failing(fault(Code.ResourceExhausted, "RATE_LIMITED", {}, 1500))).retryAfterMs, 1500);
});

test("an error that no server gave has the correlation ID that was sent", async () => {
  const error = await failing(new ConnectError("no", Code.Internal));
  assert.match(error.correlationId, /^[0-9a-z]{26}$/);
});

for (const [name, caught, lost] of [
  ["fetch that reached nobody", new ConnectError("x", Code.Unknown, undefined, undefined, new TypeError("fetch failed")), true],
  ["an answer without its end", ConnectError.from("missing trailer"), true],
  ["a message that was cut off", new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument), true],
  ["a reset connection in Node", new ConnectError("x", Code.Aborted, undefined, undefined, Object.assign(new Error("x"), { code: "ECONNRESET" })), true],
  ["an HTTP error of a proxy", new ConnectError("HTTP 413", Code.Unknown, { server: "proxy" }), false],
  ["a fault of the program", new Error("oops"), false],
  ["a deadline", new ConnectError("late", Code.DeadlineExceeded), false],
] as const) {
  test(`whether the connection was lost is told: ${name}`, () => {
    const error = KeelsonError.from(caught);
    assert.equal(error.isNetworkFailure, lost);
    assert.equal(error.code === Code.Unavailable, lost);
    assert.equal(error.domain, lost ? clientDomain : "");
    assert.equal(error.cause, caught);
  });
}

test("a KeelsonError stays itself, and is not taken for others", () => {
  const error = new KeelsonError({ code: Code.NotFound, message: "x" });
  assert.equal(KeelsonError.from(error), error);
  assert.equal(new ConnectError("x") instanceof KeelsonError, false);
});

test("a status has the same content as message and as JSON", () => {
  const message = create(StatusSchema, {
    code: Code.AlreadyExists,
    message: "taken",
    details: [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "EMAIL_TAKEN", domain: "user.keelson.dev", metadata: { a: "b" } }))],
  });
  const json = {
    code: 6,
    message: "taken",
    details: [
      { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "EMAIL_TAKEN", domain: "user.keelson.dev", metadata: { a: "b" } },
      { "@type": "type.googleapis.com/nobody.knows.This", x: 1 },
    ],
  };
  for (const error of [KeelsonError.fromStatus(message, "c"), KeelsonError.fromStatusJson(json, "c")]) {
    assert.deepEqual(
      [error.code, error.message, error.reason, error.domain, { ...error.metadata }, error.correlationId],
      [Code.AlreadyExists, "taken", "EMAIL_TAKEN", "user.keelson.dev", { a: "b" }, "c"],
    );
  }
});

test("JSON that is no status is an error without a reason", () => {
  for (const json of [null, 7, [], { code: 99, details: 3 }, { details: [null, { "@type": 1 }] }]) {
    const error = KeelsonError.fromStatusJson(json);
    assert.deepEqual([error.code, error.reason], [Code.Unknown, ""]);
  }
});

test("broken details are left out", () => {
  const error = new KeelsonError({ code: Code.Internal, message: "x", details: [{ type: "google.rpc.ErrorInfo", value: new Uint8Array([255]) }] });
  assert.equal(error.reason, "");
  assert.equal(error.details.length, 1);
});
