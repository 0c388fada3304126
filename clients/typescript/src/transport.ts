import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, createContextValues } from "@connectrpc/connect";
import type { ContextValues, StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { systemClock } from "./clock.js";
import type { Clock } from "./clock.js";
import { KeelsonError } from "./errors.js";
import { correlationHeader, correlationOf, newCorrelationId } from "./ids.js";
import { policyOf, withRequestId } from "./policy.js";
import type { Policy } from "./policy.js";
import { Retrier } from "./retry.js";
import type { RetryOptions } from "./retry.js";

/** What is told of a call that ended. */
export interface CallInfo {
  /** The full name of the method: `user.v1.UserService/GetUser`. */
  readonly method: string;
  readonly correlationId: string;
  /** How often it was sent. */
  readonly attempts: number;
  /** From the start to the end of the call, its waits included. */
  readonly durationMs: number;
  /** What it ended with; undefined: it succeeded. */
  readonly error: KeelsonError | undefined;
}

/** What {@link keelsonTransport} adds to calls. */
export interface CallPolicy {
  /** Sent as `x-api-key`. */
  apiKey?: string;
  /** Sent with each call; those of a single call win. */
  headers?: HeadersInit;
  /**
   * The deadline of unary calls that are given none, in milliseconds. Default:
   * that of the method's contract. 0: none.
   */
  timeoutMs?: number;
  /** How calls are tried again. */
  retry?: RetryOptions;
  /** Called once for each call as it ends. */
  onCall?: (call: CallInfo) => void;
  /** For tests. */
  clock?: Clock;
}

const attemptsKey = createContextKey<number | undefined>(undefined, { description: "how often a call is sent at most" });

/**
 * Says for one call how often it is sent at most:
 * `users.getUser(request, { contextValues: attempts(1) })`. It never makes
 * calls retryable that their contract does not allow to be sent twice.
 */
export function attempts(most: number, values: ContextValues = createContextValues()): ContextValues {
  return values.set(attemptsKey, most);
}

/**
 * Puts what Keelson's own clients do around a transport of connect: a deadline
 * for every unary call, a correlation ID, retries of what may be sent twice, and
 * {@link KeelsonError} for every failure.
 */
export function keelsonTransport(inner: Transport, policy: CallPolicy = {}): Transport {
  const clock = policy.clock ?? systemClock;
  const shared: Shared = { inner, policy, clock, retrier: new Retrier(policy.retry ?? {}, clock) };
  return {
    unary: (method, signal, timeoutMs, header, input, values) =>
      new Call(shared, method, signal, timeoutMs, header, values).unary(method, input),
    stream: (method, signal, timeoutMs, header, input, values) =>
      new Call(shared, method, signal, timeoutMs, header, values).stream(method, input),
  };
}

interface Shared {
  readonly inner: Transport;
  readonly policy: CallPolicy;
  readonly clock: Clock;
  readonly retrier: Retrier;
}

type AnyMethod = DescMethodUnary | DescMethodStreaming;

/** Call is one call, with all its attempts. */
class Call {
  private readonly shared: Shared;
  private readonly signal: AbortSignal | undefined;
  private readonly method: Policy;
  private readonly name: string;
  private readonly header: Headers;
  private readonly values: ContextValues;
  private readonly begin: number;
  private readonly deadline: number;
  private readonly allowed: number;
  private correlationId: string;
  private sent = 0;
  private ended = false;

  constructor(
    shared: Shared,
    method: AnyMethod,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    values: ContextValues | undefined,
  ) {
    this.shared = shared;
    this.signal = signal;
    const { clock, policy, retrier } = shared;
    this.method = policyOf(method);
    this.name = `${method.parent.typeName}/${method.name}`;
    this.values = values ?? createContextValues();
    this.header = headersOf(policy, header);
    this.correlationId = this.header.get(correlationHeader) ?? "";
    if (this.correlationId === "") {
      this.correlationId = newCorrelationId();
      this.header.set(correlationHeader, this.correlationId);
    }
    const timeout = timeoutMs ?? (method.methodKind === "unary" ? policy.timeoutMs : undefined) ?? this.method.timeoutMs;
    this.begin = clock.now();
    this.deadline = timeout !== undefined && timeout > 0 ? this.begin + timeout : Infinity;
    this.allowed = this.method.retryable ? (this.values.get(attemptsKey) ?? retrier.attempts) : 1;
  }

  async unary<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>, input: MessageInitShape<I>): Promise<UnaryResponse<I, O>> {
    const { inner } = this.shared;
    const request = withRequestId(method.input, input, this.method.requestId);
    const response = await this.attempt((timeoutMs) =>
      inner.unary(method, this.signal, timeoutMs, this.header, request as MessageInitShape<I>, this.values),
    );
    this.learn(response.header, response.trailer);
    this.end(undefined);
    return response;
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    input: AsyncIterable<MessageInitShape<I>>,
  ): Promise<StreamResponse<I, O>> {
    const { inner } = this.shared;
    // What may be sent twice is a single request: it is kept.
    const request = method.methodKind === "server_streaming" ? await firstOf(input) : undefined;
    const open = () =>
      this.attempt((timeoutMs) =>
        inner.stream(method, this.signal, timeoutMs, this.header, request ? listOf(request) : input, this.values),
      );
    const response = await open();
    const trailer = new Headers();
    return { ...response, trailer, message: this.messages(response, open, trailer) };
  }

  /** The messages of a stream; while there was none it is opened again. */
  private async *messages<I extends DescMessage, O extends DescMessage>(
    response: StreamResponse<I, O>,
    open: () => Promise<StreamResponse<I, O>>,
    trailer: Headers,
  ): AsyncGenerator<MessageShape<O>> {
    let any = false;
    for (;;) {
      try {
        for await (const message of response.message) {
          any = true;
          yield message;
        }
        response.trailer.forEach((value, key) => trailer.append(key, value));
        this.learn(response.header, response.trailer);
        this.end(undefined);
        return;
      } catch (caught) {
        const error = this.fault(caught);
        if (any || !(await this.again(error))) {
          throw this.end(error);
        }
      }
      response = await open();
    }
  }

  /** Sends the call until it succeeds or may not be sent again. */
  private async attempt<T>(send: (timeoutMs: number) => Promise<T>): Promise<T> {
    for (;;) {
      this.sent++;
      try {
        const left = this.deadline - this.shared.clock.now();
        return await send(left === Infinity ? 0 : Math.max(1, Math.ceil(left)));
      } catch (caught) {
        const error = this.fault(caught);
        if (!(await this.again(error))) {
          throw this.end(error);
        }
      }
    }
  }

  /** Waits for the next attempt; false: there is none. */
  private async again(error: KeelsonError): Promise<boolean> {
    const { clock, retrier } = this.shared;
    const wait = retrier.next(error, this.sent, this.allowed, this.deadline - clock.now());
    if (wait === undefined || this.signal?.aborted) {
      return false;
    }
    await clock.sleep(wait, this.signal);
    if (this.signal?.aborted) {
      throw this.end(this.fault(new ConnectError("the call was cancelled", Code.Canceled)));
    }
    return true;
  }

  private fault(caught: unknown): KeelsonError {
    return KeelsonError.from(caught, this.correlationId);
  }

  /** Takes over the correlation ID under which the server knows the call. */
  private learn(...answered: Headers[]): void {
    for (const headers of answered) {
      this.correlationId = correlationOf(headers) || this.correlationId;
    }
  }

  private end(error: KeelsonError | undefined): KeelsonError | undefined {
    if (this.ended) {
      return error;
    }
    this.ended = true;
    const { clock, policy, retrier } = this.shared;
    if (!error) {
      retrier.succeeded();
    }
    policy.onCall?.({
      method: this.name,
      correlationId: error?.correlationId || this.correlationId,
      attempts: this.sent,
      durationMs: clock.now() - this.begin,
      error,
    });
    return error;
  }
}

function headersOf(policy: CallPolicy, header: HeadersInit | undefined): Headers {
  const all = new Headers(policy.headers);
  if (policy.apiKey !== undefined) {
    all.set("x-api-key", policy.apiKey);
  }
  new Headers(header).forEach((value, key) => all.set(key, value));
  return all;
}

async function firstOf<T>(messages: AsyncIterable<T>): Promise<T> {
  for await (const message of messages) {
    return message;
  }
  throw new ConnectError("the call has no request", Code.Internal);
}

async function* listOf<T>(message: T): AsyncGenerator<T> {
  yield message;
}
