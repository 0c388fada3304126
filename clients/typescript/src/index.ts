// The package for browsers; it runs wherever there is fetch.
import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { clientOver } from "./client.js";
import type { KeelsonClient, KeelsonOptions } from "./client.js";

export * from "./common.js";

/** {@link KeelsonOptions} of {@link createKeelsonClient}. */
export interface WebOptions extends KeelsonOptions {
  /** The protocol. Default `grpc-web`. Both do unary calls and server streams; browsers can do no more. */
  transport?: "grpc-web" | "connect";
  /** Interceptors of connect, run for each attempt. */
  interceptors?: Interceptor[];
}

/**
 * Makes the clients of a platform. It connects to nothing yet.
 *
 *     const { users } = createKeelsonClient({ baseUrl: "http://127.0.0.1:8080" });
 *     const ada = await users.getUser({ name: "users/ada-l" });
 */
export function createKeelsonClient(options: WebOptions): KeelsonClient {
  const { baseUrl, fetch, interceptors = [] } = options;
  const make = options.transport === "connect" ? createConnectTransport : createGrpcWebTransport;
  return clientOver(make({ baseUrl, interceptors, ...(fetch && { fetch }) }), options);
}
