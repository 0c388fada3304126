import { fromJson } from "@bufbuild/protobuf";
import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { clientReasons, KeelsonError } from "./errors.js";
import { UserSchema } from "./gen/user/v1/user_pb.js";
import { linesOf } from "./lines.js";

/** A user to import. */
export interface ImportRow {
  /** As CreateUserRequest.user. */
  readonly user: MessageInitShape<typeof UserSchema>;
  /** As CreateUserRequest.user_id; empty: the server makes one. */
  readonly userId?: string;
  /** How far its file has been read with it, in bytes. */
  readonly end?: number;
}

/** A row that cannot be read, and why. */
export interface UnreadableRow {
  readonly unreadable: KeelsonError;
  readonly end?: number;
}

/** Files that {@link rowsOf} reads. */
export type FileFormat = "ndjson" | "csv";

/**
 * Reads users from a file, a row for each line that is not empty.
 *
 * NDJSON: a user, or `{"userId": "ada-l", "user": {"email": "ada@example.com"}}`,
 * as JSON on each line. CSV (RFC 4180, without line breaks in fields): a line
 * of column names, then users; columns are `user_id`, `email`, `display_name`,
 * `given_name`, `family_name` and `labels.KEY`.
 *
 * A line that cannot be read becomes an {@link UnreadableRow}; a CSV whose column
 * names are wrong is an error. Without a format the name of the file decides;
 * what does not end with .csv is NDJSON.
 */
export async function* rowsOf(file: Blob, format: FileFormat = formatOf(file)): AsyncGenerator<ImportRow | UnreadableRow, void, void> {
  let parse: ((text: string) => ImportRow) | undefined = format === "ndjson" ? jsonRow : undefined;
  let number = 0;
  for await (const { text, end } of linesOf(file.stream())) {
    number++;
    const line = number === 1 ? text.replace(/^\uFEFF/, "") : text;
    if (line.trim() === "") {
      continue;
    }
    if (!parse) {
      parse = csvRows(line);
      continue;
    }
    try {
      yield { ...parse(line), end };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      yield { unreadable: unreadable(`line ${number}: ${why}`, cause), end };
    }
  }
}

function formatOf(file: Blob): FileFormat {
  const name = "name" in file && typeof file.name === "string" ? file.name : "";
  return name.toLowerCase().endsWith(".csv") || file.type === "text/csv" ? "csv" : "ndjson";
}

function unreadable(message: string, cause?: unknown): KeelsonError {
  return new KeelsonError({ code: Code.InvalidArgument, reason: clientReasons.badRow, message, cause });
}

function jsonRow(line: string): ImportRow {
  const json: unknown = JSON.parse(line);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new Error("want a JSON object");
  }
  const { userId, user_id, user, ...flat } = json as JsonObject;
  const id = userId ?? user_id ?? "";
  if (typeof id !== "string") {
    throw new Error("userId is no text");
  }
  return { user: fromJson(UserSchema, user ?? flat), userId: id };
}

const columns: Readonly<Record<string, "email" | "displayName" | "givenName" | "familyName" | "userId">> = {
  user_id: "userId",
  email: "email",
  display_name: "displayName",
  given_name: "givenName",
  family_name: "familyName",
};

/** Returns what reads the rows below a line of column names. */
function csvRows(header: string): (line: string) => ImportRow {
  const names = fieldsOf(header).map((name) => name.trim());
  const unknown = names.find((name) => !(name in columns) && !name.startsWith("labels."));
  if (unknown !== undefined || !names.includes("email")) {
    const fault = unknown === undefined ? "there is no column email" : `there is a column ${JSON.stringify(unknown)}`;
    throw unreadable(`line 1: ${fault}; want ${Object.keys(columns).join(", ")} and labels.KEY`);
  }
  return (line) => {
    const values = fieldsOf(line);
    if (values.length !== names.length) {
      throw new Error(`${values.length} fields, want ${names.length}`);
    }
    const texts: { [name: string]: string } = {};
    const labels: { [key: string]: string } = {};
    names.forEach((name, i) => {
      const value = values[i] ?? "";
      const column = columns[name];
      if (column) {
        texts[column] = value;
      } else if (value !== "") {
        labels[name.slice("labels.".length)] = value;
      }
    });
    const { userId = "", ...user } = texts;
    return { user: { ...user, labels }, userId };
  };
}

/** Splits a line of CSV. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  do {
    const match = field.exec(line);
    if (!match) {
      throw new Error(`a quote is out of place in field ${fields.length + 1}`);
    }
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") {
      return fields;
    }
  } while (true);
}
