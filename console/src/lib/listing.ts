// Which users are listed: filter, order and page, as the URL holds them.

export type OrderField = "name" | "display_name" | "email" | "create_time" | "update_time";
const ORDER_FIELDS: OrderField[] = ["name", "display_name", "email", "create_time", "update_time"];
export const SIZES = [25, 50, 100, 250];
const DEFAULT_SIZE = 50;

export interface Listing {
  /** As typed: plain words, or an expression of AIP-160. */
  filter: string;
  state: "" | "active" | "suspended";
  order: { field: OrderField; descending: boolean };
  deleted: boolean;
  size: number;
  /** The page token; "" for the first page. */
  page: string;
}

export function parseListing(q: URLSearchParams): Listing {
  const state = q.get("state");
  const size = Number(q.get("size"));
  return {
    filter: q.get("filter") ?? "",
    state: state === "active" || state === "suspended" ? state : "",
    order: parseOrder(q.get("order") ?? ""),
    deleted: q.get("deleted") === "true",
    size: SIZES.includes(size) ? size : DEFAULT_SIZE,
    page: q.get("page") ?? "",
  };
}

function parseOrder(text: string): Listing["order"] {
  const [field, direction] = text.trim().split(/\s+/);
  const known = ORDER_FIELDS.find((f) => f === field);
  return known ? { field: known, descending: direction === "desc" } : { field: "name", descending: false };
}

/** formatListing leaves out what is as by default, so that addresses stay short. */
export function formatListing(l: Listing): URLSearchParams {
  const q = new URLSearchParams();
  if (l.filter) q.set("filter", l.filter);
  if (l.state) q.set("state", l.state);
  if (orderBy(l) !== "name") q.set("order", orderBy(l));
  if (l.deleted) q.set("deleted", "true");
  if (l.size !== DEFAULT_SIZE) q.set("size", String(l.size));
  if (l.page) q.set("page", l.page);
  return q;
}

/** change alters a listing; anything but the page begins at the first page. */
export function change(l: Listing, to: Partial<Listing>): Listing {
  return { ...l, page: "", ...to };
}

/** orderBy is ListUsersRequest.order_by. */
export function orderBy(l: Listing): string {
  return l.order.field + (l.order.descending ? " desc" : "");
}

/** requestFilter is ListUsersRequest.filter. */
export function requestFilter(l: Pick<Listing, "filter" | "state">): string {
  const typed = l.filter.trim();
  const parts = [];
  if (typed) parts.push(isExpression(typed) ? typed : words(typed));
  if (l.state) parts.push(`state = ${l.state.toUpperCase()}`);
  return parts.length > 1 ? parts.map((p) => `(${p})`).join(" AND ") : (parts[0] ?? "");
}

/** Whether a text is meant as an expression of AIP-160 and not as words to look for. */
export function isExpression(text: string): boolean {
  return /[=<>:()"]|(^|\s)NOT\s/.test(text);
}

// Each word must be somewhere: the fields are searched for parts of texts.
function words(text: string): string {
  const each = text.split(/\s+/).map((word) => {
    const quoted = `"${word.replace(/[\\"]/g, "\\$&")}"`;
    return ["display_name", "given_name", "family_name", "email", "name"].map((f) => `${f}:${quoted}`).join(" OR ");
  });
  return each.length > 1 ? each.map((e) => `(${e})`).join(" AND ") : each[0]!;
}
