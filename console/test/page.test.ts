import { create } from "@bufbuild/protobuf";
import { UserSchema } from "@keelson/client/gen/user/v1/user_pb";
import { describe, expect, it } from "vitest";
import { type Page, applyChange, compare, openPage, putUser } from "../src/lib/page.js";

const byName = { order: { field: "name", descending: false }, deleted: false } as const;
let etags = 0;

function user(name: string, init: { displayName?: string; email?: string; seconds?: number; deleted?: boolean } = {}) {
  const { seconds = 0, deleted, ...rest } = init;
  const time = { seconds: BigInt(seconds), nanos: 0 };
  return create(UserSchema, { name: `users/${name}`, etag: `"${++etags}"`, createTime: time, ...rest, ...(deleted && { deleteTime: time }) });
}

const names = (p: Page) => p.rows.map((r) => r.user.name.slice(6) + (r.mark ? `:${r.mark}` : ""));
const middle = () => openPage([user("dora"), user("emil"), user("fred")], byName, false, false);

describe("a change of a user on the page", () => {
  it("is shown where the user is, and flashes", () => {
    const page = applyChange(middle(), "modified", user("emil", { displayName: "E" }));
    expect(names(page)).toEqual(["dora", "emil", "fred"]);
    expect(page.rows[1]).toMatchObject({ beat: 1, user: { displayName: "E" } });
  });

  it("told twice flashes once", () => {
    const changed = user("emil");
    const page = applyChange(middle(), "modified", changed);
    expect(applyChange(page, "modified", changed)).toBe(page);
  });

  it("that makes it not match any more marks it, and does not take it away", () => {
    expect(names(applyChange(middle(), "deleted", user("emil")))).toEqual(["dora", "emil:left", "fred"]);
  });

  it("that deletes it marks it so, and undeleting takes the mark away", () => {
    const page = applyChange(middle(), "deleted", user("emil", { deleted: true }));
    expect(names(page)).toEqual(["dora", "emil:deleted", "fred"]);
    expect(names(applyChange(page, "added", user("emil")))).toEqual(["dora", "emil", "fred"]);
  });

  it("that purges it says so, if it was shown as deleted", () => {
    const gone = user("emil", { deleted: true });
    const page = openPage([user("dora"), gone], { ...byName, deleted: true }, true, true);
    expect(names(applyChange(page, "deleted", gone))).toEqual(["dora", "emil:purged"]);
  });

  it("that was deleted here, as the watch tells later, was deleted and not purged", () => {
    const page = middle();
    const deleted = user("emil", { deleted: true });
    expect(names(applyChange(putUser(page, deleted), "deleted", deleted))).toEqual(["dora", "emil:deleted", "fred"]);
  });

  it("that moves it in the order marks it, until it fits again", () => {
    const order = { order: { field: "display_name", descending: false }, deleted: false } as const;
    const page = openPage([user("a1", { displayName: "A" }), user("b1", { displayName: "B" }), user("c1", { displayName: "C" })], order, true, true);
    const moved = applyChange(page, "modified", user("a1", { displayName: "Z" }));
    expect(names(moved)).toEqual(["a1:moved", "b1", "c1"]);
    expect(names(applyChange(moved, "modified", user("b1", { displayName: "B2" })))).toEqual(["a1:moved", "b1", "c1"]);
    expect(names(applyChange(moved, "modified", user("a1", { displayName: "AA" })))).toEqual(["a1", "b1", "c1"]);
  });

  it("answered to ourselves is shown, and what the watch says of it later is no news", () => {
    const changed = user("emil");
    const page = putUser(middle(), changed);
    expect(page.rows[1]!.user).toBe(changed);
    const told = applyChange(page, "modified", changed);
    expect(told.rows[1]).toMatchObject({ user: changed, beat: 1 });
    expect(applyChange(told, "modified", changed)).toBe(told);
    expect(putUser(page, user("gina"))).toBe(page);
  });
});

describe("a watch that lags behind what is done here", () => {
  it("does not bring back a version that was replaced", () => {
    const [suspended, active] = [user("emil"), user("emil")];
    let page = putUser(putUser(middle(), suspended), active);
    for (const told of [suspended, active]) {
      page = applyChange(page, "modified", told);
      expect(page.rows[1]).toMatchObject({ user: active, beat: 2 });
    }
    const later = user("emil");
    page = applyChange(page, "modified", later);
    expect(page.rows[1]!.user).toBe(later);
  });

  it("ends at our own, whoever changed what before it", () => {
    const [theirs, mine, later] = [user("emil"), user("emil"), user("emil")];
    let page = putUser(middle(), mine);
    for (const told of [theirs, mine]) page = applyChange(page, "modified", told);
    expect(page.rows[1]!.user).toBe(mine);
    page = applyChange(page, "modified", later);
    // A watch that is resumed tells again what it told.
    for (const told of [theirs, mine, later]) page = applyChange(page, "modified", told);
    expect(page.rows[1]!.user).toBe(later);
  });

  it("and then is faster than the answer leaves what it told", () => {
    const [mine, theirs] = [user("emil"), user("emil")];
    const page = applyChange(applyChange(middle(), "modified", mine), "modified", theirs);
    expect(putUser(page, mine)).toBe(page);
  });

  it("does not say that a user who was brought back is deleted", () => {
    const [deleted, back] = [user("emil", { deleted: true }), user("emil")];
    const page = putUser(putUser(middle(), deleted), back);
    expect(names(applyChange(page, "deleted", deleted))).toEqual(["dora", "emil", "fred"]);
  });
});

describe("a user who is not on the page", () => {
  it.each([["dorothea", ["users/dorothea"]], ["anna", []], ["zoe", []]])("%s waits only when it belongs there", (name, waiting) => {
    expect(applyChange(middle(), "added", user(name)).waiting).toEqual(waiting);
  });

  it.each([[true, false, "anna"], [false, true, "zoe"]])("belongs to an open end (first %s, last %s)", (first, last, name) => {
    const page = openPage([user("dora"), user("emil")], byName, first, last);
    expect(applyChange(page, "added", user(name)).waiting).toEqual([`users/${name}`]);
  });

  it("waits once, and no longer when it leaves", () => {
    const page = applyChange(middle(), "added", user("eric"));
    expect(applyChange(page, "modified", user("eric"))).toBe(page);
    expect(applyChange(page, "deleted", user("eric")).waiting).toEqual([]);
  });

  it("belongs to an empty page", () => {
    expect(applyChange(openPage([], byName, true, true), "added", user("anna")).waiting).toHaveLength(1);
  });
});

describe("the order", () => {
  it("compares code points, e-mails folded, times, and equal users by name", () => {
    expect(compare(user("a1"), user("b1"), byName.order)).toBeLessThan(0);
    expect(compare(user("a1"), user("b1"), { field: "name", descending: true })).toBeGreaterThan(0);
    const email = { field: "email", descending: false } as const;
    expect(compare(user("a1", { email: "B@x" }), user("b1", { email: "a@x" }), email)).toBeGreaterThan(0);
    const display = { field: "display_name", descending: false } as const;
    expect(compare(user("a1", { displayName: "\u{1F600}" }), user("b1", { displayName: "\uFF21" }), display)).toBeGreaterThan(0);
    const created = { field: "create_time", descending: true } as const;
    expect(compare(user("b1", { seconds: 2 }), user("a1", { seconds: 1 }), created)).toBeLessThan(0);
    expect(compare(user("a1", { seconds: 1 }), user("b1", { seconds: 1 }), created)).toBeLessThan(0);
  });
});
