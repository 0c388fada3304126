import type { User } from "@keelson/client";
import { idOf, initials } from "../lib/format.js";
import type { Listing, OrderField } from "../lib/listing.js";
import type { Mark, Page, Row } from "../lib/page.js";
import { href } from "../lib/route.js";
import { Badge } from "../ui/badge.js";
import { Icon } from "../ui/icon.js";
import { A } from "../ui/link.js";
import { None } from "../ui/none.js";
import { When } from "../ui/time.js";
import { UserMenu } from "./menu.js";
import { StateBadge } from "./state-badge.js";

type Change = (to: Partial<Listing>) => void;

export function UsersTable({ page, listing, busy, change }: { page: Page; listing: Listing; busy: boolean; change: Change }) {
  return (
    <div class="table-frame" aria-busy={busy}>
      <table class="table cards" role="table">
        <caption class="sr-only">Users, {page.rows.length} on this page</caption>
        <thead role="rowgroup">
          <tr role="row">
            <Sortable field="display_name" listing={listing} change={change}>Display name</Sortable>
            <Sortable field="name" listing={listing} change={change}>User ID</Sortable>
            <Sortable field="email" listing={listing} change={change}>E-mail</Sortable>
            <th role="columnheader" scope="col">State</th>
            <th role="columnheader" scope="col" class="wide-only">Labels</th>
            <Sortable field="create_time" listing={listing} change={change}>Created</Sortable>
            <Sortable field="update_time" listing={listing} change={change}>Changed</Sortable>
            <th role="columnheader" scope="col"><span class="sr-only">Actions</span></th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {page.rows.map((row) => <UserRow key={row.user.uid} row={row} />)}
        </tbody>
      </table>
    </div>
  );
}

function Sortable({ field, listing, change, children }: { field: OrderField; listing: Listing; change: Change; children: string }) {
  const active = listing.order.field === field;
  const descending = active && listing.order.descending;
  // Times begin with the newest.
  const first = field.endsWith("_time");
  const next = { field, descending: active ? !descending : first };
  return (
    <th role="columnheader" scope="col" aria-sort={active ? (descending ? "descending" : "ascending") : undefined}>
      <button type="button" class="sort-button" onClick={() => change({ order: next })}>
        {children}
        <Icon name={descending ? "down" : "up"} class={active ? "" : "faint"} />
      </button>
    </th>
  );
}

const MARKS: Record<Mark, { text: string; title: string }> = {
  deleted: { text: "Deleted just now", title: "It is gone from this list when the page is read again" },
  purged: { text: "Purged just now", title: "It cannot be brought back; it is gone from this list when the page is read again" },
  left: { text: "No longer matches", title: "It is gone from this list when the page is read again" },
  moved: { text: "Belongs elsewhere now", title: "Its place in this order has changed" },
};

function UserRow({ row }: { row: Row }) {
  const u = row.user;
  return (
    // The two classes run the same animation: changing between them runs it anew.
    <tr role="row" data-mark={row.mark} data-deleted={u.deleteTime ? "" : undefined} data-name={u.name} class={row.beat ? `flash-${row.beat % 2}` : undefined}>
      <th role="rowheader" scope="row" class="cell-user">
        <div class="cell-user-in">
          <span class="avatar" aria-hidden="true" data-hue={hue(u.uid)}>{initials(u.displayName, u.name)}</span>
          <span class="cell-user-text">
            <A class="strong" href={href(u.name)}><bdi>{u.displayName || idOf(u.name)}</bdi></A>
            {row.mark && <Badge tone="warn" icon="info" title={MARKS[row.mark].title}>{MARKS[row.mark].text}</Badge>}
          </span>
        </div>
      </th>
      <td role="cell" data-label="User ID"><span class="mono clip">{idOf(u.name)}</span></td>
      <td role="cell" data-label="E-mail"><span class="clip" title={u.email}>{u.email}</span></td>
      <td role="cell" data-label="State"><StateBadge user={u} /></td>
      <td role="cell" data-label="Labels" class="wide-only"><Labels labels={u.labels} most={2} /></td>
      <td role="cell" data-label="Created" class="nowrap table-only"><When time={u.createTime} relative /></td>
      <td role="cell" data-label="Changed" class="nowrap"><When time={u.updateTime} relative /></td>
      <td role="cell" class="cell-actions"><UserMenu user={u} /></td>
    </tr>
  );
}

/** A colour that stays with the user. */
export const hue = (uid: string) => Number.parseInt(uid.slice(0, 2), 16) % 6 || 0;

export function Labels({ labels, most = 100 }: { labels: User["labels"]; most?: number }) {
  const all = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  if (!all.length) return <None />;
  return (
    <span class="labels" title={all.map(([k, v]) => `${k}: ${v}`).join("\n")}>
      {all.slice(0, most).map(([k, v]) => <span class="label" key={k}><span class="label-key">{k}</span><bdi>{v}</bdi></span>)}
      {all.length > most && <span class="muted">+{all.length - most}</span>}
    </span>
  );
}
