// The page of users that is looked at, kept current by a watch.
import { computed, signal } from "@preact/signals";
import { Code, type User, type UserEvent, watchUsers } from "@keelson/client";
import { users } from "../api/clients.js";
import { type Problem, problemOf } from "../api/problem.js";
import { type Listing, orderBy, requestFilter } from "../lib/listing.js";
import { Live } from "../lib/live.js";
import { type ChangeKind, type Page, applyChange, openPage, putUser } from "../lib/page.js";
import { lastSeen } from "./seen.js";

/** How often a quiet watch is told that it lives: a watch counts as live from its first message on. */
export const BOOKMARKS_MS = 1000;

/** Changes are shown together that come within this time: an import makes hundreds in a second. */
const BATCH_MS = 40;

interface Change {
  kind: ChangeKind;
  user: User;
}

export class UsersStore {
  readonly page = signal<Page | undefined>(undefined);
  readonly next = signal("");
  readonly loading = signal(false);
  readonly problem = signal<Problem | undefined>(undefined);
  /** How many of what is shown would be different, were the page read now. */
  readonly stale = computed(() => (this.page.value ? this.page.value.waiting.length + this.page.value.rows.filter((r) => r.mark).length : 0));

  readonly live: Live<UserEvent>;
  #listing: Listing | undefined;
  #revision = "";
  #load: AbortController | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  /** Changes that were told and are not shown yet. */
  #told: Change[] = [];
  #flush: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.live = new Live<UserEvent>(
      (options) =>
        watchUsers(users, {
          ...options,
          filter: requestFilter(this.#listing!),
          showDeleted: this.#listing!.deleted,
          startRevision: this.#revision,
          initialState: false,
          bookmarkIntervalMs: BOOKMARKS_MS,
          relist: async () => {
            await this.#read(options.signal);
            return this.#revision;
          },
        }),
      (event) => this.#take(event),
    );
  }

  /** load shows a listing and follows it; what was shown stays until it is there. */
  async load(listing: Listing): Promise<void> {
    this.#load?.abort();
    const abort = new AbortController();
    this.#load = abort;
    this.#listing = listing;
    clearTimeout(this.#again);
    this.live.stop();
    this.loading.value = true;
    try {
      await this.#read(abort.signal);
      this.#failures = 0;
      if (!abort.signal.aborted) this.live.start();
    } catch (cause) {
      if (!abort.signal.aborted) this.#fail(listing, problemOf(cause));
    } finally {
      if (this.#load === abort) this.loading.value = false;
    }
  }

  /** refresh reads the page anew. */
  refresh(): Promise<void> {
    return this.#listing ? this.load(this.#listing) : Promise.resolve();
  }

  /** put shows the answer to a change made here. */
  put(user: User): void {
    if (this.page.value) this.page.value = putUser(this.page.value, user);
  }

  stop(): void {
    this.#load?.abort();
    clearTimeout(this.#again);
    this.live.stop();
  }

  // What may pass is tried again without being asked.
  #fail(listing: Listing, problem: Problem): void {
    this.problem.value = problem;
    if (!passes(problem)) return;
    const delay = Math.max(problem.retryAfterMs ?? 0, Math.min(10_000, 1000 * 2 ** this.#failures++));
    this.#again = setTimeout(() => void this.load(listing), delay);
  }

  async #read(abort: AbortSignal): Promise<void> {
    const l = this.#listing!;
    const answer = await users.listUsers(
      { filter: requestFilter(l), orderBy: orderBy(l), showDeleted: l.deleted, pageSize: l.size, pageToken: l.page },
      { signal: abort },
    );
    if (abort.aborted) return;
    this.#revision = answer.revision;
    this.next.value = answer.nextPageToken;
    this.problem.value = undefined;
    this.#told = []; // the page has them
    this.page.value = openPage(answer.users, l, l.page === "", answer.nextPageToken === "");
  }

  #take(event: UserEvent): void {
    if ("revision" in event && event.revision) this.#revision = event.revision;
    if (!("user" in event)) return;
    lastSeen.value = event.user;
    this.#told.push({ kind: event.kind, user: event.user });
    this.#flush ??= setTimeout(() => this.#show(), BATCH_MS);
  }

  #show(): void {
    this.#flush = undefined;
    const told = this.#told;
    this.#told = [];
    if (this.page.value) this.page.value = told.reduce((page, c) => applyChange(page, c.kind, c.user), this.page.value);
  }
}

/** Whether a problem may be gone the next time. */
export const passes = (p: Problem) => p.code === Code.Unavailable || p.code === Code.DeadlineExceeded || p.code === Code.ResourceExhausted;

/** What is wrong with the filter typed, if that is the problem. */
export const filterFault = (p: Problem | undefined) => faultOf(p, "filter");

/** What is wrong with the page that the address names, if that is the problem. */
export const pageFault = (p: Problem | undefined) => faultOf(p, "page_token");

function faultOf(p: Problem | undefined, field: string): string | undefined {
  return p?.code === Code.InvalidArgument ? p.fieldViolations.find((f) => f.field === field)?.description : undefined;
}
