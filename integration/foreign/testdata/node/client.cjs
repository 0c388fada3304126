// Calls the user and the audit service with grpc-js, and prints as JSON what it was
// answered.
//
//     node client.cjs DESCRIPTORS USER-ADDRESS AUDIT-ADDRESS
//
// The types come from a descriptor set; nothing is generated.
"use strict";

const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

// Milliseconds: beyond them something is stuck.
const TIMEOUT = 60_000;

const [descriptors, address, auditAddress] = process.argv.slice(2);
const types = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(descriptors), {
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { user, audit } = grpc.loadPackageDefinition(types);
const users = new user.v1.UserService(address, grpc.credentials.createInsecure());
const changes = new audit.v1.AuditService(auditAddress, grpc.credentials.createInsecure());

function decode(type, bytes) {
  return types[type].deserialize(bytes);
}

/** The code of an error, and what its details say. */
function told(error) {
  const answer = { code: error.code, fields: [] };
  const [status] = error.metadata.get("grpc-status-details-bin");
  for (const detail of status ? decode("google.rpc.Status", status).details : []) {
    const type = detail.type_url.split("/").pop();
    if (type === "google.rpc.ErrorInfo") {
      const { reason, domain } = decode(type, detail.value);
      Object.assign(answer, { reason, domain });
    } else if (type === "google.rpc.BadRequest") {
      answer.fields = decode(type, detail.value).field_violations.map((v) => v.field);
    }
  }
  return answer;
}

function unary(method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    let answer;
    const call = users[method](request, metadata, { deadline: Date.now() + TIMEOUT }, (error, response) => {
      answer = error ?? response;
    });
    call.on("status", ({ metadata: trailer }) => {
      const correlation = String(trailer.get("x-correlation-id")[0] ?? "");
      answer instanceof Error ? reject(answer) : resolve({ answer, correlation });
    });
  });
}

/** Follows the history up to a change of a user, acknowledges each change, and ends in good order. */
function follow(last) {
  return new Promise((resolve, reject) => {
    const answer = { window: 0, positions: [], kinds: [], acknowledged: 0 };
    const call = changes.Follow({ deadline: Date.now() + TIMEOUT });
    call.on("error", reject);
    call.on("end", () => resolve(answer));
    call.on("data", ({ message, started, change, acknowledged }) => {
      if (message === "started") {
        answer.window = started.window;
      } else if (message === "acknowledged") {
        answer.acknowledged = acknowledged.position;
      } else {
        answer.positions.push(change.position);
        answer.kinds.push(change.kind);
        call.write({ ack: { position: change.position } });
        if (change.user === last) call.end();
      }
    });
    call.write({ start: { consumer: "of-a-script", window: 2 } });
  });
}

/** The error of an acknowledgement of what was never sent. */
function acknowledgeTooMuch() {
  return new Promise((resolve, reject) => {
    const call = changes.Follow({ deadline: Date.now() + TIMEOUT });
    call.on("error", (error) => resolve(told(error)));
    call.on("end", () => reject(new Error("Follow ended with OK")));
    call.on("data", () => {});
    call.write({ start: {} });
    call.write({ ack: { position: 1_000_000 } });
  });
}

function short({ name, email, etag }) {
  return { name, email, etag };
}

/** Watches the users as they are, changes one, and watches the change. */
function watch(name) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const call = users.WatchUsers({}, { deadline: Date.now() + TIMEOUT });
    call.on("error", reject);
    call.on("data", ({ type, user, initial_state_end }) => {
      if (type === "TYPE_BOOKMARK" && !initial_state_end) return; // nothing happened for a while
      seen.push(initial_state_end ? "SYNCED" : `${type} ${user.name}`);
      if (initial_state_end) {
        unary("SuspendUser", { name }).catch(reject);
      } else if (type === "TYPE_MODIFIED") {
        call.removeListener("error", reject);
        call.on("error", ({ code }) => resolve({ seen, end: code }));
        call.cancel();
      }
    });
  });
}

/** Imports a good user, a bad one and another good one over one stream. */
function importUsers() {
  return new Promise((resolve, reject) => {
    const answer = { import_id: "", names: [], failed: [] };
    const call = users.ImportUsers({ deadline: Date.now() + TIMEOUT });
    call.on("error", reject);
    call.on("end", () => resolve(answer));
    call.on("data", ({ message, started, result, summary }) => {
      if (message === "started") {
        answer.import_id = started.import_id;
        ["one@example.com", "no address", "three@example.com"].forEach((email, sequence) => {
          call.write({ item: { sequence, user_id: `import-${sequence}`, user: { email } } });
        });
        call.end();
      } else if (message === "summary") {
        answer.summary = { received: summary.received, created: summary.created, failed: summary.failed };
      } else if (result.outcome === "error") {
        answer.failed.push({ sequence: result.sequence, code: result.error.code });
      } else {
        answer.names.push(result.name);
      }
    });
    call.write({ start: { import_id: "of-a-script" } });
  });
}

async function main() {
  const metadata = new grpc.Metadata();
  metadata.set("x-correlation-id", "of-a-script");
  const created = await unary("CreateUser", { user_id: "grace-h", user: { email: "grace@example.com" } }, metadata);
  const read = await unary("GetUser", { name: "users/grace-h" });
  const report = {
    created: short(created.answer),
    correlation: created.correlation,
    read: short(read.answer),
    missing: await unary("GetUser", { name: "users/nobody-here" }).catch(told),
    invalid: await unary("CreateUser", { user_id: "x", user: { email: "x@example.com" } }).catch(told),
    watched: await watch("users/grace-h"),
    imported: await importUsers(),
    followed: await follow("users/import-2"),
    too_much: await acknowledgeTooMuch(),
  };
  report.imported.names.sort();
  users.close();
  changes.close();
  console.log(JSON.stringify(report));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
