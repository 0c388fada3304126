import { create, getOption, hasOption } from "@bufbuild/protobuf";
import type { DescField, DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { durationMs, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { method as methodPolicy } from "./gen/keelson/policy/v1/policy_pb.js";
import { newUuid } from "./ids.js";

/** What holds for a method, from its contract. */
export interface Policy {
  /** The deadline in milliseconds; undefined: none. */
  readonly timeoutMs: number | undefined;
  /** The method may be sent twice. */
  readonly retryable: boolean;
  /** The field of the request that makes a write one and the same. */
  readonly requestId: DescField | undefined;
}

/** The deadline of unary methods whose contract names none, as in the chassis. */
export const defaultTimeoutMs = 10_000;

const compiled = new WeakMap<DescMethod, Policy>();

/**
 * Reads the policy of a method from its descriptor: `idempotency_level`, a
 * `request_id` of the request, and `(keelson.policy.v1.method).timeout`.
 */
export function policyOf(method: DescMethod): Policy {
  let policy = compiled.get(method);
  if (!policy) {
    policy = compile(method);
    compiled.set(method, policy);
  }
  return policy;
}

function compile(method: DescMethod): Policy {
  const unary = method.methodKind === "unary";
  const requestId = unary ? method.input.fields.find((f) => f.name === "request_id" && f.fieldKind === "scalar") : undefined;
  const repeats = method.methodKind === "unary" || method.methodKind === "server_streaming";
  const declared = method.idempotency !== undefined && method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
  return {
    timeoutMs: timeoutOf(method),
    retryable: repeats && (declared || requestId !== undefined),
    requestId,
  };
}

function timeoutOf(method: DescMethod): number | undefined {
  const timeout = hasOption(method, methodPolicy) ? getOption(method, methodPolicy).timeout : undefined;
  if (timeout) {
    return durationMs(timeout) || undefined; // zero says: none
  }
  return method.methodKind === "unary" ? defaultTimeoutMs : undefined;
}

/**
 * Returns the request with its `request_id` filled with a new UUID if it is
 * empty; the request that was given is not changed.
 */
export function withRequestId<I extends DescMessage>(schema: I, request: MessageInitShape<I>, field: DescField | undefined): MessageShape<I> {
  const message = create(schema, request);
  if (!field) {
    return message;
  }
  const of = reflect(schema, message);
  if (of.get(field) !== "") {
    return message;
  }
  const copy = reflect(schema, { ...message });
  copy.set(field, newUuid());
  return copy.message as MessageShape<I>;
}
