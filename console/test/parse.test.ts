import { describe, expect, it } from "vitest";
import { failedFile } from "../src/importing/failed.js";
import { type Item, decode, parse, parseCsv, parseNdjson } from "../src/importing/parse.js";

const none = { displayName: "", givenName: "", familyName: "", labels: {} };
const item = (line: number, userId: string, user: Partial<Item["user"]>): Item => ({ line, userId, user: { email: "", ...none, ...user } });

describe("CSV", () => {
  const cases: [string, string, Item[]][] = [
    ["a plain file", "user_id,email\nada-l,ada@x.org\n", [item(2, "ada-l", { email: "ada@x.org" })]],
    ["no line end at the end", "email\na@x\nb@x", [item(2, "", { email: "a@x" }), item(3, "", { email: "b@x" })]],
    ["CR alone", "email,name\ra@x,A\rb@x,B\r", [item(2, "", { email: "a@x", displayName: "A" }), item(3, "", { email: "b@x", displayName: "B" })]],
    ["CRLF and empty lines", "email\r\n\r\na@x\r\n", [item(3, "", { email: "a@x" })]],
    ["semicolons", "E-Mail;First name;Last name\na@x;Ada;Lovelace", [item(2, "", { email: "a@x", givenName: "Ada", familyName: "Lovelace" })]],
    ["tabs", "email\tname\na@x\tAda", [item(2, "", { email: "a@x", displayName: "Ada" })]],
    ["quotes, with separators, quotes and line breaks in them", 'email,display_name\na@x,"L, ""Ada""\nof X"\nb@x,B', [item(2, "", { email: "a@x", displayName: 'L, "Ada"\nof X' }), item(4, "", { email: "b@x", displayName: "B" })]],
    ["labels in columns and in one", "email,labels.team,labels\na@x,infra,site=oslo;floor=2", [item(2, "", { email: "a@x", labels: { team: "infra", site: "oslo", floor: "2" } })]],
    ["fewer cells than columns", "email,display_name\na@x", [item(2, "", { email: "a@x" })]],
    ["a byte order mark", "\uFEFFemail\na@x", [item(2, "", { email: "a@x" })]],
    ["names for IDs", "id,email\nusers/ada-l,a@x", [item(2, "ada-l", { email: "a@x" })]],
  ];
  it.each(cases)("reads %s", (_, text, items) => {
    expect(parse(text, "people.csv")).toEqual({ format: "csv", items, faults: [], ignored: [] });
  });

  const faults: [string, string, { line: number; text: string }[]][] = [
    ["without a column for the e-mail", "name\nAda", [{ line: 1, text: "names no column `email`; the first line has to name the columns" }]],
    ["with more cells than columns", "email\na@x,b", [{ line: 2, text: "has 2 columns, the first line has 1" }]],
    ["with a quote left open", 'email,display_name\na@x,"Ada', [{ line: 2, text: "a quote is opened and not closed" }]],
  ];
  it.each(faults)("says what is wrong with a file %s", (_, text, want) => {
    expect(parseCsv(text).faults).toEqual(want);
  });

  it("names the columns that it leaves out", () => {
    expect(parseCsv("email,shoe size\na@x,42")).toMatchObject({ ignored: ["shoe size"], items: [{ userId: "" }] });
  });
});

describe("NDJSON", () => {
  it("reads users, wrapped or not, in both spellings", () => {
    const lines = ['{"userId":"ada-l","user":{"email":"a@x","displayName":"Ada","labels":{"team":"infra"}}}', "", '{"name":"users/bo-b","email":"b@x","given_name":"Bo"}'];
    expect(parse(lines.join("\n"), "people.ndjson")).toEqual({
      format: "ndjson",
      items: [item(1, "ada-l", { email: "a@x", displayName: "Ada", labels: { team: "infra" } }), item(3, "bo-b", { email: "b@x", givenName: "Bo" })],
      faults: [],
      ignored: [],
    });
  });

  it.each(['{"email":"a@x"}', '[{"email":"a@x"}]'])("is known by its content when the name says nothing: %s", (text) => {
    expect(parse(text, "people").format).toBe("ndjson");
  });

  it("is no array, and says so", () => {
    expect(parse('\n[\n{"email":"a@x"},\n{"email":"b@x"}\n]', "people.json")).toMatchObject({ items: [], faults: [{ line: 1, text: expect.stringContaining("begins an array") }] });
  });

  it.each([["{", "is not JSON"], ["7", "is not an object"], ["[]", "is not an object"], ['{"email":7}', "`email` is not a text"], ['{"email":"a@x","labels":[]}', "`labels` is not an object"], ['{"email":"a@x","labels":{"a":1}}', "label `a` is not a text"]])("says what is wrong with %s", (line, text) => {
    expect(parseNdjson(`{"email":"a@x"}\n${line}`)).toMatchObject({ items: [{ line: 1 }], faults: [{ line: 2, text }] });
  });
});

describe("the bytes of a file", () => {
  const bytes = (...parts: (number[] | Uint8Array)[]) => Uint8Array.from(parts.flatMap((p) => [...p])).buffer;
  const wide = (text: string, order: "le" | "be") => Uint8Array.from([...text].flatMap((c) => (order === "le" ? [c.charCodeAt(0) & 255, c.charCodeAt(0) >> 8] : [c.charCodeAt(0) >> 8, c.charCodeAt(0) & 255])));
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const good: [string, ArrayBuffer, string][] = [
    ["UTF-8", bytes(utf8("Jürgen 👍🏽")), "Jürgen 👍🏽"],
    ["UTF-8 with a byte order mark", bytes([0xef, 0xbb, 0xbf], utf8("Jürgen")), "Jürgen"],
    ["UTF-16 as spreadsheets write it", bytes([0xff, 0xfe], wide("Jürgen", "le")), "Jürgen"],
    ["UTF-16 the other way round", bytes([0xfe, 0xff], wide("Jürgen", "be")), "Jürgen"],
    ["nothing", bytes(), ""],
  ];
  it.each(good)("are read as %s", (_, given, want) => expect(decode(given)).toBe(want));

  const bad: [string, ArrayBuffer][] = [
    ["Latin-1, whose letters would be guessed", bytes([0x4a, 0xfc, 0x72])],
    ["a spreadsheet", bytes(utf8("PK\u0003\u0004\0\0"))],
    ["a picture", bytes([0x89, 0x50, 0x4e, 0x47, 0, 0, 0xff])],
  ];
  it.each(bad)("are refused as %s", (_, given) => expect(() => decode(given)).toThrow("UTF-8"));
});

describe("the file of failed rows", () => {
  const rows = [
    { item: item(2, "ada-l", { email: "=cmd@x", displayName: 'A "B", C', labels: { team: "infra" } }), error: "email is taken" },
    { item: item(3, "", { email: "b@x" }), error: "no\nluck" },
  ];
  it.each(["csv", "ndjson"] as const)("of %s can be imported again", (format) => {
    const again = parse(failedFile(format, rows), `x.${format}`);
    expect(again.faults).toEqual([]);
    expect(again.items.map(({ userId, user }) => ({ userId, user }))).toEqual(rows.map(({ item: { userId, user } }) => ({ userId, user })));
  });

  it("runs no formula in a spreadsheet", () => {
    expect(failedFile("csv", rows)).toContain("'=cmd@x");
  });
});
