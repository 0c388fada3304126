// A watch, and a state of it that pages show.
import { signal, type ReadonlySignal } from "@preact/signals";
import { KeelsonError, type WatchOptions, type WatchState } from "@keelson/client";

/** Connection is the state of a watch; see WatchState of @keelson/client. */
export type Connection =
  | { phase: "stopped" | "live" | "resyncing" }
  /** With what the last try ended in, if it is tried again. */
  | { phase: "connecting"; problem?: KeelsonError }
  /** The next try is at `until`, in milliseconds since 1970. */
  | { phase: "waiting"; until: number; problem: KeelsonError }
  /** Trying again would not help. */
  | { phase: "failed"; problem: KeelsonError };

export type Open<E> = (options: Required<Pick<WatchOptions, "signal" | "onState">>) => AsyncIterable<E>;

/**
 * Live runs one watch between start and stop, and rests while nobody sees the
 * page: over HTTP/1.1 a browser opens six connections to a server for all of its
 * tabs together, and watches would hold them.
 */
export class Live<E> {
  readonly #state = signal<Connection>({ phase: "stopped" });
  #wanted: AbortController | undefined;
  #running: AbortController | undefined;

  /** Open is called at each start, and goes on from where the last event left off. */
  constructor(
    readonly open: Open<E>,
    readonly take: (event: E) => void,
  ) {}

  get state(): ReadonlySignal<Connection> {
    return this.#state;
  }

  /** start ends what was running; it is also how a wait is cut short. */
  start(): void {
    this.stop();
    this.#wanted = new AbortController();
    const page = globalThis.document;
    page?.addEventListener("visibilitychange", () => (page.hidden ? this.#rest() : this.#go()), { signal: this.#wanted.signal });
    if (!page?.hidden) this.#go();
  }

  stop(): void {
    this.#wanted?.abort();
    this.#wanted = undefined;
    this.#rest();
  }

  #go(): void {
    this.#rest();
    const running = new AbortController();
    this.#running = running;
    this.#state.value = { phase: "connecting" };
    void this.#run(running.signal);
  }

  #rest(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#state.value = { phase: "stopped" };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const onState = (s: WatchState) => {
      const next = connectionOf(s, Date.now());
      if (signal.aborted || !next) return;
      const before = this.#state.value;
      this.#state.value = next.phase === "connecting" && "problem" in before ? { ...next, problem: before.problem! } : next;
    };
    try {
      for await (const event of this.open({ signal, onState })) {
        if (signal.aborted) return;
        this.take(event);
      }
    } catch (cause) {
      if (!signal.aborted) this.#state.value = { phase: "failed", problem: KeelsonError.from(cause) };
    }
  }
}

function connectionOf(s: WatchState, now: number): Connection | undefined {
  switch (s.kind) {
    case "waiting":
      return { phase: "waiting", until: now + s.delayMs, problem: s.error };
    case "closed":
      return s.error && { phase: "failed", problem: s.error };
    default:
      return { phase: s.kind };
  }
}
