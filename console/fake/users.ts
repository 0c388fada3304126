// A user service in memory, as far as the console asks for it: no filter but
// words, states, labels and names; no limits. For development and tests of the
// pages; never shipped.
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema } from "../node_modules/@keelson/client/src/gen/google/rpc/error_details_pb.js";
import { type User, UserSchema, type UserService, User_State as State, WatchUsersResponseSchema, WatchUsersResponse_Type as Type } from "../node_modules/@keelson/client/src/gen/user/v1/user_pb.js";

/** pause waits until a time has passed, the call has ended or it is woken. */
export function pause(ms: number, signal: AbortSignal, wake: (w: () => void) => void = () => {}): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    wake(done);
  });
}

type Told = { kind: "created" | "updated" | "deleted" | "undeleted" | "suspended" | "activated" | "purged"; user: User; before: User | undefined };
type Listener = (told: Told, revision: number) => void;

export const store = new Map<string, User>();
export const listeners = new Set<Listener>();
/** What a watch can be resumed with; its revisions begin after `oldest`. */
const log: { told: Told; at: number }[] = [];
let oldest = 1;
let revision = 1;
let version = 1;

/** compact forgets the changes until now, as a service does whose time for them is over. */
export function compact(): void {
  log.length = 0;
  oldest = revision;
}

export function fault(code: Code, reason: string, message: string, fields: { field: string; description: string }[] = [], metadata: Record<string, string> = {}): ConnectError {
  const error = new ConnectError(message, code, { "x-correlation-id": `fake${Date.now().toString(36)}` });
  error.details.push({ desc: ErrorInfoSchema, value: { reason, domain: "user.keelson.dev", metadata } });
  if (fields.length) error.details.push({ desc: BadRequestSchema, value: { fieldViolations: fields } });
  return error;
}

export function put(user: User, kind: Told["kind"]): User {
  const before = store.get(user.name);
  const next = create(UserSchema, { ...user, etag: `"${(++version).toString(36)}"`, updateTime: timestampNow() });
  store.set(user.name, next);
  tell({ kind, user: next, before });
  return next;
}

function tell(told: Told): void {
  log.push({ told, at: ++revision });
  for (const l of listeners) l(told, revision);
}

/** purge takes a user away for good, as a service does some time after it was deleted. */
export function purge(id: string): void {
  const user = find(`users/${id}`);
  store.delete(user.name);
  tell({ kind: "purged", user, before: user });
}

export function add(id: string, init: MessageInitShape<typeof UserSchema>): User {
  return put(create(UserSchema, { state: State.ACTIVE, createTime: timestampNow(), ...init, uid: crypto.randomUUID(), name: `users/${id}` }), "created");
}

function find(name: string): User {
  const user = store.get(name);
  if (!user) throw fault(Code.NotFound, "USER_NOT_FOUND", `there is no user "${name}"; it never existed or was purged`);
  return user;
}

function live(name: string): User {
  const user = find(name);
  if (user.deleteTime) throw fault(Code.FailedPrecondition, "USER_DELETED", `user "${name}" is deleted; undelete it first`);
  return user;
}

function checkEmail(email: string, but: string): void {
  if (!/^[^@\s]+@[^@\s]+$/.test(email)) throw fault(Code.InvalidArgument, "INVALID_REQUEST", "the request is invalid", [{ field: "user.email", description: "must be an address like anna@example.com, without spaces" }]);
  for (const u of store.values()) if (u.name !== but && !u.deleteTime && u.email.toLowerCase() === email.toLowerCase()) throw fault(Code.AlreadyExists, "EMAIL_TAKEN", "another live user has this e-mail");
}

function matcher(filter: string): (u: User) => boolean {
  if (filter.includes("broken")) throw fault(Code.InvalidArgument, "INVALID_REQUEST", "the filter does not parse", [{ field: "filter", description: "unexpected end of the expression at column 7" }]);
  const name = /^name = "(.*)"$/.exec(filter)?.[1];
  if (name) return (u) => u.name === name;
  const words = [...filter.matchAll(/display_name:"([^"]*)"/g)].map((m) => m[1]!.toLowerCase());
  const state = /state = (\w+)/.exec(filter)?.[1];
  return (u) => words.every((w) => `${u.displayName} ${u.email} ${u.name}`.toLowerCase().includes(w)) && (!state || State[u.state] === state);
}

