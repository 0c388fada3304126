import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { clientOver } from "../src/common.js";
import type { KeelsonClient, KeelsonOptions } from "../src/common.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";

/** Clients of services that run in this process. */
export function clientOf(routes: (router: ConnectRouter) => void, options: Partial<KeelsonOptions> = {}): KeelsonClient {
  return clientOver(createRouterTransport(routes), { baseUrl: "http://test.invalid", ...options });
}

/** An error as Keelson's services send them. */
export function fault(code: Code, reason: string, metadata: Record<string, string> = {}, retryMs?: number): ConnectError {
  const error = new ConnectError(`${reason} happened`, code, { "x-correlation-id": "of-the-server" }, [
    { desc: ErrorInfoSchema, value: { reason, domain: "user.keelson.dev", metadata } },
  ]);
  if (retryMs !== undefined) {
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryMs) } });
  }
  return error;
}
