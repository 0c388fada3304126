// One import, from the file to the last row. It goes on while other pages of the
// console are looked at.
import { computed, signal } from "@preact/signals";
import { type ImportResult, importUsers } from "@keelson/client";
import { client } from "../api/clients.js";
import { type Problem, problemOf, sentence } from "../api/problem.js";
import { digest } from "../lib/ids.js";
import { announce } from "../ui/announce.js";
import type { Failed } from "./failed.js";
import { type Item, type Parsed, decode, parse } from "./parse.js";

/**
 *     choose --file--> ready --start--> running --last row--> done
 *                                          +--abort, or it breaks--> stopped --continue--> running
 */
export type Phase = "choose" | "ready" | "running" | "stopped" | "done";
export type Outcome = ImportResult["outcome"];

export interface RowResult {
  item: Item;
  outcome: Outcome;
  /** Set on a failed row. */
  problem: Problem | undefined;
}

const MOST_BYTES = 64 * 1024 * 1024;

export class ImportRun {
  readonly phase = signal<Phase>("choose");
  readonly fileName = signal("");
  readonly parsed = signal<Parsed | undefined>(undefined);
  /** By the place of the row among those sent. */
  readonly results = signal<ReadonlyMap<number, RowResult>>(new Map());
  /** What ended the import early; undefined when the person did. */
  readonly problem = signal<Problem | undefined>(undefined);
  /** What is wrong with the file. */
  readonly fileFault = signal("");
  /** What the last request broke with, while it is tried again. */
  readonly retrying = signal<Problem | undefined>(undefined);
  readonly counts = computed(() => {
    const n = { created: 0, replayed: 0, failed: 0 };
    for (const r of this.results.value.values()) n[r.outcome]++;
    return n;
  });

  #importId = "";
  #items: Item[] = [];
  #abort: AbortController | undefined;
  #round = 0;

  get total(): number {
    return this.#items.length;
  }

  async choose(file: File): Promise<void> {
    this.reset();
    if (file.size > MOST_BYTES) {
      this.fileFault.value = `${file.name} is larger than 64 MiB. Split it.`;
      return;
    }
    let text = "";
    try {
      text = decode(await file.arrayBuffer());
    } catch (cause) {
      this.fileFault.value = `${file.name} cannot be read: ${(cause as Error).message}.`;
      return;
    }
    const parsed = parse(text, file.name);
    if (parsed.items.length === 0) {
      const first = parsed.faults[0];
      this.fileFault.value = first ? `${file.name}: line ${first.line} ${first.text}.` : `${file.name} holds no users.`;
      return;
    }
    this.#importId = await digest(text);
    this.#items = parsed.items;
    this.fileName.value = file.name;
    this.parsed.value = parsed;
    this.phase.value = "ready";
    announce(`${file.name}: ${parsed.items.length} users can be imported, ${parsed.faults.length} lines cannot be read.`);
  }

  reset(): void {
    this.#abort?.abort();
    this.#abort = undefined;
    this.#items = [];
    this.#round = 0;
    this.phase.value = "choose";
    this.parsed.value = undefined;
    this.results.value = new Map();
    this.problem.value = undefined;
    this.retrying.value = undefined;
    this.fileFault.value = "";
  }

  /** start sends all rows; those that were stored by an earlier start are known to the service. */
  async start(): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.phase.value = "running";
    this.problem.value = undefined;
    const rows = this.#items.map(({ userId, user }) => ({ userId, user }));
    const importId = this.#round ? `${this.#importId}.${this.#round}` : this.#importId;
    const buffer = new Buffer((more) => this.#show(more));
    try {
      const options = { importId, chunkSize: 200, signal: abort.signal, onProgress: (p: { retrying: Problem | undefined }) => (this.retrying.value = p.retrying) };
      for await (const r of importUsers(client, rows, options)) {
        if (abort.signal.aborted) break;
        buffer.add(r);
      }
    } catch (cause) {
      if (!abort.signal.aborted) this.problem.value = problemOf(cause);
    }
    if (this.#abort !== abort) return;
    buffer.flush();
    this.#end(abort.signal.aborted);
  }

  abort(): void {
    this.#abort?.abort();
  }

  /** retryFailed sends the failed rows once more, as an import of their own. */
  retryFailed(): Promise<void> {
    const failed = [...this.results.value.values()].filter((r) => r.outcome === "failed");
    this.#items = failed.map((r) => r.item);
    this.#round++;
    this.results.value = new Map();
    return this.start();
  }

  failed(): Failed[] {
    const rows = [...this.results.value.values()].filter((r) => r.outcome === "failed");
    return rows.map(({ item, problem }) => ({ item, error: problem ? reasonOf(problem) : "" }));
  }

  #show(more: ImportResult[]): void {
    const results = new Map(this.results.value);
    for (const r of more) {
      const item = this.#items[r.row];
      const before = results.get(r.row);
      // A row that this import created is replayed when it is continued.
      if (item && !(before?.outcome === "created" && r.outcome === "replayed")) results.set(r.row, { item, outcome: r.outcome, problem: r.error });
    }
    this.results.value = results;
  }

  #end(aborted: boolean): void {
    this.retrying.value = undefined;
    this.phase.value = aborted || this.problem.value ? "stopped" : "done";
    const { created, replayed, failed } = this.counts.value;
    announce(`The import ${this.phase.value === "done" ? "is done" : "has stopped"}: ${created} created, ${replayed} there already, ${failed} failed.`);
  }
}

/** reasonOf says what is wrong with a row, with the fields. */
export function reasonOf(p: Problem): string {
  const fields = p.fieldViolations.map((f) => `${f.field.replace(/^(item\.)?user\./, "")} ${f.description}`);
  return fields.length ? fields.join("; ") : sentence(p);
}

/** Buffer hands on results some times per second, not each alone: a large file has thousands. */
class Buffer {
  #held: ImportResult[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly show: (results: ImportResult[]) => void) {}

  add(r: ImportResult): void {
    this.#held.push(r);
    this.#timer ??= setTimeout(() => this.flush(), 100);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#held.length) this.show(this.#held);
    this.#held = [];
  }
}
