import { describe, expect, it } from "vitest";
import { ago, dateTimeUtc, idOf, initials, isolated, latency, percent, perSecond, plural } from "../src/lib/format.js";

const at = (ms: number) => ({ $typeName: "google.protobuf.Timestamp" as const, seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 });
const NOW = Date.UTC(2026, 10, 21, 12, 0, 0);

describe("times", () => {
  it("have a tooltip in UTC", () => {
    expect(dateTimeUtc(at(NOW + 42))).toBe("2026-11-21 12:00:00.042 UTC");
  });

  it.each([[0, "now"], [9, "now"], [30, "30 sec. ago"], [90, "1 min. ago"], [7200, "2 hr. ago"], [86_400, "yesterday"], [700_000, "last wk."], [-120, "in 2 min."]])("%d seconds before now are %j", (seconds, text) => {
    expect(ago(at(NOW - seconds * 1000), NOW)).toBe(text);
  });
});

describe("numbers", () => {
  it.each([[0.00085, "850 µs"], [0.0123, "12.3 ms"], [1.234, "1.23 s"], [12, "12 s"]])("latency %d is %j", (seconds, text) => expect(latency(seconds)).toBe(text));
  it.each([[0, "0/s"], [0.125, "0.13/s"], [12.34, "12.3/s"], [1234.5, "1,235/s"]])("rate %d is %j", (n, text) => expect(perSecond(n)).toBe(text));
  it.each([[0, "0%"], [0.0042, "0.4%"], [0.5, "50%"]])("ratio %d is %j", (n, text) => expect(percent(n)).toBe(text));
  it.each([[0, "0 users"], [1, "1 user"], [1234, "1,234 users"]])("%d is %j", (n, text) => expect(plural(n, "user")).toBe(text));
});

describe("names", () => {
  it.each([["Ada Lovelace", "users/x", "AL"], ["Ada", "users/x", "A"], ["", "users/grace", "G"], ["Ada King Lovelace", "users/x", "AL"], ["\u{1F600} Smith", "users/x", "\u{1F600}S"], ["\u{1F469}\u200D\u{1F467} Smith", "users/x", "\u{1F469}\u200D\u{1F467}S"], ["(Ada) \"Lovelace\" -", "users/x", "AL"], ["--", "users/grace", "G"], ["e\u0301lan vital", "users/x", "E\u0301V"]])("initials of %j", (display, name, want) => expect(initials(display, name)).toBe(want));
  it("of any direction do not turn the sentence around them", () => expect(isolated("עדה")).toBe("\u2068עדה\u2069"));
  it("have an ID", () => expect(idOf("users/ada-l")).toBe("ada-l"));
});
