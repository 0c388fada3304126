// The package for Node, which can also speak gRPC itself.
import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import type { ConnectTransportOptions } from "@connectrpc/connect-node";
import { clientOver } from "./client.js";
import type { KeelsonClient, KeelsonOptions } from "./client.js";

export * from "./common.js";

/** {@link KeelsonOptions} of {@link createKeelsonClient}. */
export interface NodeOptions extends KeelsonOptions {
  /**
   * The protocol. Default `grpc-web`, which every edge serves. `grpc` alone also
   * streams from the client; it needs HTTP/2, so https, an edge with `h2c`, or
   * the address of a gRPC listener.
   */
  transport?: "grpc" | "grpc-web" | "connect";
  /** Default: 2 for https and for `grpc`, otherwise 1.1. */
  httpVersion?: "1.1" | "2";
  /** Interceptors of connect, run for each attempt. */
  interceptors?: Interceptor[];
  /** Options of Node's TLS, such as `{ ca }`. */
  nodeOptions?: NonNullable<Extract<ConnectTransportOptions, { httpVersion: "2" }>["nodeOptions"]>;
}

/** Makes the clients of a platform over Node's own HTTP. It connects to nothing yet. */
export function createKeelsonClient(options: NodeOptions): KeelsonClient {
  const { baseUrl, nodeOptions, transport = "grpc-web", interceptors = [] } = options;
  const common = { baseUrl, interceptors, ...(nodeOptions && { nodeOptions }) };
  if (transport === "grpc") {
    return clientOver(createGrpcTransport(common), options);
  }
  const make = transport === "connect" ? createConnectTransport : createGrpcWebTransport;
  const httpVersion = options.httpVersion ?? (new URL(baseUrl).protocol === "https:" ? "2" : "1.1");
  return clientOver(make({ ...common, httpVersion } as ConnectTransportOptions), options);
}
