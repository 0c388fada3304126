import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { plural } from "../lib/format.js";
import { type Listing, change, formatListing, parseListing, requestFilter } from "../lib/listing.js";
import { href, navigate, place } from "../lib/route.js";
import { announce } from "../ui/announce.js";
import { ConnectionState } from "../ui/connection.js";
import { Icon } from "../ui/icon.js";
import { A } from "../ui/link.js";
import { ProblemView } from "../ui/problem.js";
import { Bones, Empty } from "../ui/state.js";
import { UserDialogs, onChanged, openDialog } from "./dialogs.js";
import { Pager } from "./pager.js";
import { UsersStore, filterFault, pageFault, passes } from "./store.js";
import { UsersTable } from "./table.js";
import { Toolbar } from "./toolbar.js";

const store = new UsersStore();

/** What history keeps with a page: how many were turned to get there. */
interface Trail {
  before: string[];
}

const trail = (): string[] => (place.value.state as Trail | null)?.before ?? [];

const shown = signal("");

export function UsersPage() {
  const search = place.value.search;
  const listing = parseListing(search);
  const key = formatListing(listing).toString();
  useEffect(() => {
    document.title = "Users · Keelson";
    const fresh = shown.value !== key;
    shown.value = key;
    void store.load(listing).then(() => fresh && sayCount());
  }, [key]);
  useEffect(() => {
    const deaf = onChanged((user, isNew) => (isNew ? void store.refresh() : store.put(user)));
    return () => {
      deaf();
      store.stop();
    };
  }, []);

  const problem = store.problem.value;
  const fault = filterFault(problem);
  const go = (to: Partial<Listing>) => navigate(href("users", formatListing(change(listing, to))));
  const turn = (page: string, before: string[]) => {
    navigate(href("users", formatListing({ ...listing, page })), { state: { before } satisfies Trail });
    scrollTo(0, 0);
  };
  return (
    <div class="page">
      <div class="page-head">
        <h1 tabIndex={-1}>Users</h1>
        <ConnectionState live={store.live} what="Users are" />
        <div class="page-actions">
          <A class="button" href={href("import")}><Icon name="upload" /> Import</A>
          <button type="button" class="button primary" onClick={() => openDialog({ kind: "create" })}><Icon name="plus" /> New user</button>
        </div>
      </div>
      <Toolbar listing={listing} fault={fault ? { text: fault, correlationId: problem!.correlationId } : undefined} change={go} />
      <Stale />
      <Content listing={listing} change={go} />
      <Pager
        listing={listing}
        rows={problem ? undefined : store.page.value?.rows.length}
        next={problem ? "" : store.next.value}
        before={trail()}
        turn={turn}
        change={go}
      />
      <UserDialogs />
    </div>
  );
}

function sayCount(): void {
  const n = store.page.value?.rows.length;
  if (n !== undefined && !store.problem.value) announce(n === 0 ? "No users found." : `${plural(n, "user")} on this page.`);
}

/** Stale says that the page would read differently now, and reads it anew on request. */
function Stale() {
  const n = store.stale.value;
  const waiting = store.page.value?.waiting.length ?? 0;
  if (n === 0) return null;
  const marked = n - waiting;
  const parts: string[] = [];
  if (waiting) parts.push(`${plural(waiting, "more user")} would be on this page`);
  if (marked) parts.push(`${plural(marked, "user")} shown ${marked === 1 ? "has" : "have"} left this list or changed places`);
  return (
    <div class="banner" role="status">
      <Icon name="info" />
      <span>{parts.join("; ")}.</span>
      <button type="button" class="button small" onClick={() => void store.refresh()}><Icon name="refresh" /> Refresh</button>
    </div>
  );
}

function Content({ listing, change: go }: { listing: Listing; change: (to: Partial<Listing>) => void }) {
  const page = store.page.value;
  const problem = store.problem.value;
  const loading = store.loading.value;
  if (filterFault(problem)) return <NoFilter change={go} />;
  if (problem) {
    const lost = pageFault(problem);
    return (
      <ProblemView problem={problem} title={lost ? "This page belongs to another list" : "The users could not be read"} text={lost && "Its address names a page that was made for another filter or order, or is cut off."}>
        {passes(problem) && <p class="problem-note">This is tried again by itself.</p>}
        {!lost && <button type="button" class="button" onClick={() => void store.refresh()}><Icon name="refresh" /> Try again</button>}
        {listing.page && <button type="button" class="button" onClick={() => go({})}>To the first page</button>}
      </ProblemView>
    );
  }
  if (!page) return loading ? <Bones rows={8} label="Loading users" /> : null;
  if (page.rows.length === 0) return <NoUsers listing={listing} change={go} />;
  return <UsersTable page={page} listing={listing} busy={loading} change={go} />;
}

const EXAMPLES = ['labels.team = "infra"', 'state = SUSPENDED', 'email:"@example.com" AND create_time > "2026-01-01T00:00:00Z"'];

/** What stands where users would be while the filter cannot be read: not those of another filter. */
function NoFilter({ change: go }: { change: (to: Partial<Listing>) => void }) {
  return (
    <Empty icon="search" title="The filter cannot be read">
      <p>Plain words are looked for in names and e-mails. Expressions compare fields:</p>
      <ul class="examples">
        {EXAMPLES.map((e) => <li key={e}><button type="button" class="button small mono" onClick={() => go({ filter: e, state: "" })}>{e}</button></li>)}
      </ul>
      <button type="button" class="button" onClick={() => go({ filter: "", state: "" })}>Clear the filter</button>
    </Empty>
  );
}

function NoUsers({ listing, change: go }: { listing: Listing; change: (to: Partial<Listing>) => void }) {
  if (listing.page) {
    return (
      <Empty icon="users" title="Nobody is left on this page">
        <button type="button" class="button" onClick={() => go({})}>To the first page</button>
      </Empty>
    );
  }
  if (requestFilter(listing)) {
    return (
      <Empty icon="search" title="Nobody matches">
        <p>No user matches <span class="mono">{requestFilter(listing)}</span></p>
        <button type="button" class="button" onClick={() => go({ filter: "", state: "" })}>Clear the filter</button>
      </Empty>
    );
  }
  return (
    <Empty icon="users" title="There are no users yet">
      <p>Create the first one, or bring many from a file.</p>
      <button type="button" class="button primary" onClick={() => openDialog({ kind: "create" })}><Icon name="plus" /> New user</button>
      <A class="button" href={href("import")}><Icon name="upload" /> Import a file</A>
    </Empty>
  );
}
