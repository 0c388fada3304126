/**
 * Clock is time and chance as this package sees them. Tests give their own;
 * everybody else leaves it to {@link systemClock}.
 */
export interface Clock {
  /** Milliseconds since some fixed moment; only differences count. */
  now(): number;
  /**
   * Resolves after so many milliseconds, or as soon as the signal is aborted.
   * It never rejects.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number in [0, 1). */
  random(): number;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done);
    }),
};
