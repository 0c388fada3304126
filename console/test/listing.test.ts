import { describe, expect, it } from "vitest";
import { type Listing, change, formatListing, isExpression, orderBy, parseListing, requestFilter } from "../src/lib/listing.js";

const plain: Listing = { filter: "", state: "", order: { field: "name", descending: false }, deleted: false, size: 50, page: "" };

describe("the URL of a listing", () => {
  const cases: [string, Partial<Listing>][] = [
    ["", {}],
    ["filter=ada+l", { filter: "ada l" }],
    ["filter=labels.team+%3D+%22infra%22&state=suspended", { filter: 'labels.team = "infra"', state: "suspended" }],
    ["order=create_time+desc&deleted=true&size=250&page=abc", { order: { field: "create_time", descending: true }, deleted: true, size: 250, page: "abc" }],
  ];
  it.each(cases)("%j is read and written alike", (query, listing) => {
    expect(parseListing(new URLSearchParams(query))).toEqual({ ...plain, ...listing });
    expect(formatListing({ ...plain, ...listing }).toString()).toBe(query);
  });

  it.each(["state=gone", "order=password", "size=7", "deleted=yes", "order="])("leaves out what it does not know: %s", (query) => {
    expect(parseListing(new URLSearchParams(query))).toEqual(plain);
  });

  it("begins at the first page when anything else changes", () => {
    expect(change({ ...plain, page: "abc" }, { state: "active" })).toEqual({ ...plain, state: "active" });
    expect(change({ ...plain, page: "abc" }, { page: "def" }).page).toBe("def");
  });
});

describe("the filter of a request", () => {
  const one = (word: string) => ["display_name", "given_name", "family_name", "email", "name"].map((f) => `${f}:"${word}"`).join(" OR ");
  const cases: [Partial<Listing>, string][] = [
    [{}, ""],
    [{ filter: "  " }, ""],
    [{ filter: "ada" }, one("ada")],
    [{ filter: "ada lovelace" }, `(${one("ada")}) AND (${one("lovelace")})`],
    [{ filter: "back\\slash" }, one("back\\\\slash")],
    [{ state: "active" }, "state = ACTIVE"],
    [{ filter: 'email:"x" OR labels.a = "b"', state: "suspended" }, '(email:"x" OR labels.a = "b") AND (state = SUSPENDED)'],
  ];
  it.each(cases)("of %j", (listing, filter) => {
    expect(requestFilter({ ...plain, ...listing })).toBe(filter);
  });

  it.each([["ada", false], ["o'neill anna-maria", false], ["a AND b", false], ["NOT state", true], ["state = ACTIVE", true], ["delete_time:*", true], ['"x"', true]])("takes %j for an expression: %s", (text, is) => {
    expect(isExpression(text)).toBe(is);
  });

  it("names its order", () => {
    expect(orderBy({ ...plain, order: { field: "email", descending: true } })).toBe("email desc");
  });
});
