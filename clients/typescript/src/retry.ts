import { Code } from "@connectrpc/connect";
import type { Clock } from "./clock.js";
import type { KeelsonError } from "./errors.js";

/** How calls are tried again. */
export interface RetryOptions {
  /** How often a call is sent at most, the first time included. Default 3; 1: never again. */
  attempts?: number;
  /** The wait before the second attempt, in milliseconds; doubled for each further one. Default 50. */
  initialBackoffMs?: number;
  /** The longest wait that doubling leads to, in milliseconds. Default 1000. A server may ask for a longer one. */
  maxBackoffMs?: number;
  /**
   * The budget for retries, shared by all calls of a client (gRFC A6): each
   * failure takes one token, each success gives back `ratio`; half of them gone,
   * nothing is tried again. Default 100 tokens, ratio 0.1.
   */
  budget?: { tokens?: number; ratio?: number };
}

/** The wait before a retry: doubled each time, capped, and between 0.8 and 1.2 of that. */
export function backoffMs(retry: number, initialMs: number, maxMs: number, clock: Clock): number {
  return Math.min(initialMs * 2 ** retry, maxMs) * (0.8 + 0.4 * clock.random());
}

/** Retrier decides whether and when a call is tried again. One per client. */
export class Retrier {
  private readonly clock: Clock;
  readonly attempts: number;
  private readonly initialMs: number;
  private readonly maxMs: number;
  private readonly maxTokens: number;
  private readonly ratio: number;
  private tokens: number;

  constructor(options: RetryOptions, clock: Clock) {
    this.clock = clock;
    this.attempts = options.attempts ?? 3;
    this.initialMs = options.initialBackoffMs ?? 50;
    this.maxMs = options.maxBackoffMs ?? 1000;
    this.maxTokens = options.budget?.tokens ?? 100;
    this.ratio = options.budget?.ratio ?? 0.1;
    this.tokens = this.maxTokens;
  }

  /** Tells the budget of a call that succeeded. */
  succeeded(): void {
    this.tokens = Math.min(this.tokens + this.ratio, this.maxTokens);
  }

  /**
   * Tells how many milliseconds to wait before the next attempt, after so many;
   * undefined: do not try again. leftMs is what the deadline leaves.
   */
  next(error: KeelsonError, attempts: number, allowed: number, leftMs: number): number | undefined {
    if (error.code !== Code.Unavailable) {
      return undefined;
    }
    this.tokens = Math.max(this.tokens - 1, 0);
    if (attempts >= allowed || this.tokens <= this.maxTokens / 2) {
      return undefined;
    }
    const wait = Math.max(error.retryAfterMs ?? 0, backoffMs(attempts - 1, this.initialMs, this.maxMs, this.clock));
    return wait < leftMs ? wait : undefined;
  }
}
