// Both entry points over real connections, with every protocol that they have.
import assert from "node:assert/strict";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { after, test } from "node:test";
import { Code } from "@connectrpc/connect";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { UserService, WatchUsersResponse_Type } from "../src/gen/user/v1/user_pb.js";
import { createKeelsonClient, KeelsonError, watchUsers } from "../src/index.js";
import type { CallInfo, KeelsonClient, KeelsonOptions } from "../src/index.js";
import { createKeelsonClient as createNodeClient } from "../src/node.js";
import { fault } from "./server.js";

const { ADDED, BOOKMARK } = WatchUsersResponse_Type;

function routes(router: ConnectRouter): void {
  router.rpc(UserService.method.getUser, ({ name }, context) => {
    if (name !== "users/ada-l") {
      throw fault(Code.NotFound, "USER_NOT_FOUND", { name });
    }
    context.responseTrailer.set("x-correlation-id", "of-the-server");
    return { name, email: "ada@example.com" };
  });
  router.rpc(UserService.method.watchUsers, async function* ({ startRevision }, { signal }) {
    yield startRevision === "" ? { type: BOOKMARK, revision: "1", initialStateEnd: true } : { type: ADDED, user: { name: "users/new" }, revision: "2" };
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    ended++;
  });
}

/** How many watches have ended on the server. */
let ended = 0;

/** A server that can cut all its connections. */
class Cuttable {
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  static async start(server: Server): Promise<Cuttable> {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Cuttable(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.sockets.forEach((socket) => socket.destroy());
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
  }
}

const handler = connectNodeAdapter({ routes });
const one = await Cuttable.start(http.createServer(handler));
const two = await Cuttable.start(http2.createServer(handler));
after(async () => {
  await one.stop();
  await two.stop();
});

// A machine may be busier than a contract thinks.
const patient = { timeoutMs: 60_000 };

// Nobody listens on port 2, which the system hands to nobody; fetch refuses port 1 itself.
const nobody = "http://127.0.0.1:2";

type Make = (options: Partial<KeelsonOptions>) => KeelsonClient;
const clients: [string, Cuttable, Make][] = [
  ["gRPC-Web by fetch", one, (o) => createKeelsonClient({ ...patient, baseUrl: one.url, ...o })],
  ["Connect by fetch", one, (o) => createKeelsonClient({ ...patient, baseUrl: one.url, transport: "connect", ...o })],
  ["gRPC", two, (o) => createNodeClient({ ...patient, baseUrl: two.url, transport: "grpc", ...o })],
  ["gRPC-Web by HTTP/1.1", one, (o) => createNodeClient({ ...patient, baseUrl: one.url, ...o })],
  ["Connect by HTTP/1.1", one, (o) => createNodeClient({ ...patient, baseUrl: one.url, transport: "connect", ...o })],
  ["gRPC-Web by HTTP/2", two, (o) => createNodeClient({ ...patient, baseUrl: two.url, httpVersion: "2", ...o })],
  ["Connect by HTTP/2", two, (o) => createNodeClient({ ...patient, baseUrl: two.url, transport: "connect", httpVersion: "2", ...o })],
];

for (const [name, server, make] of clients) {
  test(`${name}: a call is answered, under the server's correlation ID`, async () => {
    const calls: CallInfo[] = [];
    const { users } = make({ onCall: (call) => calls.push(call) });
    assert.equal((await users.getUser({ name: "users/ada-l" })).email, "ada@example.com");
    assert.deepEqual(calls.map((c) => [c.correlationId, c.attempts]), [["of-the-server", 1]]);
  });

  test(`${name}: an error arrives whole`, async () => {
    const { users } = make({});
    await assert.rejects(users.getUser({ name: "users/nobody" }), (error) => {
      assert.ok(error instanceof KeelsonError);
      assert.deepEqual([error.code, error.reason, error.metadata["name"], error.correlationId], [Code.NotFound, "USER_NOT_FOUND", "users/nobody", "of-the-server"]);
      return true;
    });
  });

  test(`${name}: nobody there is a lost connection, after all attempts`, async () => {
    const calls: CallInfo[] = [];
    const { users } = make({ baseUrl: nobody, onCall: (call) => calls.push(call), retry: { initialBackoffMs: 1 } });
    await assert.rejects(users.getUser({}), (error) => error instanceof KeelsonError && error.code === Code.Unavailable && error.isNetworkFailure);
    assert.equal(calls[0]?.attempts, 3);
  });

  test(`${name}: a watch survives a connection that is cut`, async () => {
    const { users } = make({});
    const seen: string[] = [];
    const states: string[] = [];
    for await (const event of watchUsers(users, { onState: (s) => states.push(s.kind), initialBackoffMs: 1 })) {
      seen.push(event.kind);
      if (event.kind === "synced") {
        server.cut();
      } else if (event.kind === "added") {
        break;
      }
    }
    assert.deepEqual(seen, ["reset", "synced", "added"]);
    // How often it is tried depends on how soon the client hears of each connection that was cut.
    assert.equal(states.join(" ").replaceAll(/(waiting connecting ?)+/g, "again "), "connecting live again live closed");
  });

  test(`${name}: a signal ends the call, and the server hears of it`, { timeout: 60_000 }, async () => {
    const { users } = make({});
    const before = ended;
    const end = new AbortController();
    await assert.rejects(async () => {
      for await (const _ of users.watchUsers({}, { signal: end.signal })) {
        end.abort();
      }
    }, (error) => error instanceof KeelsonError && error.code === Code.Canceled);
    while (ended === before) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });

  test(`${name}: who leaves a watch ends it, and the server hears of it`, { timeout: 60_000 }, async () => {
    const { users } = make({});
    const before = ended;
    for await (const _ of watchUsers(users)) {
      break;
    }
    while (ended === before) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
}
