// A watch, and a state of it that pages show.
import { signal, type ReadonlySignal } from "@preact/signals";
import { KeelsonError, type WatchOptions, type WatchState } from "@keelson/client";

/** Connection is the state of a watch; see WatchState of @keelson/client. */
export type Connection =
  | { phase: "stopped" | "connecting" | "live" | "resyncing" }
  /** The next try is at `until`, in milliseconds since 1970. */
  | { phase: "waiting"; until: number; problem: KeelsonError }
  /** Trying again would not help. */
  | { phase: "failed"; problem: KeelsonError };

export type Open<E> = (options: Required<Pick<WatchOptions, "signal" | "onState">>) => AsyncIterable<E>;

/** Live runs one watch between start and stop. */
export class Live<E> {
  readonly #state = signal<Connection>({ phase: "stopped" });
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
    const running = new AbortController();
    this.#running = running;
    void this.#run(running.signal);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#state.value = { phase: "stopped" };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const onState = (s: WatchState) => {
      const next = connectionOf(s, Date.now());
      if (!signal.aborted && next) this.#state.value = next;
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
