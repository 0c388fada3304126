// Numbers and times as the person's locale writes them.
import { timestampDate } from "@keelson/client";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

const locale = () => globalThis.navigator?.languages?.slice() ?? ["en"];

const whole = new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(locale(), { notation: "compact", maximumFractionDigits: 1 });
const short = new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" });
const utc = new Intl.DateTimeFormat("en-CA", { timeZone: "UTC", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });

export const count = (n: number | bigint) => whole.format(n);
export const countShort = (n: number | bigint) => (n < 10_000 ? whole.format(n) : compact.format(n));

/** "Nov 21, 2026, 5:58 AM", in the person's own time. */
export const dateTime = (t: Timestamp) => short.format(timestampDate(t));

/** "2026-11-21 05:58:41.000 UTC". */
export function dateTimeUtc(t: Timestamp): string {
  return `${utc.format(timestampDate(t)).replace(",", "")} UTC`;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [["year", 31_536_000], ["month", 2_592_000], ["week", 604_800], ["day", 86_400], ["hour", 3600], ["minute", 60]];

/** "3 hr. ago"; "now" for what is less than ten seconds away. */
export function ago(t: Timestamp, now: number): string {
  const seconds = (timestampDate(t).getTime() - now) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? relative.format(0, "second") : relative.format(Math.trunc(seconds), "second");
}

/** "12.3/s"; small rates keep two digits. */
export function perSecond(n: number): string {
  const digits = n !== 0 && n < 10 ? 2 : n < 100 ? 1 : 0;
  return `${new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(n)}/s`;
}

/** "0.4 %". */
export function percent(ratio: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: ratio > 0 && ratio < 0.1 ? 1 : 0 }).format(ratio);
}

/** Seconds of a duration. */
export const secondsOf = (d: Duration) => Number(d.seconds) + d.nanos / 1e9;

/** "850 µs", "12 ms", "1.2 s". */
export function latency(seconds: number): string {
  const [value, unit] = seconds < 0.001 ? [seconds * 1e6, "µs"] : seconds < 1 ? [seconds * 1000, "ms"] : [seconds, "s"];
  return `${new Intl.NumberFormat(locale(), { maximumSignificantDigits: value < 1000 ? 3 : 4 }).format(value)} ${unit}`;
}

/**
 * A name within a sentence, kept from turning what stands around it when it is
 * written from right to left (Unicode's first strong isolate).
 */
export const isolated = (name: string) => `\u2068${name}\u2069`;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
const firstOf = (text: string) => graphemes.segment(text)[Symbol.iterator]().next().value?.segment ?? "";

// What begins a word and stands for nobody: brackets, quotes, dashes.
const MARKS = /^[^\p{L}\p{N}\p{Extended_Pictographic}\p{RI}]+/u;

/** Initials for an avatar: of the name to show, else of the name. */
export function initials(displayName: string, name: string): string {
  const parts = displayName.split(/\s+/).map((p) => p.replace(MARKS, "")).filter(Boolean);
  const letters = parts.length > 1 ? [parts[0]!, parts[parts.length - 1]!] : [parts[0] ?? name.replace(/^users\//, "")];
  return letters.map(firstOf).join("").toLocaleUpperCase() || "?";
}

/** The last segment of `users/{user}`. */
export const idOf = (name: string) => name.replace(/^users\//, "");

/** "1 user", "3 users". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
