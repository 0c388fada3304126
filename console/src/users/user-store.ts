// One user, kept current by a watch of it alone.
import { signal } from "@preact/signals";
import { type User, type UserEvent, type WatchOptions, watchUsers } from "@keelson/client";
import { users } from "../api/clients.js";
import { type Problem, problemOf } from "../api/problem.js";
import { Live } from "../lib/live.js";
import { lastSeen } from "./seen.js";
import { BOOKMARKS_MS } from "./store.js";

export class UserStore {
  readonly user = signal<User | undefined>(undefined);
  readonly problem = signal<Problem | undefined>(undefined);
  /** Nothing brings this user back. */
  readonly purged = signal(false);
  readonly live: Live<UserEvent>;
  readonly #name: string;
  #revision = "";

  constructor(name: string) {
    this.#name = name;
    this.live = new Live<UserEvent>((options) => this.#open(options), (event) => this.#take(event));
  }

  put(user: User): void {
    if (user.name === this.#name) this.user.value = user;
  }

  async *#open(options: WatchOptions & { signal: AbortSignal }): AsyncIterable<UserEvent> {
    // A user who never was is said at once, in the words of the service.
    if (!this.user.value) {
      try {
        this.user.value = await users.getUser({ name: this.#name }, { signal: options.signal });
        this.problem.value = undefined;
      } catch (cause) {
        if (!options.signal.aborted) this.problem.value = problemOf(cause);
        throw cause;
      }
    }
    yield* watchUsers(users, {
      ...options,
      startRevision: this.#revision,
      filter: `name = ${JSON.stringify(this.#name)}`,
      showDeleted: true,
      bookmarkIntervalMs: BOOKMARKS_MS,
    });
  }

  #take(event: UserEvent): void {
    if (event.kind === "reset") this.#revision = "";
    else if (event.revision) this.#revision = event.revision;
    if (!("user" in event)) return;
    if (event.user.etag !== this.user.value?.etag) this.user.value = event.user;
    this.purged.value = event.kind === "deleted"; // whoever is deleted only is watched on
    lastSeen.value = event.user;
  }
}
