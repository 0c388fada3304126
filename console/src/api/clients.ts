// The clients of the services, over gRPC-Web to the gateway that served this
// page.
import { createKeelsonClient } from "@keelson/client";

export const client = createKeelsonClient({ baseUrl: globalThis.location?.origin ?? "http://127.0.0.1" });
export const { users, audit, platform } = client;
