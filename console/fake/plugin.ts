// Lets Vite's server answer as a gateway would.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Plugin } from "vite";
import { AuditService } from "../node_modules/@keelson/client/src/gen/audit/v1/audit_pb.js";
import { PlatformService } from "../node_modules/@keelson/client/src/gen/keelson/platform/v1/platform_pb.js";
import { UserService } from "../node_modules/@keelson/client/src/gen/user/v1/user_pb.js";
import { auditService } from "./audit.js";
import { importUsers } from "./import.js";
import { type Scene, kill, platformService, play } from "./platform.js";
import { add, compact, purge, userService } from "./users.js";

const GIVEN = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Katherine", "Donald", "Frances", "Linus", "Radia", "Ken", "Margaret"];
const FAMILY = ["Lovelace", "Hopper", "Dijkstra", "Liskov", "Turing", "Johnson", "Knuth", "Allen", "Torvalds", "Perlman", "Thompson", "Hamilton"];
const TEAMS = ["infra", "design", "research", "support"];

function seed(n: number, prefix = ""): void {
  for (let i = 0; i < n; i++) {
    const given = GIVEN[i % GIVEN.length]!, family = FAMILY[(i * 7 + Math.floor(i / 12)) % FAMILY.length]!;
    const id = `${prefix}${given}-${family}-${i}`.toLowerCase();
    add(id, { email: `${prefix}${given}.${family}${i}@example.com`.toLowerCase(), displayName: `${given} ${family}`, givenName: given, familyName: family, labels: { team: TEAMS[i % 4]!, site: i % 2 ? "berlin" : "oslo" }, state: i % 9 === 4 ? 2 : 1 });
  }
}

export function fakeGateway(): Plugin {
  seed(Number(process.env.FAKE_USERS ?? 130));
  const rpc = connectNodeAdapter({
    routes: (router) => {
      router.service(UserService, userService);
      router.service(AuditService, auditService);
      router.service(PlatformService, platformService);
    },
  });
  let down = false;
  // Of calls; what asks for the gateway to stop may come over one of them, and is answered.
  const sockets = new Set<Socket>();
  const answer = (req: IncomingMessage, res: ServerResponse, next: () => void) => {
    const path = req.url ?? "";
    if (path.startsWith("/console")) return next();
    if (path.startsWith("/fake/")) {
      if (path === "/fake/kill" || path === "/fake/revive") kill(path === "/fake/kill");
      if (path.startsWith("/fake/compact")) compact();
      if (path.startsWith("/fake/purge/")) purge(path.slice("/fake/purge/".length));
      if (path.startsWith("/fake/scene/")) play(path.slice("/fake/scene/".length) as Scene);
      if (path.startsWith("/fake/people/")) seed(Number(path.slice("/fake/people/".length)), "many-");
      if (path.startsWith("/fake/gateway/")) down = path.endsWith("/stop");
      if (down) for (const socket of sockets) if (socket !== req.socket) socket.destroy();
      return void res.end("user-2");
    }
    if (down) return void req.socket.destroy();
    if (!sockets.has(req.socket)) {
      sockets.add(req.socket);
      req.socket.once("close", () => sockets.delete(req.socket));
    }
    if (path === "/") return void res.writeHead(302, { location: "/console/" }).end();
    if (path === "/v1/users:import") return void importUsers(req, res);
    setTimeout(() => rpc(req, res), Number(process.env.FAKE_DELAY ?? 60));
  };
  return {
    name: "fake-gateway",
    configureServer: (server) => void server.middlewares.use(answer),
    configurePreviewServer: (server) => void server.middlewares.use(answer),
  };
}
