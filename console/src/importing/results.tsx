import { useState } from "preact/hooks";
import { count, plural } from "../lib/format.js";
import { Badge } from "../ui/badge.js";
import { Correlation } from "../ui/problem.js";
import { type ImportRun, type Outcome, type RowResult, reasonOf } from "./run.js";

const TABS: { outcome: Outcome; label: string }[] = [
  { outcome: "failed", label: "Failed" },
  { outcome: "created", label: "Created" },
  { outcome: "replayed", label: "There already" },
];
const SHOWN = 100;

/** Results says of each row what became of it, those that failed first. */
export function Results({ run }: { run: ImportRun }) {
  const counts = run.counts.value;
  const [picked, pick] = useState<Outcome | undefined>();
  const [shown, setShown] = useState(SHOWN);
  const tab = picked ?? TABS.find((t) => counts[t.outcome] > 0)?.outcome;
  if (!tab) return null;
  const all = [...run.results.value.values()].filter((r) => r.outcome === tab);
  return (
    <section class="card" aria-labelledby="results">
      <div class="service-head">
        <h2 id="results">Rows</h2>
        <div class="segments" role="group" aria-label="Outcome">
          {TABS.map((t) => (
            <button type="button" key={t.outcome} aria-pressed={tab === t.outcome} onClick={() => { pick(t.outcome); setShown(SHOWN); }}>{t.label} {count(counts[t.outcome])}</button>
          ))}
        </div>
      </div>
      {all.length > 0 ? <Table rows={all.slice(0, shown)} /> : <p class="muted">None.</p>}
      {all.length > shown && (
        <div class="more-rows">
          <span class="muted">and {plural(all.length - shown, "more row")}</span>
          <button type="button" class="button small" onClick={() => setShown(shown + SHOWN)}>Show {Math.min(SHOWN, all.length - shown)} more</button>
        </div>
      )}
    </section>
  );
}

function Table({ rows }: { rows: RowResult[] }) {
  return (
    <div class="table-frame" role="region" aria-label="Rows and what became of them" tabIndex={0}>
      <table class="table cards" role="table">
        <caption class="sr-only">Rows and what became of them</caption>
        <thead role="rowgroup">
          <tr role="row">
            {["Line", "User", "Outcome"].map((h) => <th key={h} role="columnheader" scope="col">{h}</th>)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((r) => (
            <tr role="row" key={r.item.line} data-outcome={r.outcome}>
              <td role="cell" data-label="Line" class="muted">{r.item.line}</td>
              <td role="cell" data-label="User"><span class="break">{r.item.userId && <span class="row-id mono">{r.item.userId}</span>}<bdi>{r.item.user.email}</bdi></span></td>
              <td role="cell" data-label="Outcome"><OutcomeCell row={r} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function OutcomeCell({ row: { outcome, problem } }: { row: RowResult }) {
  if (outcome === "created") return <Badge tone="good" icon="check">Created</Badge>;
  if (outcome === "replayed") return <Badge tone="info" icon="check">There already</Badge>;
  return (
    <span class="row-problem">
      <Badge tone="bad" icon="close">Failed</Badge>
      {problem && <span>{reasonOf(problem)}</span>}
      {problem?.reason && <code class="mono muted">{problem.reason}</code>}
      {problem?.correlationId && <details class="row-correlation"><summary>Correlation ID</summary><Correlation id={problem.correlationId} /></details>}
    </span>
  );
}
