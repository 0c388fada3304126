// The state of the form that creates and edits a user.
import { Code } from "@keelson/client";
import type { Problem } from "../api/problem.js";
import type { Draft } from "../lib/merge.js";

export interface LabelRow {
  /** Tells rows apart while their keys are typed. */
  id: number;
  key: string;
  value: string;
}

export interface Form {
  userId: string;
  email: string;
  displayName: string;
  givenName: string;
  familyName: string;
  labels: LabelRow[];
}

export type FieldName = keyof Form;
export type Faults = Partial<Record<FieldName, string>>;

export function formOf(d: Draft): Form {
  const labels = Object.entries(d.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return { userId: "", email: d.email, displayName: d.displayName, givenName: d.givenName, familyName: d.familyName, labels: labels.map(([key, value], id) => ({ id, key, value })) };
}

export function draftOfForm(f: Form): Draft {
  const rows = f.labels.filter((l) => l.key.trim() || l.value);
  return {
    email: f.email.trim(),
    displayName: f.displayName.trim(),
    givenName: f.givenName.trim(),
    familyName: f.familyName.trim(),
    labels: Object.fromEntries(rows.map((l) => [l.key.trim(), l.value])),
  };
}

/** check finds what the service cannot be asked: all else is its to judge. */
export function check(f: Form): Faults {
  const keys = f.labels.map((l) => l.key.trim()).filter(Boolean);
  const twice = keys.find((k, i) => keys.indexOf(k) !== i);
  if (twice !== undefined) return { labels: `“${twice}” is there twice; each key once` };
  if (f.labels.some((l) => !l.key.trim() && l.value)) return { labels: "a value needs a key" };
  return {};
}

// A rule of the contract is told as it is written; nobody should have to read it.
function inWords(name: FieldName, description: string): string {
  if (name === "userId" && description.includes("regex")) return "must be 4 to 63 of a–z, 0–9 and hyphen, beginning with a letter and not ending with a hyphen";
  return description.replace(/(\d+) code points(?: after normali[sz]ation to NFC)?/, "$1 characters");
}

const FIELDS: Record<string, FieldName> = {
  user_id: "userId",
  email: "email",
  display_name: "displayName",
  given_name: "givenName",
  family_name: "familyName",
  labels: "labels",
};

/** faultsOf brings a problem to its fields; `rest` says whether something is left that belongs to none. */
export function faultsOf(p: Problem): { faults: Faults; rest: boolean } {
  if (p.code === Code.AlreadyExists && p.reason === "EMAIL_TAKEN") return { faults: { email: "another user has this e-mail" }, rest: false };
  if (p.code === Code.AlreadyExists && p.reason === "USER_ALREADY_EXISTS") {
    const hint = p.metadata.deleted === "true" ? "a deleted user has this ID; undelete it or choose another one" : "another user has this ID";
    return { faults: { userId: hint }, rest: false };
  }
  const faults: Faults = {};
  let rest = p.fieldViolations.length === 0;
  for (const { field, description } of p.fieldViolations) {
    const name = FIELDS[field.replace(/^user\./, "").split(/[.[]/)[0]!];
    if (!name) rest = true;
    else faults[name] = faults[name] ? `${faults[name]}; ${inWords(name, description)}` : inWords(name, description);
  }
  return { faults, rest };
}
