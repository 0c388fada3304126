import { Code } from "@connectrpc/connect";
import { systemClock } from "./clock.js";
import type { Clock } from "./clock.js";
import { clientReasons, KeelsonError } from "./errors.js";
import { backoffMs } from "./retry.js";

/**
 * WatchState is what a person may be told about a watch.
 *
 *     connecting --first message--> live --stream broke--> waiting --> connecting
 *                                    |  \--position lost--> resyncing --> connecting
 *                                    \--the server asks to watch again--> live
 *     any --signal aborted, consumer left, or an error that stays--> closed
 */
export type WatchState =
  | { readonly kind: "connecting"; readonly attempt: number }
  | { readonly kind: "live" }
  | { readonly kind: "waiting"; readonly attempt: number; readonly delayMs: number; readonly error: KeelsonError }
  | { readonly kind: "resyncing"; readonly error: KeelsonError }
  | { readonly kind: "closed"; readonly error: KeelsonError | undefined };

/** What all watches take. */
export interface WatchOptions {
  /** Ends the watch: the iteration is done, without an error. */
  signal?: AbortSignal;
  /** Called when the state changes, before the event that comes with it. */
  onState?: (state: WatchState) => void;
  /** The first wait after a stream broke, in milliseconds, doubled for each try. Default 250. */
  initialBackoffMs?: number;
  /** The longest wait, in milliseconds. Default 3000. */
  maxBackoffMs?: number;
  /** How long a live stream may be silent before it counts as broken, in milliseconds. */
  silenceMs?: number;
  /** For tests. */
  clock?: Clock;
}

/** What a watch does after its stream has ended. */
export type Ending = "again" | "wait" | "resync" | "fail";

/** Source is what one kind of watch knows about its stream. */
export interface Source<M, E> {
  /** Opens the stream where the last one ended. */
  open(signal: AbortSignal): AsyncIterable<M>;
  /** Turns a message into events, and remembers where it is. */
  receive(message: M): E[];
  /** Judges how the stream ended; undefined: with OK. */
  ended(error: KeelsonError | undefined): Ending;
  /** Finds a position to go on from when the one held is lost. */
  resync(error: KeelsonError): Promise<void>;
}

/** Errors that trying again does not heal. */
const lasting = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.FailedPrecondition,
  Code.Unimplemented,
]);

/** Judges endings as all watches do: what the server asks for, what may heal, and what stays. */
export function judge(error: KeelsonError | undefined): Ending {
  if (!error) {
    return "again";
  }
  const { code, reason } = error;
  if ((code === Code.Unavailable && reason === "DRAINING") || (code === Code.Aborted && (reason === "WATCH_EXPIRED" || reason === "SLOW_CONSUMER"))) {
    return "again";
  }
  if (code === Code.OutOfRange) {
    return "resync";
  }
  return lasting.has(code) ? "fail" : "wait";
}

/**
 * Yields the events of a source for as long as it is asked to, over as many
 * streams as it takes. It throws only what trying again does not heal.
 */
export async function* follow<M, E>(source: Source<M, E>, options: WatchOptions): AsyncGenerator<E, void, void> {
  const watch = new Watch(source, options);
  try {
    watch.tell({ kind: "connecting", attempt: 1 });
    do {
      yield* watch.stream();
    } while (await watch.next());
  } finally {
    watch.close();
  }
}

class Watch<M, E> {
  private readonly source: Source<M, E>;
  private readonly options: WatchOptions;
  private readonly clock: Clock;
  private state: WatchState | undefined;
  private failures = 0;
  private received = 0;
  private error: KeelsonError | undefined;

