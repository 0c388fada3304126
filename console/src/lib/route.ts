// Where the console is: the URL below /console/, and what history keeps with it.
import { signal } from "@preact/signals";

export const BASE = "/console/";

export interface Place {
  /** Below the base, without a slash at its ends: "users/ada-l". */
  path: string;
  search: URLSearchParams;
  /** What navigate was given; survives reload, back and forward. */
  state: unknown;
}

export const place = signal<Place>(current());

function current(): Place {
  if (typeof location === "undefined") return { path: "", search: new URLSearchParams(), state: null };
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : "";
  return { path: safeDecode(path).replace(/^\/+|\/+$/g, ""), search: new URLSearchParams(location.search), state: history.state };
}

// A hand-typed `%` that begins no escape is itself.
function safeDecode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** href is the address of a path below the base. */
export function href(path: string, search?: URLSearchParams): string {
  const query = search?.toString() ?? "";
  return BASE + path.split("/").map(encodeURIComponent).join("/") + (query ? `?${query}` : "");
}

/** navigate goes to an address made by href. */
export function navigate(to: string, options: { replace?: boolean; state?: unknown } = {}): void {
  if (options.replace) history.replaceState(options.state ?? null, "", to);
  else history.pushState(options.state ?? null, "", to);
  place.value = current();
}

/** listenToHistory follows back and forward until the returned function is called. */
export function listenToHistory(): () => void {
  const moved = () => (place.value = current());
  addEventListener("popstate", moved);
  return () => removeEventListener("popstate", moved);
}
