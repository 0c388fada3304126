import type { IncomingMessage, ServerResponse } from "node:http";
import { ConnectError } from "@connectrpc/connect";
import { userService } from "./users.js";

const stored = new Map<string, string>();

/** POST /v1/users:import: NDJSON in, NDJSON out. */
export async function importUsers(req: IncomingMessage, res: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of req) body += chunk;
  res.writeHead(200, { "content-type": "application/x-ndjson", "x-correlation-id": "fakeimport" });
  const lines = body.trim().split("\n").map((l) => JSON.parse(l));
  const importId = lines[0].start.importId as string;
  res.write(`${JSON.stringify({ started: { importId, window: 2048 } })}\n`);
  for (const { item } of lines.slice(1)) {
    const sequence = item.sequence ?? "0";
    const key = `${importId}/${sequence}`;
    let result: object;
    if (stored.has(key)) result = { sequence, name: stored.get(key), replayed: true };
    else {
      try {
        const user = await (userService.createUser as (r: object) => { name: string })({ userId: item.userId ?? "", user: item.user });
        stored.set(key, user.name);
        result = { sequence, name: user.name };
      } catch (cause) {
        const e = ConnectError.from(cause);
        result = { sequence, error: { code: e.code, message: e.rawMessage, details: e.details.map((d) => ("desc" in d ? { "@type": `type.googleapis.com/${d.desc.typeName}`, ...(d.value as object) } : {})) } };
      }
    }
    res.write(`${JSON.stringify({ result })}\n`);
    if (Number(sequence) % 40 === 0) await new Promise((r) => setTimeout(r, 30));
  }
  res.end(`${JSON.stringify({ summary: {} })}\n`);
}