  constructor(source: Source<M, E>, options: WatchOptions) {
    this.source = source;
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  tell(state: WatchState): void {
    this.state = state;
    this.options.onState?.(state);
  }

  close(): void {
    if (this.state?.kind !== "closed") {
      this.tell({ kind: "closed", error: undefined });
    }
  }

  /** Yields the events of one stream, and keeps what it ended with. */
  async *stream(): AsyncGenerator<E, void, void> {
    const { signal } = this.options;
    const ours = new AbortController();
    const abort = () => ours.abort();
    signal?.addEventListener("abort", abort);
    this.received = 0;
    this.error = undefined;
    try {
      if (signal?.aborted) {
        return;
      }
      const messages = this.source.open(ours.signal)[Symbol.asyncIterator]();
      for (;;) {
        const next = await this.read(messages, ours);
        if (next.done) {
          return;
        }
        this.received++;
        this.failures = 0;
        if (this.state?.kind !== "live") {
          this.tell({ kind: "live" });
        }
        yield* this.source.receive(next.value);
      }
    } catch (caught) {
      this.error = KeelsonError.from(caught);
    } finally {
      signal?.removeEventListener("abort", abort);
      ours.abort(); // connect ends a stream by its signal alone
    }
  }

  /** Reads a message; a stream that is silent for too long is broken. */
  private async read(messages: AsyncIterator<M>, ours: AbortController): Promise<IteratorResult<M>> {
    const { silenceMs } = this.options;
    const next = messages.next();
    if (silenceMs === undefined) {
      return next;
    }
    const read = new AbortController();
    const silence = this.clock.sleep(silenceMs, read.signal).then((): IteratorResult<M> => {
      if (read.signal.aborted) {
        return { done: true, value: undefined };
      }
      ours.abort();
      throw new KeelsonError({ code: Code.Unavailable, reason: clientReasons.silent, message: `nothing was heard for ${silenceMs} ms` });
    });
    next.catch(() => undefined); // it rejects once the stream is aborted
    try {
      return await Promise.race([next, silence]);
    } finally {
      read.abort();
    }
  }

  /** Prepares the next stream; false: there is none. */
  async next(): Promise<boolean> {
    if (this.options.signal?.aborted) {
      return false;
    }
    const { error } = this;
    const ending = this.source.ended(error);
    if (ending === "fail") {
      this.tell({ kind: "closed", error });
      throw error;
    }
    if (ending === "again" && this.received > 0) {
      return true;
    }
    if (ending === "resync" && error) {
      return this.resync(error);
    }
    return (await this.pause()) && this.connecting();
  }

  private connecting(): boolean {
    this.tell({ kind: "connecting", attempt: this.failures + 1 });
    return true;
  }

  /** Finds a position to go on from: at once, unless that was of no use just now. */
  private async resync(lost: KeelsonError): Promise<boolean> {
    for (let atOnce = this.received > 0 || this.failures === 0; ; atOnce = false) {
      if (!atOnce && !(await this.pause())) {
        return false;
      }
      this.tell({ kind: "resyncing", error: lost });
      try {
        await this.source.resync(lost);
        this.failures++;
        return !this.options.signal?.aborted && this.connecting();
      } catch (caught) {
        this.error = KeelsonError.from(caught);
      }
    }
  }

  /** Waits before the next try, until a browser is online again at the most. */
  private async pause(): Promise<boolean> {
    const { signal, initialBackoffMs = 250, maxBackoffMs = 3000 } = this.options;
    const error = this.error ?? new KeelsonError({ code: Code.Unavailable, reason: clientReasons.connectionLost, message: "the stream ended before its first message" });
    const delayMs = Math.max(error.retryAfterMs ?? 0, backoffMs(this.failures, initialBackoffMs, maxBackoffMs, this.clock));
    this.failures++;
    this.tell({ kind: "waiting", attempt: this.failures, delayMs, error });
    const over = new AbortController();
    const end = () => over.abort();
    signal?.addEventListener("abort", end);
    globalThis.addEventListener?.("online", end);
    await this.clock.sleep(delayMs, over.signal);
    signal?.removeEventListener("abort", end);
    globalThis.removeEventListener?.("online", end);
    return !signal?.aborted;
  }
}
