import { plural } from "../lib/format.js";
import { Icon } from "../ui/icon.js";
import { None } from "../ui/none.js";
import { Labels } from "../users/table.js";
import type { Parsed } from "./parse.js";

const ROWS = 5;
const FAULTS = 50;

/** Preview shows what was understood of a file, before anything is sent. */
export function Preview({ parsed, fileName }: { parsed: Parsed; fileName: string }) {
  const { items, faults, ignored, format } = parsed;
  return (
    <section class="card" aria-labelledby="preview">
      <h2 id="preview" tabIndex={-1}>{fileName} <span class="muted">{format.toUpperCase()}, {plural(items.length, "user")}</span></h2>
      {faults.length > 0 && (
        <details class="faults">
          <summary><Icon name="alert" /> {plural(faults.length, "line")} cannot be read and will be left out</summary>
          <ul>{faults.slice(0, FAULTS).map((f) => <li key={f.line}>Line {f.line} {f.text}</li>)}{faults.length > FAULTS && <li>and {plural(faults.length - FAULTS, "more line")}</li>}</ul>
        </details>
      )}
      {ignored.length > 0 && <p class="banner warn"><Icon name="info" /> <span>Unknown columns are left out: {ignored.map((c) => c || "(empty)").join(", ")}</span></p>}
      <div class="table-frame" role="region" aria-label="The first users of the file" tabIndex={0}>
        <table class="table cards" role="table">
          <caption class="sr-only">The first users of the file</caption>
          <thead role="rowgroup">
            <tr role="row">
              {["Line", "User ID", "E-mail", "Display name", "Given name", "Family name", "Labels"].map((h) => <th key={h} role="columnheader" scope="col">{h}</th>)}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {items.slice(0, ROWS).map(({ line, userId, user }) => (
              <tr role="row" key={line}>
                <td role="cell" data-label="Line" class="muted">{line}</td>
                <td role="cell" data-label="User ID">{userId ? <span class="mono break">{userId}</span> : <span class="muted">generated</span>}</td>
                <td role="cell" data-label="E-mail"><Text of={user.email} /></td>
                <td role="cell" data-label="Display name"><Text of={user.displayName} /></td>
                <td role="cell" data-label="Given name"><Text of={user.givenName} /></td>
                <td role="cell" data-label="Family name"><Text of={user.familyName} /></td>
                <td role="cell" data-label="Labels"><Labels labels={user.labels} most={2} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {items.length > ROWS && <p class="muted">and {plural(items.length - ROWS, "more user")}</p>}
    </section>
  );
}

const Text = ({ of }: { of: string }) => (of ? <bdi class="break">{of}</bdi> : <None />);
