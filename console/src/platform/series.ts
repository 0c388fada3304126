// What a chart is drawn from: steps of equal length, the oldest first.
import { timestampMs } from "@keelson/client";
import type { History } from "@keelson/client/gen/keelson/platform/v1/platform_pb";
import { secondsOf } from "../lib/format.js";

export interface Series {
  /** Ends of the steps in seconds since 1970. */
  time: number[];
  calls: number[];
  errors: number[];
  /** Seconds; null where there were no calls. */
  p50: (number | null)[];
  p99: (number | null)[];
}

/** How many steps are kept: five minutes. */
export const STEPS = 300;

/** What a chart spans, in seconds: to its last step, or to now. uPlot's own bounds of one step alone are days away. */
export function windowOf(times: ArrayLike<number> | undefined, now: number): [number, number] {
  const end = times?.[times.length - 1] ?? now;
  return [end - STEPS, end];
}

export const noSeries: Series = { time: [], calls: [], errors: [], p50: [], p99: [] };

/** appended is a series with what came after it; steps that it has already are not taken twice. */
export function appended(old: Series | undefined, history: History | undefined): Series {
  const before = old ?? noSeries;
  const n = history?.callsPerSecond.length ?? 0;
  if (!history?.endTime || n === 0) return before;
  const step = history.step ? secondsOf(history.step) : 1;
  const end = timestampMs(history.endTime) / 1000;
  const last = before.time.at(-1) ?? Number.NEGATIVE_INFINITY;
  const time = Array.from({ length: n }, (_, i) => end - (n - 1 - i) * step);
  // Half a step of tolerance, for clocks that are read in microseconds.
  const fresh = time.findIndex((t) => t > last + step / 2);
  if (fresh < 0) return before;
  const tail = <T>(have: T[], more: T[]) => [...have, ...more.slice(fresh)].slice(-STEPS);
  return {
    time: tail(before.time, time),
    calls: tail(before.calls, history.callsPerSecond),
    errors: tail(before.errors, history.errorsPerSecond),
    p50: tail(before.p50, history.p50Seconds.map(orNull)),
    p99: tail(before.p99, history.p99Seconds.map(orNull)),
  };
}

const orNull = (seconds: number) => (seconds === 0 ? null : seconds);
