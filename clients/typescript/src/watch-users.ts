import type { Client } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { KeelsonError } from "./errors.js";
import { WatchUsersResponse_Type } from "./gen/user/v1/user_pb.js";
import type { User, UserService, WatchUsersRequestSchema, WatchUsersResponse } from "./gen/user/v1/user_pb.js";
import { attempts } from "./transport.js";
import { follow, judge } from "./watch.js";
import type { Ending, Source, WatchOptions } from "./watch.js";

/** Why a watch begins with the users as they are. */
export type ResetReason =
  /** It is the first time. */
  | "start"
  /** The stream broke before all users were there. */
  | "interrupted"
  /** The server does not know the changes since then any more; some may be missing. */
  | "lost";

/** What {@link watchUsers} tells. */
export type UserEvent =
  /** The users as they are follow, each as `added`; what was known until now is void once `synced` comes. */
  | { readonly kind: "reset"; readonly reason: ResetReason }
  /** See WatchUsersResponse.Type; `initial` within the users as they are. `revision` resumes after it. */
  | { readonly kind: "added" | "modified" | "deleted"; readonly user: User; readonly revision: string; readonly initial: boolean }
  /** The users as they are were told. */
  | { readonly kind: "synced"; readonly revision: string }
  /** Nothing happened up to this revision. */
  | { readonly kind: "bookmark"; readonly revision: string };

/** Which users {@link watchUsers} watches. */
export interface WatchUsersOptions extends WatchOptions {
  /** In the language of ListUsersRequest.filter. */
  filter?: string;
  /** Deleted users too. */
  showDeleted?: boolean;
  /** Begin after this revision: of a list, or of an event of an earlier watch. Default: with the users as they are. */
  startRevision?: string;
  /** False: begin with nothing but the changes from now on. */
  initialState?: boolean;
  /**
   * Called when the server does not know the changes since the revision held:
   * list again and return the revision of the first page. Without it, or when it
   * returns nothing, the users as they are come again, after a `reset`. What it
   * throws is tried again later.
   */
  relist?: (error: KeelsonError) => Promise<string | undefined | void>;
  /** How often a silent server says that the stream lives, in milliseconds. Default 5000. */
  bookmarkIntervalMs?: number;
}

/**
 * Watches users until the signal or the consumer ends it:
 *
 *     for await (const event of watchUsers(client.users, { onState, signal })) { ... }
 *
 * A broken stream is gone on with after the last revision, with no change lost
 * or told twice. What the server ends in good order (DRAINING, WATCH_EXPIRED,
 * SLOW_CONSUMER) is gone on with at once, and nobody is told. It throws only
 * what trying again does not heal, such as INVALID_ARGUMENT for the filter.
 */
export function watchUsers(users: Client<typeof UserService>, options: WatchUsersOptions = {}): AsyncGenerator<UserEvent, void, void> {
  const interval = options.bookmarkIntervalMs ?? 5000;
  return follow(new UserSource(users, options, interval), { silenceMs: 3 * interval + 5000, ...options });
}

const kinds = {
  [WatchUsersResponse_Type.ADDED]: "added",
  [WatchUsersResponse_Type.MODIFIED]: "modified",
  [WatchUsersResponse_Type.DELETED]: "deleted",
} as const;

class UserSource implements Source<WatchUsersResponse, UserEvent> {
  private readonly users: Client<typeof UserService>;
  private readonly options: WatchUsersOptions;
  private readonly intervalMs: number;
  private revision: string;
  private reason: ResetReason = "start";
  private initial = false;
  private announced = false;

  constructor(users: Client<typeof UserService>, options: WatchUsersOptions, intervalMs: number) {
    this.users = users;
    this.options = options;
    this.intervalMs = intervalMs;
    this.revision = options.startRevision ?? "";
  }

  open(signal: AbortSignal): AsyncIterable<WatchUsersResponse> {
    const { filter = "", showDeleted = false, initialState = true } = this.options;
    const request: MessageInitShape<typeof WatchUsersRequestSchema> = { filter, showDeleted, bookmarkInterval: durationFromMs(this.intervalMs) };
    this.initial = this.revision === "" && (initialState || this.reason !== "start");
    this.announced = false;
    if (this.revision === "") {
      request.includeInitialState = this.initial;
    } else {
      request.startRevision = this.revision;
    }
    return this.users.watchUsers(request, { signal, contextValues: attempts(1) });
  }

  receive(message: WatchUsersResponse): UserEvent[] {
    const events: UserEvent[] = [];
    if (this.initial && !this.announced) {
      this.announced = true;
      events.push({ kind: "reset", reason: this.reason });
      this.reason = "interrupted";
    }
    this.revision = message.revision || this.revision;
    const { type, user, revision } = message;
    if (type === WatchUsersResponse_Type.BOOKMARK) {
      events.push({ kind: message.initialStateEnd ? "synced" : "bookmark", revision });
      this.initial &&= !message.initialStateEnd;
    } else if (type !== WatchUsersResponse_Type.UNSPECIFIED && user) {
      events.push({ kind: kinds[type], user, revision, initial: this.initial });
    }
    return events;
  }

  ended(error: KeelsonError | undefined): Ending {
    const token = error?.metadata["resume_token"];
    if (token && !this.initial) {
      this.revision = token;
    }
    return judge(error);
  }

  async resync(error: KeelsonError): Promise<void> {
    this.revision = (await this.options.relist?.(error)) ?? "";
    this.reason = "lost";
  }
}
