import { useEffect, useRef } from "preact/hooks";
import { now } from "../lib/clock.js";
import type { Connection, Live } from "../lib/live.js";
import { sentence } from "../api/problem.js";
import { announce } from "./announce.js";
import { Icon } from "./icon.js";
import { Correlation } from "./problem.js";

const TEXT: Record<Connection["phase"], string> = {
  connecting: "Connecting…",
  live: "Live",
  waiting: "Reconnecting",
  resyncing: "Resyncing…",
  failed: "Not live",
  stopped: "Not live yet",
};

/** ConnectionState says whether what is shown follows what happens. */
export function ConnectionState({ live, what }: { live: Pick<Live<never>, "start" | "state">; what: string }) {
  const state = live.state.value;
  useAnnouncedPhase(state.phase, what);
  const seconds = state.phase === "waiting" ? Math.max(1, Math.ceil((state.until - Math.max(now.value, Date.now())) / 1000)) : 0;
  const problem = "problem" in state ? state.problem : undefined;
  return (
    <div class="connection" data-phase={state.phase}>
      <span class="connection-dot" aria-hidden="true" />
      <span class="connection-text">{state.phase === "waiting" ? `Reconnecting in ${seconds} s` : TEXT[state.phase]}</span>
      {(state.phase === "waiting" || state.phase === "failed") && (
        <button type="button" class="button quiet small" onClick={() => live.start()}>
          <Icon name="refresh" /> Now
        </button>
      )}
      {problem && (
        <details class="connection-why">
          <summary>Why?</summary>
          <div class="connection-problem">
            <p>{sentence(problem)}</p>
            {problem.correlationId && <Correlation id={problem.correlationId} />}
          </div>
        </details>
      )}
    </div>
  );
}

// A connection that is back before a second is over is nobody's news, however
// often it was tried until then.
function useAnnouncedPhase(phase: Connection["phase"], what: string): void {
  const said = useRef<"live" | "lost" | "">("");
  const away = phase !== "live" && phase !== "stopped";
  useEffect(() => {
    if (phase === "live") {
      if (said.current === "lost") announce(`${what} live again.`);
      said.current = "live";
      return;
    }
    if (said.current !== "live" || !away) return;
    const timer = setTimeout(() => {
      said.current = "lost";
      announce(`${what} not live: the connection was lost. Trying again.`);
    }, 1000);
    return () => clearTimeout(timer);
  }, [phase === "live", away]);
}
