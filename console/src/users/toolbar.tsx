import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Listing, isExpression } from "../lib/listing.js";
import { Icon } from "../ui/icon.js";
import { Correlation } from "../ui/problem.js";

/** What is wrong with a filter, and the correlation ID of the call that found it. */
export interface FilterFault {
  text: string;
  correlationId: string;
}

const STATES: { state: Listing["state"]; label: string }[] = [
  { state: "", label: "All" },
  { state: "active", label: "Active" },
  { state: "suspended", label: "Suspended" },
];

const ORDERS: { value: string; label: string }[] = [
  { value: "name", label: "User ID" },
  { value: "display_name", label: "Display name" },
  { value: "email", label: "E-mail" },
  { value: "create_time desc", label: "Newest first" },
  { value: "create_time", label: "Oldest first" },
  { value: "update_time desc", label: "Lately changed" },
];

export function Toolbar({ listing, fault, change }: { listing: Listing; fault: FilterFault | undefined; change: (to: Partial<Listing>) => void }) {
  return (
    <div class="toolbar">
      <FilterBox listing={listing} fault={fault} change={change} />
      <div class="segments" role="group" aria-label="State">
        {STATES.map((s) => (
          <button type="button" key={s.state} aria-pressed={listing.state === s.state} onClick={() => change({ state: s.state })}>{s.label}</button>
        ))}
      </div>
      <label class="check">
        <input type="checkbox" checked={listing.deleted} onChange={(e) => change({ deleted: e.currentTarget.checked })} />
        Show deleted
      </label>
      <label class="sort">
        <span>Sort</span>
        <OrderSelect listing={listing} change={change} />
      </label>
    </div>
  );
}

function OrderSelect({ listing, change }: { listing: Listing; change: (to: Partial<Listing>) => void }) {
  const value = listing.order.field + (listing.order.descending ? " desc" : "");
  const orders = ORDERS.some((o) => o.value === value) ? ORDERS : [...ORDERS, { value, label: value.replace("_", " ").replace(" desc", ", descending") }];
  const pick = (picked: string) => {
    const [field, direction] = picked.split(" ");
    change({ order: { field: field as Listing["order"]["field"], descending: direction === "desc" } });
  };
  return (
    <select value={value} onChange={(e) => pick(e.currentTarget.value)}>
      {orders.map((o) => <option key={o.value} value={o.value}>{o.label}</option>)}
    </select>
  );
}

/** FilterBox applies what is typed on Enter, and plain words also shortly after typing. */
function FilterBox({ listing, fault, change }: { listing: Listing; fault: FilterFault | undefined; change: (to: Partial<Listing>) => void }) {
  const [typed, setTyped] = useState(listing.filter);
  const applied = useRef(listing.filter);
  const apply = useRef(() => {});
  apply.current = () => {
    applied.current = typed.trim();
    if (applied.current !== listing.filter) change({ filter: applied.current });
  };
  // Back, forward and "Clear the filter" change what is typed; our own change has
  // to leave alone what was typed since.
  useLayoutEffect(() => {
    if (listing.filter === applied.current) return;
    applied.current = listing.filter;
    setTyped(listing.filter);
  }, [listing.filter]);
  useEffect(() => {
    if (typed.trim() === applied.current || isExpression(typed)) return;
    const timer = setTimeout(() => apply.current(), 400);
    return () => clearTimeout(timer);
  }, [typed]);
  const submit = (e: Event) => {
    e.preventDefault();
    apply.current();
  };
  return (
    <form class="filter" role="search" onSubmit={submit}>
      <Icon name="search" />
      <input
        type="search"
        value={typed}
        placeholder="Search, or filter such as labels.team = &quot;infra&quot;"
        aria-label="Search or filter users"
        aria-invalid={fault ? true : undefined}
        aria-describedby={fault ? "filter-fault" : "filter-hint"}
        spellcheck={false}
        autocomplete="off"
        onInput={(e) => setTyped(e.currentTarget.value)}
      />
      <span id="filter-hint" class="sr-only">Words are looked for in names and e-mails. An expression such as state = SUSPENDED is applied with Enter.</span>
      {isExpression(typed) && typed.trim() !== listing.filter && <kbd class="filter-enter">Enter ↵</kbd>}
      {fault && <p id="filter-fault" class="field-error" role="alert"><Icon name="alert" /> {fault.text.charAt(0).toUpperCase() + fault.text.slice(1)}</p>}
      {fault?.correlationId && <p class="filter-correlation"><Correlation id={fault.correlationId} /></p>}
    </form>
  );
}
