// The package for Node, which can also speak gRPC itself.
import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import type { ConnectTransportOptions } from "@connectrpc/connect-node";
import { clientOver } from "./client.js";
import type { KeelsonClient, KeelsonOptions } from "./client.js";

export * from "./common.js";

/** {@link KeelsonOptions} of {@link createKeelsonClient}. */
export interface NodeOptions extends KeelsonOptions {
  /** The protocol. Default `grpc`, which alone also streams from the client. */
  transport?: "grpc" | "grpc-web" | "connect";
  /** Interceptors of connect, run for each attempt. */
  interceptors?: Interceptor[];
  /** Options of Node's TLS and HTTP/2, such as `{ ca }`. */
  nodeOptions?: NonNullable<Extract<ConnectTransportOptions, { httpVersion: "2" }>["nodeOptions"]>;
}

const protocols = {
  grpc: createGrpcTransport,
  "grpc-web": createGrpcWebTransport,
  connect: createConnectTransport,
};

/** Makes the clients of a platform over HTTP/2. It connects to nothing yet. */
export function createKeelsonClient(options: NodeOptions): KeelsonClient {
  const { baseUrl, nodeOptions, interceptors = [] } = options;
  const make = protocols[options.transport ?? "grpc"];
  return clientOver(make({ baseUrl, httpVersion: "2", interceptors, ...(nodeOptions && { nodeOptions }) }), options);
}
