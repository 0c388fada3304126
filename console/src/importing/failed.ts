// The rows that failed, as a file of the kind they came from, to be mended and
// imported again.
import type { Item } from "./parse.js";

export interface Failed {
  item: Item;
  error: string;
}

export function failedFile(format: "csv" | "ndjson", rows: Failed[]): string {
  return format === "csv" ? csv(rows) : rows.map(({ item, error }) => JSON.stringify({ userId: item.userId || undefined, user: item.user, error })).join("\n") + "\n";
}

function csv(rows: Failed[]): string {
  const keys = [...new Set(rows.flatMap((r) => Object.keys(r.item.user.labels)))].sort();
  const head = ["user_id", "email", "display_name", "given_name", "family_name", ...keys.map((k) => `labels.${k}`), "error"];
  const lines = rows.map(({ item: { userId, user }, error }) => [userId, user.email, user.displayName, user.givenName, user.familyName, ...keys.map((k) => user.labels[k] ?? ""), error]);
  return [head, ...lines].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}

// A spreadsheet would run what begins like a formula; a quote before it keeps it a text.
function cell(text: string): string {
  const safe = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",\n\r;\t]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
