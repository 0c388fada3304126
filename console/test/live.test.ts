import { Code, KeelsonError, type WatchState } from "@keelson/client";
import { describe, expect, it, vi } from "vitest";
import { type Connection, Live, type Open } from "../src/lib/live.js";

type Step = { state: WatchState } | { event: string } | { fail: KeelsonError };

/** A watch that does what it is told, and then waits until it is ended. */
function script(...steps: Step[]) {
  const signals: AbortSignal[] = [];
  const open: Open<string> = async function* ({ signal, onState }) {
    signals.push(signal);
    for (const step of steps) {
      if ("state" in step) onState(step.state);
      if ("event" in step) yield step.event;
      if ("fail" in step) throw step.fail;
    }
    await new Promise((r) => signal.addEventListener("abort", r));
    onState({ kind: "closed", error: undefined });
  };
  return { open, signals };
}

// A machine may be busy with other things.
const PATIENT = { timeout: 4000, interval: 5 };

const lost = new KeelsonError({ code: Code.Unavailable, message: "gone" });

describe("a live watch", () => {
  const cases: [string, Step[], Partial<Connection>][] = [
    ["connecting", [{ state: { kind: "connecting", attempt: 1 } }], { phase: "connecting" }],
    ["live", [{ state: { kind: "live" } }, { event: "a" }], { phase: "live" }],
    ["resyncing", [{ state: { kind: "resyncing", error: lost } }], { phase: "resyncing" }],
    ["failed for good", [{ fail: lost }], { phase: "failed", problem: lost }],
  ];
  it.each(cases)("shows that it is %s", async (_, steps, want) => {
    const live = new Live(script(...steps).open, () => undefined);
    live.start();
    await vi.waitFor(() => expect(live.state.value).toMatchObject(want), PATIENT);
    live.stop();
    expect(live.state.value).toEqual({ phase: "stopped" });
  });

  it("says when it tries again", async () => {
    vi.useFakeTimers({ now: 1000 });
    try {
      const live = new Live(script({ state: { kind: "waiting", attempt: 1, delayMs: 700, error: lost } }).open, () => undefined);
      live.start();
      await vi.advanceTimersByTimeAsync(0);
      expect(live.state.value).toEqual({ phase: "waiting", until: 1700, problem: lost });
      live.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it("keeps what the last try ended in while it tries again", async () => {
    const live = new Live(script({ state: { kind: "waiting", attempt: 1, delayMs: 0, error: lost } }, { state: { kind: "connecting", attempt: 2 } }).open, () => undefined);
    live.start();
    await vi.waitFor(() => expect(live.state.value).toEqual({ phase: "connecting", problem: lost }), PATIENT);
    live.stop();
  });

  it("rests while nobody sees the page, and goes on when somebody does", async () => {
    const page = Object.assign(new EventTarget(), { hidden: true });
    vi.stubGlobal("document", page);
    const show = (hidden: boolean) => {
      page.hidden = hidden;
      page.dispatchEvent(new Event("visibilitychange"));
    };
    try {
      const s = script({ state: { kind: "live" } });
      const live = new Live(s.open, () => undefined);
      live.start();
      expect(live.state.value).toEqual({ phase: "stopped" });
      expect(s.signals).toHaveLength(0);
      show(false);
      await vi.waitFor(() => expect(live.state.value).toEqual({ phase: "live" }), PATIENT);
      show(true);
      expect(live.state.value).toEqual({ phase: "stopped" });
      expect(s.signals.map((x) => x.aborted)).toEqual([true]);
      show(false);
      await vi.waitFor(() => expect(live.state.value).toEqual({ phase: "live" }), PATIENT);
      live.stop();
      show(true);
      show(false);
      expect(s.signals.map((x) => x.aborted)).toEqual([true, true]);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("that is started anew ends the one before, and hears it no more", async () => {
    const taken: string[] = [];
    const s = script({ event: "a" });
    const live = new Live(s.open, (e) => taken.push(e));
    live.start();
    await vi.waitFor(() => expect(taken).toEqual(["a"]), PATIENT);
    live.start();
    await vi.waitFor(() => expect(taken).toEqual(["a", "a"]), PATIENT);
    expect(s.signals.map((x) => x.aborted)).toEqual([true, false]);
    live.stop();
  });
});
