import { signal } from "@preact/signals";

/** now ticks each second while somebody can see the page. */
export const now = signal(Date.now());

export function runClock(): () => void {
  const timer = setInterval(() => {
    if (!document.hidden) now.value = Date.now();
  }, 1000);
  return () => clearInterval(timer);
}
