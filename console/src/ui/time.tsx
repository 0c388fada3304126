import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@keelson/client";
import { now } from "../lib/clock.js";
import { ago, dateTime, dateTimeUtc } from "../lib/format.js";
import { None } from "./none.js";

/** When shows a time in the person's own zone, with UTC as its tooltip. */
export function When({ time, relative = false }: { time: Timestamp | undefined; relative?: boolean }) {
  if (!time) return <None />;
  const text = relative ? ago(time, now.value) : dateTime(time);
  const title = relative ? `${dateTime(time)}\n${dateTimeUtc(time)}` : dateTimeUtc(time);
  return <time dateTime={timestampDate(time).toISOString()} title={title}>{text}</time>;
}
