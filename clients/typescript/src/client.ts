import { createClient } from "@connectrpc/connect";
import type { Client, Transport } from "@connectrpc/connect";
import { AuditService } from "./gen/audit/v1/audit_pb.js";
import { PlatformService } from "./gen/keelson/platform/v1/platform_pb.js";
import { UserService } from "./gen/user/v1/user_pb.js";
import { keelsonTransport } from "./transport.js";
import type { CallPolicy } from "./transport.js";

/** Where a platform is, and how it is called. */
export interface KeelsonOptions extends CallPolicy {
  /** The address of the gateway: `https://api.example.com`, or the page's own origin. */
  baseUrl: string;
  /** The fetch to use, for instance one that sends credentials. Default: the global one. */
  fetch?: typeof globalThis.fetch;
}

/** The REST side of the platform, for what the typed clients cannot do in a browser. */
export interface RestEndpoint {
  readonly baseUrl: string;
  readonly headers: Headers;
  readonly fetch: typeof globalThis.fetch;
}

/** The services of a platform. Stateless but for the retry budget; make one and share it. */
export interface KeelsonClient {
  readonly users: Client<typeof UserService>;
  readonly audit: Client<typeof AuditService>;
  readonly platform: Client<typeof PlatformService>;
  /** What the clients above are made of, for services of your own: `createClient(MyService, client.transport)`. */
  readonly transport: Transport;
  readonly rest: RestEndpoint;
}

/** Makes the clients of a platform over any transport of connect, with all that {@link keelsonTransport} adds. */
export function clientOver(inner: Transport, options: KeelsonOptions): KeelsonClient {
  const transport = keelsonTransport(inner, options);
  const headers = new Headers(options.headers);
  if (options.apiKey !== undefined) {
    headers.set("x-api-key", options.apiKey);
  }
  return {
    users: createClient(UserService, transport),
    audit: createClient(AuditService, transport),
    platform: createClient(PlatformService, transport),
    transport,
    rest: {
      baseUrl: options.baseUrl.replace(/\/+$/, ""),
      headers,
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    },
  };
}
