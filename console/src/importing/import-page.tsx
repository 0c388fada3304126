import "./import.css";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { count, plural } from "../lib/format.js";
import { href } from "../lib/route.js";
import { Icon } from "../ui/icon.js";
import { A } from "../ui/link.js";
import { Correlation, ProblemView } from "../ui/problem.js";
import { failedFile } from "./failed.js";
import { Preview } from "./preview.js";
import { Results } from "./results.js";
import { ImportRun } from "./run.js";

const run = new ImportRun();

export function ImportPage() {
  const phase = run.phase.value;
  useEffect(() => {
    document.title = "Import users · Keelson";
  }, []);
  useGuard(phase === "running");
  useFocusedStep(phase);
  return (
    <div class="page narrow">
      <nav class="crumbs" aria-label="Breadcrumb"><A href={href("users")}><Icon name="left" /> Users</A></nav>
      <div class="page-head"><h1 tabIndex={-1}>Import users</h1></div>
      {phase === "choose" && <Choose />}
      {phase === "ready" && <Ready />}
      {phase !== "choose" && phase !== "ready" && <Progress />}
      {phase !== "choose" && phase !== "ready" && <Results run={run} />}
    </div>
  );
}

// What was clicked is gone with its step: the next one begins at its heading.
function useFocusedStep(phase: string): void {
  const before = useRef(phase);
  useLayoutEffect(() => {
    if (before.current !== phase && (document.activeElement === document.body || !document.activeElement)) {
      document.querySelector<HTMLElement>("main h2[tabindex]")?.focus();
    }
    before.current = phase;
  }, [phase]);
}

// Leaving the console ends the import; what was stored stays stored.
function useGuard(active: boolean): void {
  useEffect(() => {
    if (!active) return;
    const ask = (e: BeforeUnloadEvent) => e.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [active]);
}

function Choose() {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (file: File | undefined) => file && void run.choose(file);
  return (
    <>
      <div
        class="drop"
        data-over={over ? "" : undefined}
        onDragOver={(e) => { e.preventDefault(); setOver(true); }}
        onDragLeave={() => setOver(false)}
        onDrop={(e) => { e.preventDefault(); setOver(false); take(e.dataTransfer?.files[0]); }}
      >
        <span class="empty-icon"><Icon name="upload" /></span>
        <p class="empty-title">Drop a CSV or NDJSON file here</p>
        <input ref={input} id="file" class="sr-only" type="file" accept=".csv,.tsv,.txt,.ndjson,.jsonl,.json,text/csv,application/x-ndjson" aria-describedby={run.fileFault.value ? "file-fault" : undefined} onChange={(e) => take(e.currentTarget.files?.[0])} />
        <label for="file" class="button primary">Choose a file</label>
        {run.fileFault.value && <p id="file-fault" class="field-error" role="alert"><Icon name="alert" /> {run.fileFault.value}</p>}
      </div>
      <section class="card" aria-labelledby="formats">
        <h2 id="formats" tabIndex={-1}>Formats</h2>
        <p><strong>CSV</strong> – the first line names the columns; only the e-mail is required.</p>
        <pre class="mono" tabIndex={0} role="region" aria-label="Example of a CSV file">{"user_id,email,display_name,given_name,family_name,labels.team\nada-l,ada@example.com,Ada,Ada,Lovelace,infra"}</pre>
        <p><strong>NDJSON</strong> – one user per line.</p>
        <pre class="mono" tabIndex={0} role="region" aria-label="Example of an NDJSON file">{'{"userId": "ada-l", "user": {"email": "ada@example.com", "displayName": "Ada", "labels": {"team": "infra"}}}'}</pre>
        <p class="muted">The same file can be imported again at any time: for a day, users that it has created already are recognised and not created twice.</p>
      </section>
    </>
  );
}

function Ready() {
  return (
    <>
      <Preview parsed={run.parsed.value!} fileName={run.fileName.value} />
      <div class="actions">
        <button type="button" class="button" onClick={() => run.reset()}>Another file</button>
        <button type="button" class="button primary" onClick={() => void run.start()}><Icon name="upload" /> Import {plural(run.total, "user")}</button>
      </div>
    </>
  );
}

const TITLES = { running: "Importing", stopped: "Stopped", done: "Done" } as const;

function Progress() {
  const phase = run.phase.value as keyof typeof TITLES;
  const { created, replayed, failed } = run.counts.value;
  const answered = created + replayed + failed;
  const retrying = run.retrying.value;
  return (
    <section class="card" aria-labelledby="progress">
      <div class="service-head">
        <h2 id="progress" tabIndex={-1}>{TITLES[phase]} <span class="muted">{run.fileName.value}</span></h2>
      </div>
      <progress value={answered} max={run.total || 1} aria-label="Rows answered">{answered}</progress>
      <dl class="numbers">
        <div><dt>Of {count(run.total)} rows</dt><dd>{count(answered)}</dd></div>
        <div><dt>Created</dt><dd>{count(created)}</dd></div>
        <div><dt>There already</dt><dd>{count(replayed)}</dd></div>
        <div data-bad={failed ? "" : undefined}><dt>Failed</dt><dd>{count(failed)}</dd></div>
      </dl>
      {retrying && <p class="banner warn" role="status"><Icon name="refresh" /> <span>The connection broke; the rows without an answer are sent again. {retrying.correlationId && <Correlation id={retrying.correlationId} />}</span></p>}
      {run.problem.value && <ProblemView problem={run.problem.value} title="The import has stopped" />}
      <Actions phase={phase} failed={failed} />
    </section>
  );
}

function Actions({ phase, failed }: { phase: keyof typeof TITLES; failed: number }) {
  if (phase === "running") return <div class="actions"><button type="button" class="button" onClick={() => run.abort()}><Icon name="stop" /> Abort</button></div>;
  return (
    <div class="actions">
      <button type="button" class="button" onClick={() => run.reset()}>Another file</button>
      {failed > 0 && <button type="button" class="button" onClick={download}><Icon name="download" /> Download failed rows</button>}
      {phase === "stopped" && <button type="button" class="button primary" onClick={() => void run.start()}><Icon name="play" /> Continue</button>}
      {phase === "done" && failed > 0 && <button type="button" class="button" onClick={() => void run.retryFailed()}><Icon name="refresh" /> Try failed rows again</button>}
      {phase === "done" && <A class="button primary" href={href("users")}>To the users</A>}
    </div>
  );
}

function download(): void {
  const format = run.parsed.value!.format;
  const type = format === "csv" ? "text/csv" : "application/x-ndjson";
  const url = URL.createObjectURL(new Blob([failedFile(format, run.failed())], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = run.fileName.value.replace(/(\.\w+)?$/, `-failed.${format}`);
  link.click();
  // The browser reads it after the click: a minute is plenty.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
