import { create } from "@bufbuild/protobuf";
import { type History, HistorySchema } from "@keelson/client/gen/keelson/platform/v1/platform_pb";
import { describe, expect, it } from "vitest";
import { expand } from "../src/platform/links.js";
import { STEPS, appended, windowOf } from "../src/platform/series.js";

function history(endSeconds: number, calls: number[]): History {
  return create(HistorySchema, {
    endTime: { seconds: BigInt(endSeconds), nanos: 0 },
    step: { seconds: 1n, nanos: 0 },
    callsPerSecond: calls,
    errorsPerSecond: calls.map(() => 0),
    p50Seconds: calls.map((n) => n / 1000),
    p99Seconds: calls.map((n) => n / 100),
    inFlight: calls.map(() => 1),
  });
}

describe("a series", () => {
  it("begins with a history, and has gaps where nothing was called", () => {
    expect(appended(undefined, history(100, [1, 0, 3]))).toMatchObject({ time: [98, 99, 100], calls: [1, 0, 3], p50: [0.001, null, expect.closeTo(0.003)] });
  });

  it("goes on with what is new, and takes no step twice", () => {
    const begun = appended(undefined, history(100, [1, 2]));
    expect(appended(begun, history(102, [2, 3, 4])).calls).toEqual([1, 2, 3, 4]);
    expect(appended(begun, history(100, [2]))).toBe(begun);
    expect(appended(begun, undefined)).toBe(begun);
  });

  it("keeps five minutes", () => {
    const long = appended(undefined, history(1000, Array.from({ length: STEPS }, (_, i) => i)));
    const more = appended(long, history(1001, [7]));
    expect(more.time).toHaveLength(STEPS);
    expect(more.calls.at(-1)).toBe(7);
    expect(more.time[0]).toBe(702);
  });
});

describe("what a chart spans", () => {
  it.each([[undefined, 1000], [[], 1000], [[990], 990], [[989, 990], 990]])("is five minutes, with steps at %j until %d", (times, end) => {
    expect(windowOf(times, 1000)).toEqual([end - 300, end]);
  });
});

describe("a link", () => {
  it.each([
    ["", { service: "user" }, ""],
    ["http://g/d?var={service}", { service: "a b/c" }, "http://g/d?var=a%20b%2Fc"],
    ["https://j/trace/{trace_id}", { correlation_id: "x" }, ""],
    ["javascript:alert({service})", { service: "1" }, ""],
  ])("made of %j", (template, values, want) => {
    expect(expand(template, values)).toBe(want);
  });
});
