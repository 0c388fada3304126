// Files of users: CSV (RFC 4180, any of , ; and tab) and NDJSON.

/** The content of a user, as CreateUserRequest.user takes it. */
export interface ImportUser {
  email: string;
  displayName: string;
  givenName: string;
  familyName: string;
  labels: Record<string, string>;
}

export interface Item {
  /** The line of the file where it begins, from 1. */
  line: number;
  userId: string;
  user: ImportUser;
}

export interface Parsed {
  format: "csv" | "ndjson";
  items: Item[];
  /** Lines that are no users. */
  faults: { line: number; text: string }[];
  /** Columns of a CSV file that mean nothing here. */
  ignored: string[];
}

const NOT_TEXT = "it is not a text in UTF-8; save it as CSV in UTF-8, or as NDJSON";

/**
 * decode reads a file as UTF-8, or as UTF-16 where it says so. It throws on
 * anything else: letters that were guessed would be stored.
 */
export function decode(bytes: ArrayBuffer): string {
  const [a, b] = new Uint8Array(bytes, 0, Math.min(2, bytes.byteLength));
  const encoding = a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";
  let text = "";
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(NOT_TEXT);
  }
  if (text.includes("\0")) throw new Error(NOT_TEXT);
  return text;
}

/** parse reads a file; its name decides, else its content. */
export function parse(text: string, fileName: string): Parsed {
  const body = text.replace(/^\uFEFF/, "");
  const json = /\.(ndjson|jsonl|json)$/i.test(fileName) || (!/\.(csv|tsv|txt)$/i.test(fileName) && /^\s*[{[]/.test(body));
  return json ? parseNdjson(body) : parseCsv(body);
}

export function parseNdjson(text: string): Parsed {
  const out: Parsed = { format: "ndjson", items: [], faults: [], ignored: [] };
  if (/^\s*\[/.test(text)) {
    out.faults.push({ line: 1, text: "begins an array; NDJSON has one user on each line, without brackets and commas around them" });
    return out;
  }
  text.split(/\r\n?|\n/).forEach((line, i) => {
    if (!line.trim()) return;
    try {
      out.items.push(itemOf(JSON.parse(line), i + 1));
    } catch (cause) {
      out.faults.push({ line: i + 1, text: cause instanceof SyntaxError ? "is not JSON" : (cause as Error).message });
    }
  });
  return out;
}

function itemOf(value: unknown, line: number): Item {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("is not an object");
  const outer = value as Record<string, unknown>;
  const user = (outer.user ?? outer) as Record<string, unknown>;
  if (typeof user !== "object" || Array.isArray(user)) throw new Error("`user` is not an object");
  const id = textOf(outer, "userId", "user_id") || textOf(user, "name").replace(/^users\//, "");
  return {
    line,
    userId: id,
    user: {
      email: textOf(user, "email"),
      displayName: textOf(user, "displayName", "display_name"),
      givenName: textOf(user, "givenName", "given_name"),
      familyName: textOf(user, "familyName", "family_name"),
      labels: labelsOf(user.labels),
    },
  };
}

function textOf(from: Record<string, unknown>, ...names: string[]): string {
  for (const name of names) {
    const value = from[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== "string") throw new Error(`\`${name}\` is not a text`);
    return value;
  }
  return "";
}

function labelsOf(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new Error("`labels` is not an object");
  for (const [k, v] of Object.entries(value)) if (typeof v !== "string") throw new Error(`label \`${k}\` is not a text`);
  return { ...(value as Record<string, string>) };
}

/** Where a column of a CSV file goes. */
type Target = { to: "userId" | "email" | "displayName" | "givenName" | "familyName" | "labels" } | { to: "label"; key: string };

const HEADERS: Record<string, Exclude<Target["to"], "label">> = {
  userid: "userId", id: "userId", user: "userId",
  email: "email", mail: "email", emailaddress: "email",
  displayname: "displayName", name: "displayName", fullname: "displayName",
  givenname: "givenName", firstname: "givenName",
  familyname: "familyName", lastname: "familyName", surname: "familyName",
  labels: "labels",
};

function targetOf(header: string): Target | undefined {
  const label = /^labels?[.:]\s*(.+)$/i.exec(header.trim());
  if (label) return { to: "label", key: label[1]!.trim() };
  const to = HEADERS[header.toLowerCase().replace(/[^a-z]/g, "")];
  return to && { to };
}

export function parseCsv(text: string): Parsed {
  const out: Parsed = { format: "csv", items: [], faults: [], ignored: [] };
  const { records, unclosed } = readCsv(text, separatorOf(text));
  if (unclosed) out.faults.push({ line: unclosed, text: "a quote is opened and not closed" });
  const head = records.shift();
  if (!head) return out;
  const targets = head.cells.map(targetOf);
  out.ignored = head.cells.filter((_, i) => !targets[i]);
  if (!targets.some((t) => t?.to === "email")) {
    out.faults.push({ line: head.line, text: "names no column `email`; the first line has to name the columns" });
    return out;
  }
  for (const record of records) {
    if (record.cells.length > head.cells.length) {
      out.faults.push({ line: record.line, text: `has ${record.cells.length} columns, the first line has ${head.cells.length}` });
      continue;
    }
    out.items.push(rowOf(record, targets));
  }
  return out;
}

/** What the failed rows of an import have before a cell that a spreadsheet would run. */
export const GUARD = /^'(?=[=+\-@])/;

function rowOf(record: CsvRecord, targets: (Target | undefined)[]): Item {
  const item: Item = { line: record.line, userId: "", user: { email: "", displayName: "", givenName: "", familyName: "", labels: {} } };
  record.cells.forEach((cell, i) => {
    const target = targets[i];
    const value = cell.trim().replace(GUARD, "");
    if (!target || !value) return;
    if (target.to === "label") item.user.labels[target.key] = value;
    else if (target.to === "labels") Object.assign(item.user.labels, pairs(value));
    else if (target.to === "userId") item.userId = value.replace(/^users\//, "");
    else item.user[target.to] = value;
  });
  return item;
}

/** pairs reads `team=infra;site=berlin`. */
function pairs(text: string): Record<string, string> {
  const each = text.split(/[;|]/).map((p) => p.trim()).filter(Boolean);
  return Object.fromEntries(each.map((p) => {
    const at = p.indexOf("=");
    return at < 0 ? [p, ""] : [p.slice(0, at).trim(), p.slice(at + 1).trim()];
  }));
}

interface CsvRecord {
  line: number;
  cells: string[];
}

// The separator is that of which the first line has most.
function separatorOf(text: string): string {
  const first = text.slice(0, text.search(/[\r\n]|$/));
  return [",", ";", "\t"].map((s) => ({ s, n: first.split(s).length })).sort((a, b) => b.n - a.n)[0]!.s;
}

function readCsv(text: string, separator: string): { records: CsvRecord[]; unclosed: number } {
  const records: CsvRecord[] = [];
  let cells: string[] = [], cell = "", quoted = false, line = 1, begun = 1, opened = 0;
  const endRecord = () => {
    cells.push(cell);
    if (cells.length > 1 || cells[0]!.trim()) records.push({ line: begun, cells });
    [cells, cell] = [[], ""];
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    const end = c === "\n" || (c === "\r" && text[i + 1] !== "\n");
    if (end) line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === '"' && !cell.trim()) {
      [quoted, cell, opened] = [true, "", line];
    } else if (c === separator) {
      cells.push(cell);
      cell = "";
    } else if (end) {
      endRecord();
      begun = line;
    } else if (c !== "\r") {
      cell += c;
    }
  }
  endRecord();
  return { records, unclosed: quoted ? opened : 0 };
}

