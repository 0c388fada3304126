import { useMemo, useState } from "preact/hooks";
import type { User } from "@keelson/client";
import type { Problem } from "../api/problem.js";
import { type Difference, type Draft, type Pick, differences, draftOf, merged, suggestion } from "../lib/merge.js";
import { Badge } from "../ui/badge.js";
import { Icon } from "../ui/icon.js";
import { ProblemView } from "../ui/problem.js";
import { When } from "../ui/time.js";

interface Props {
  base: User;
  theirs: User;
  mine: Draft;
  busy: boolean;
  problem: Problem | undefined;
  take: () => void;
  save: (draft: Draft) => void;
  back: (draft: Draft) => void;
}

/** Conflict shows two versions field by field; nothing is overwritten unseen. */
export function Conflict({ base, theirs, mine, busy, problem, take, save, back }: Props) {
  const theirDraft = draftOf(theirs);
  const all = useMemo(() => differences(draftOf(base), theirDraft, mine), [theirs]);
  const [picks, setPicks] = useState<Record<string, Pick>>(() => suggestion(all));
  const result = (p: Record<string, Pick>) => merged(theirDraft, mine, p);
  const keepMine = () => save(result(Object.fromEntries(all.map((d) => [d.path, "mine" as Pick]))));
  const clashes = all.filter((d) => d.by === "both").length;
  return (
    <>
      <div class="dialog-body">
        <p>
          Saved <When time={theirs.updateTime} relative /> by somebody else, while you were editing.{" "}
          {clashes === 0 ? "You changed different fields: both can be kept." : "Choose for each field which version to keep."}
        </p>
        {problem && <ProblemView problem={problem} title="The user was not saved" />}
        {all.length === 0 ? (
          <p class="banner"><Icon name="check" /> <span>Both versions are the same now: nothing is left to decide.</span></p>
        ) : (
          <table class="table conflict">
            <caption class="sr-only">Fields that differ</caption>
            <thead>
              <tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">Theirs</th><th scope="col">Yours</th></tr>
            </thead>
            <tbody>
              {all.map((d) => <Choice key={d.path} d={d} pick={picks[d.path]!} choose={(p) => setPicks({ ...picks, [d.path]: p })} />)}
            </tbody>
          </table>
        )}
      </div>
      <div class="dialog-foot">
        <button type="button" class="button quiet" onClick={() => back(result(picks))}><Icon name="left" /> Back to the form</button>
        <span class="spacer" />
        <button type="button" class="button" disabled={busy} onClick={take}>Take theirs</button>
        <button type="button" class="button" disabled={busy} onClick={keepMine}>Keep mine</button>
        <button type="button" class="button primary" data-autofocus disabled={busy} onClick={() => save(result(picks))}>{busy ? "Saving…" : "Save as chosen"}</button>
      </div>
    </>
  );
}

function Choice({ d, pick, choose }: { d: Difference; pick: Pick; choose: (p: Pick) => void }) {
  return (
    <tr data-by={d.by}>
      <th scope="row">
        {d.title}
        {d.by === "both" && <Badge tone="warn" icon="alert">Both changed</Badge>}
      </th>
      <td data-label="Before"><Value value={d.base} /></td>
      {(["theirs", "mine"] as const).map((side) => (
        <td key={side} data-label={side === "theirs" ? "Theirs" : "Yours"} data-picked={pick === side ? "" : undefined}>
          <label class="pick">
            <input type="radio" name={`pick-${d.path}`} checked={pick === side} aria-label={`${d.title}: ${side === "theirs" ? "theirs" : "yours"}, ${d[side] || "empty"}`} onChange={() => choose(side)} />
            <Value value={d[side]} />
          </label>
        </td>
      ))}
    </tr>
  );
}

function Value({ value }: { value: string | undefined }) {
  if (value === undefined) return <em class="muted">not there</em>;
  return value === "" ? <em class="muted">empty</em> : <bdi class="value">{value}</bdi>;
}
