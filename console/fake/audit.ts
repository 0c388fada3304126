import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type AuditService, type Change, ChangeSchema, Change_Kind as Kind } from "../node_modules/@keelson/client/src/gen/audit/v1/audit_pb.js";
import { listeners } from "./users.js";

const changes: Change[] = [];
const KINDS = { created: Kind.CREATED, updated: Kind.UPDATED, deleted: Kind.DELETED, undeleted: Kind.UNDELETED, suspended: Kind.SUSPENDED, activated: Kind.ACTIVATED, purged: Kind.PURGED };

listeners.add(({ kind, user }) => {
  const position = BigInt(changes.length + 1);
  changes.push(create(ChangeSchema, { name: `changes/${position}`, position, kind: KINDS[kind], user: user.name, userUid: user.uid, changedFields: kind === "updated" ? ["display_name", "labels"] : [], changeTime: timestampNow() }));
});

export const auditService: Partial<ServiceImpl<typeof AuditService>> = {
  listChanges(req) {
    const all = changes.filter((c) => c.user === req.user).reverse();
    const from = Number(req.pageToken || 0);
    return { changes: all.slice(from, from + 20), nextPageToken: from + 20 < all.length ? String(from + 20) : "" };
  },
};
