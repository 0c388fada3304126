// What stands where data would be: while it loads, and when there is none.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.js";

/** Empty may be all that a page has: then its title is the heading. */
export function Empty({ icon, title, page, children }: { icon: IconName; title: string; page?: boolean; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="empty-icon"><Icon name={icon} /></span>
      {page ? <h1 class="empty-title" tabIndex={-1}>{title}</h1> : <p class="empty-title">{title}</p>}
      {children && <div class="empty-body">{children}</div>}
    </div>
  );
}

/** Bones are the grey bars of a table that is being read. */
export function Bones({ rows, label }: { rows: number; label: string }) {
  return (
    <div class="bones" role="status">
      <span class="sr-only">{label}</span>
      {Array.from({ length: rows }, (_, i) => (
        <div class="bone-row" key={i} aria-hidden="true">
          <span class="bone round" />
          <span class="bone" data-width={i % 3} />
          <span class="bone" data-width={(i + 1) % 3} />
          <span class="bone short" />
        </div>
      ))}
    </div>
  );
}
