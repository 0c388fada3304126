import assert from "node:assert/strict";
import { test } from "node:test";
import { eachChange, eachUser, pages } from "../src/common.js";
import { AuditService } from "../src/gen/audit/v1/audit_pb.js";
import { UserService } from "../src/gen/user/v1/user_pb.js";
import { clientOf } from "./server.js";

const book: Record<string, { names: string[]; next: string }> = {
  "": { names: ["a", "b"], next: "2" },
  "2": { names: [], next: "3" }, // a page may be empty and not the last
  "3": { names: ["c"], next: "" },
};

test("all users come, over all pages, of one request", async () => {
  const filters: string[] = [];
  const { users } = clientOf((router) =>
    router.rpc(UserService.method.listUsers, ({ pageToken, filter }) => {
      filters.push(filter);
      const { names = [], next = "" } = book[pageToken] ?? {};
      return { users: names.map((name) => ({ name })), nextPageToken: next };
    }),
  );
  const found: string[] = [];
  for await (const user of eachUser(users, { filter: "labels:x" })) {
    found.push(user.name);
  }
  assert.deepEqual(found, ["a", "b", "c"]);
  assert.deepEqual(filters, ["labels:x", "labels:x", "labels:x"]);
});

test("pages are read as they are asked for", async () => {
  const read: string[] = [];
  const list = async (pageToken: string) => {
    read.push(pageToken);
    return { nextPageToken: book[pageToken]?.next ?? "" };
  };
  for await (const _ of pages(list)) {
    break;
  }
  assert.deepEqual(read, [""]);
});

test("changes come over all pages", async () => {
  const { audit } = clientOf((router) =>
    router.rpc(AuditService.method.listChanges, ({ pageToken, user }) => ({
      changes: (book[pageToken]?.names ?? []).map((name) => ({ name: user + name })),
      nextPageToken: book[pageToken]?.next ?? "",
    })),
  );
  const found: string[] = [];
  for await (const change of eachChange(audit, { user: "users/" })) {
    found.push(change.name);
  }
  assert.deepEqual(found, ["users/a", "users/b", "users/c"]);
});
