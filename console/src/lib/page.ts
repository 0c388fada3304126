// One page of users, and what the changes told by a watch do to it. Rows never
// jump: a change is shown where the row is, and what would be elsewhere or is
// missing is said, until the person asks for the page anew.
import type { User } from "@keelson/client";
import type { Listing } from "./listing.js";

/** What a watch tells of a user; seen through its filter. */
export type ChangeKind = "added" | "modified" | "deleted";

/** Why a row would not be where it is, were the page read now. */
export type Mark = "deleted" | "purged" | "left" | "moved";

export interface Row {
  user: User;
  mark?: Mark;
  /** Counts the changes seen, to let each of them flash. */
  beat: number;
  /** The etags of versions that were shown before this one. */
  past?: readonly string[];
  /** The etag of our own change, until the watch has told it. */
  own?: string;
}

export interface Page {
  rows: Row[];
  order: Listing["order"];
  /** Whether deleted users are on it too. */
  deleted: boolean;
  /** The first and last user as the page was read; undefined where it is open. */
  from?: User;
  to?: User;
  /** Names of users who would be on this page and are not shown. */
  waiting: string[];
}

/** openPage is a page as it was read. */
export function openPage(users: User[], { order, deleted }: Pick<Listing, "order" | "deleted">, first: boolean, last: boolean): Page {
  const page: Page = { rows: users.map((user) => ({ user, beat: 0 })), order, deleted, waiting: [] };
  if (!first && users.length) page.from = users[0]!;
  if (!last && users.length) page.to = users[users.length - 1]!;
  return page;
}

/** applyChange is the page after a change; the same page when nothing changed. */
export function applyChange(page: Page, kind: ChangeKind, user: User): Page {
  const index = page.rows.findIndex((r) => r.user.name === user.name);
  if (index < 0) return outside(page, user, kind);
  const old = page.rows[index]!;
  const gone = kind === "deleted";
  // A resumed watch may tell again what the page knows, and one that lags behind
  // our own changes tells versions that they have replaced.
  if (old.past?.includes(user.etag)) return page;
  if (!gone && !old.mark && old.user.etag === user.etag) return old.own ? { ...page, rows: page.rows.with(index, told(old)) } : page;
  const row = after(old, user, old.own !== old.user.etag);
  // What it tells first was before ours, which comes again.
  if (old.own && old.own !== user.etag) row.own = old.own;
  const rows = page.rows.with(index, row);
  if (gone) row.mark = leaving(page, old.user, user);
  else if (misplaced(rows, index, page.order)) row.mark = "moved";
  return { ...page, rows };
}

// Where deleted users are shown, one of them who goes can only have been purged.
function leaving(page: Page, before: User, user: User): Mark {
  if (page.deleted && before.deleteTime) return "purged";
  return user.deleteTime ? "deleted" : "left";
}

/** putUser is the page after a change made here, whose answer came before the watch told it. */
export function putUser(page: Page, user: User): Page {
  const index = page.rows.findIndex((r) => r.user.name === user.name);
  if (index < 0) return page;
  const old = page.rows[index]!;
  // The watch was faster, and may have told what came after it too.
  if (old.user.etag === user.etag || old.past?.includes(user.etag)) return page;
  const row: Row = { ...after(old, user, true), own: user.etag };
  if (old.mark) row.mark = old.mark;
  return { ...page, rows: page.rows.with(index, row) };
}

/** How many versions a row remembers: more than a watch can lag behind a person. */
const PAST = 20;

function after(old: Row, user: User, replaced: boolean): Row {
  const before = old.past ?? [];
  const past = !replaced || old.user.etag === user.etag ? before : [...before, old.user.etag].slice(-PAST);
  return { user, beat: old.beat + 1, past };
}

function told({ own: _, ...row }: Row): Row {
  return row;
}

function outside(page: Page, user: User, kind: ChangeKind): Page {
  const fits = kind !== "deleted" && within(page, user);
  if (fits === page.waiting.includes(user.name)) return page;
  return { ...page, waiting: fits ? [...page.waiting, user.name] : page.waiting.filter((n) => n !== user.name) };
}

function within(page: Page, user: User): boolean {
  if (page.from && compare(user, page.from, page.order) < 0) return false;
  return !(page.to && compare(user, page.to, page.order) > 0);
}

function misplaced(rows: Row[], index: number, order: Listing["order"]): boolean {
  const user = rows[index]!.user;
  const before = rows.slice(0, index).findLast((r) => !r.mark);
  const after = rows.slice(index + 1).find((r) => !r.mark);
  return (!!before && compare(before.user, user, order) > 0) || (!!after && compare(user, after.user, order) > 0);
}

/** compare sorts as the service does; equal users by name. */
export function compare(a: User, b: User, order: Listing["order"]): number {
  const by = order.descending ? -byField(a, b, order.field) : byField(a, b, order.field);
  return by || codePoints(a.name, b.name);
}

function byField(a: User, b: User, field: Listing["order"]["field"]): number {
  switch (field) {
    case "name":
      return codePoints(a.name, b.name);
    case "email":
      return codePoints(fold(a.email), fold(b.email));
    case "display_name":
      return codePoints(a.displayName, b.displayName);
    case "create_time":
      return times(a.createTime, b.createTime);
    case "update_time":
      return times(a.updateTime, b.updateTime);
  }
}

function fold(text: string): string {
  return text.normalize("NFC").toLowerCase();
}

// JavaScript compares UTF-16 units, which differs above U+FFFF.
function codePoints(a: string, b: string): number {
  if (a === b) return 0;
  const x = Array.from(a), y = Array.from(b);
  for (let i = 0; i < x.length && i < y.length; i++) {
    if (x[i] !== y[i]) return x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
  }
  return x.length - y.length;
}

function times(a: User["createTime"], b: User["createTime"]): number {
  const seconds = Number((a?.seconds ?? 0n) - (b?.seconds ?? 0n));
  return seconds || (a?.nanos ?? 0) - (b?.nanos ?? 0);
}
