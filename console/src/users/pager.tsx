import type { ComponentChildren } from "preact";
import { plural } from "../lib/format.js";
import { type Listing, SIZES } from "../lib/listing.js";
import { Icon } from "../ui/icon.js";

interface Props {
  listing: Listing;
  /** How many users are shown; undefined while none are. */
  rows: number | undefined;
  /** The token of the next page; "" on the last one. */
  next: string;
  /** The tokens of the pages before, the first of which is "". */
  before: string[];
  turn: (page: string, before: string[]) => void;
  change: (to: Partial<Listing>) => void;
}

/** Pager turns pages. Keyset paging knows no page numbers and no total. */
export function Pager({ listing, rows, next, before, turn, change }: Props) {
  const page = listing.page ? (before.length ? `Page ${before.length + 1}` : "A later page") : "First page";
  return (
    <nav class="pager" aria-label="Pages">
      <span class="muted">{page}{rows !== undefined && ` · ${plural(rows, "user")} on it`}</span>
      <label class="size">
        <span>Per page</span>
        <select value={String(listing.size)} onChange={(e) => change({ size: Number(e.currentTarget.value) })}>
          {SIZES.map((n) => <option key={n} value={String(n)}>{n}</option>)}
        </select>
      </label>
      <span class="pager-buttons">
        <Turn off={!listing.page} go={() => turn("", [])}>First</Turn>
        <Turn off={!before.length} go={() => turn(before[before.length - 1]!, before.slice(0, -1))}>
          <Icon name="left" /> Previous
        </Turn>
        <Turn off={!next} go={() => turn(next, [...before, listing.page])}>
          Next <Icon name="right" />
        </Turn>
      </span>
    </nav>
  );
}

/** Turn keeps the focus of who has come to the last page, or the first. */
function Turn({ off, go, children }: { off: boolean; go: () => void; children: ComponentChildren }) {
  return <button type="button" class="button" aria-disabled={off} onClick={() => off || go()}>{children}</button>;
}
