import { type User, User_State } from "@keelson/client";
import { Badge } from "../ui/badge.js";

export function StateBadge({ user }: { user: User }) {
  if (user.deleteTime) return <Badge tone="bad" icon="trash">Deleted</Badge>;
  if (user.state === User_State.SUSPENDED) return <Badge tone="warn" icon="pause">Suspended</Badge>;
  return <Badge tone="good" icon="check">Active</Badge>;
}
