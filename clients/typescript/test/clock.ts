import type { Clock } from "../src/clock.js";

/**
 * Waits of less than a minute are over at once and are kept for the test to
 * see; longer ones last until they are fired or their signal ends them.
 */
export class TestClock implements Clock {
  readonly waits: number[] = [];
  private time = 0;
  private readonly lasting = new Set<() => void>();
  private readonly watchers = new Set<() => void>();

  now(): number {
    return this.time;
  }

  random(): number {
    return 0.5;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) {
      return;
    }
    if (ms < 60_000) {
      this.waits.push(ms);
      this.time += ms;
      return;
    }
    await new Promise<void>((resolve) => {
      const end = () => {
        this.lasting.delete(end);
        resolve();
      };
      this.lasting.add(end);
      signal?.addEventListener("abort", end);
      this.watchers.forEach((watcher) => watcher());
    });
  }

  /** Ends the long waits; first waits until there is one. */
  async fire(): Promise<void> {
    if (this.lasting.size === 0) {
      await new Promise<void>((resolve) => this.watchers.add(resolve));
    }
    this.lasting.forEach((end) => end());
  }
}