function sorted(all: User[], orderBy: string): User[] {
  const [field = "name", direction] = orderBy.split(" ");
  const key = (u: User) => {
    if (field === "create_time") return String(u.createTime?.seconds).padStart(12, "0") + String(u.createTime?.nanos).padStart(9, "0");
    if (field === "update_time") return String(u.updateTime?.seconds).padStart(12, "0") + String(u.updateTime?.nanos).padStart(9, "0");
    return field === "email" ? u.email.toLowerCase() : field === "display_name" ? u.displayName : u.name;
  };
  const sign = direction === "desc" ? -1 : 1;
  return all.sort((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : a.name < b.name ? -1 : 1));
}

const setState = (state: State, kind: "suspended" | "activated") => (req: { name: string }) => {
  const user = live(req.name);
  return user.state === state ? user : put({ ...user, state }, kind);
};

export const userService: Partial<ServiceImpl<typeof UserService>> = {
  listUsers(req) {
    const fits = matcher(req.filter);
    const all = sorted([...store.values()].filter((u) => (req.showDeleted || !u.deleteTime) && fits(u)), req.orderBy || "name");
    if (!/^\d*$/.test(req.pageToken)) throw fault(Code.InvalidArgument, "INVALID_REQUEST", "page_token: was made with another filter", [{ field: "page_token", description: "was made with another filter" }]);
    const from = Number(req.pageToken || 0);
    const size = req.pageSize || 50;
    return { users: all.slice(from, from + size), nextPageToken: from + size < all.length ? String(from + size) : "", revision: String(revision) };
  },
  getUser: (req) => find(req.name),
  createUser(req) {
    const id = req.userId || `u${Math.random().toString(36).slice(2, 10)}`;
    if (!/^[a-z][a-z0-9-]{2,61}[a-z0-9]$/.test(id)) throw fault(Code.InvalidArgument, "INVALID_REQUEST", "the request is invalid", [{ field: "user_id", description: "must be 4 to 63 of a-z, 0-9 and hyphen, beginning with a letter" }]);
    if (store.has(`users/${id}`)) throw fault(Code.AlreadyExists, "USER_ALREADY_EXISTS", "exists already", [], { deleted: "false" });
    checkEmail(req.user?.email ?? "", "");
    return add(id, req.user ?? {});
  },
  updateUser(req) {
    const user = live(req.user!.name);
    if (req.user!.etag && req.user!.etag !== user.etag) throw fault(Code.Aborted, "ETAG_MISMATCH", `user "${user.name}" has changed since it was read; read it again and repeat the change`, [], { current_etag: user.etag });
    const next = { ...user };
    for (const path of req.updateMask?.paths ?? []) {
      if (path === "email") checkEmail(req.user!.email, user.name);
      const key = path.replace(/_(\w)/g, (_, c: string) => c.toUpperCase()) as "email" | "displayName";
      (next as Record<string, unknown>)[key] = req.user![key];
    }
    return put(next, "updated");
  },
  deleteUser: (req) => put({ ...live(req.name), deleteTime: timestampNow(), purgeTime: timestampNow() }, "deleted"),
  undeleteUser(req) {
    const { deleteTime: _, purgeTime: __, ...rest } = find(req.name);
    return put(rest as User, "undeleted");
  },
  suspendUser: setState(State.SUSPENDED, "suspended"),
  activateUser: setState(State.ACTIVE, "activated"),
  async *watchUsers(req, context) {
    const start = Number(req.startRevision || 0);
    if (start && start < oldest) throw fault(Code.OutOfRange, "REVISION_COMPACTED", `the changes since revision ${start} are not kept any more; list again`);
    const fits = matcher(req.filter);
    const seen = (u: User | undefined) => !!u && (req.showDeleted || !u.deleteTime) && fits(u);
    const queue: MessageInitShape<typeof WatchUsersResponseSchema>[] = [];
    let wake = () => {};
    const listener: Listener = (told, at) => {
      const [was, is] = [seen(told.before), told.kind !== "purged" && seen(told.user)];
      if (!was && !is) return;
      queue.push({ type: !was ? Type.ADDED : is ? Type.MODIFIED : Type.DELETED, user: told.user, revision: String(at) });
      wake();
    };
    if (start) for (const { told, at } of log) if (at > start) listener(told, at);
    listeners.add(listener);
    try {
      if (!start && req.includeInitialState !== false) {
        const at = String(revision);
        for (const u of [...store.values()]) if (seen(u)) yield { type: Type.ADDED, user: u };
        yield { type: Type.BOOKMARK, revision: at, initialStateEnd: true };
      }
      while (!context.signal.aborted) {
        const silence = Number(req.bookmarkInterval?.seconds ?? 30n) * 1000;
        if (!queue.length) await pause(silence, context.signal, (w) => (wake = w));
        if (!queue.length) yield { type: Type.BOOKMARK, revision: String(revision) };
        while (queue.length) yield queue.shift()!;
      }
    } finally {
      listeners.delete(listener);
    }
  },
};
