// What a person may change of a user, and how two changes are put together.
import type { User } from "@keelson/client";

export interface Draft {
  email: string;
  displayName: string;
  givenName: string;
  familyName: string;
  labels: Record<string, string>;
}

const TEXTS = [
  { path: "email", key: "email", title: "E-mail" },
  { path: "display_name", key: "displayName", title: "Display name" },
  { path: "given_name", key: "givenName", title: "Given name" },
  { path: "family_name", key: "familyName", title: "Family name" },
] as const;

export function draftOf(user: User | undefined): Draft {
  return {
    email: user?.email ?? "",
    displayName: user?.displayName ?? "",
    givenName: user?.givenName ?? "",
    familyName: user?.familyName ?? "",
    labels: { ...user?.labels },
  };
}

/** One field in three versions; undefined is a label that is not there. */
export interface Difference {
  /** `email`, `labels.team`: unique. */
  path: string;
  title: string;
  base: string | undefined;
  theirs: string | undefined;
  mine: string | undefined;
  /** Who changed it; "both" differently. */
  by: "theirs" | "mine" | "both";
}

export type Pick = "theirs" | "mine";

/** differences compares what two people made of one user: only where they differ. */
export function differences(base: Draft, theirs: Draft, mine: Draft): Difference[] {
  const texts = TEXTS.map((t) => ({ path: t.path as string, title: t.title as string, base: base[t.key], theirs: theirs[t.key], mine: mine[t.key] }));
  const keys = [...new Set([base, theirs, mine].flatMap((d) => Object.keys(d.labels)))].sort();
  const labels = keys.map((k) => ({ path: `labels.${k}`, title: `Label ${k}`, base: at(base, k), theirs: at(theirs, k), mine: at(mine, k) }));
  return [...texts, ...labels]
    .filter((d) => d.theirs !== d.mine)
    .map((d) => ({ ...d, by: d.mine === d.base ? "theirs" : d.theirs === d.base ? "mine" : "both" }));
}

function at(d: Draft, key: string): string | undefined {
  return Object.hasOwn(d.labels, key) ? d.labels[key] : undefined;
}

/** suggestion takes each change that only one of them made; where both did, mine. */
export function suggestion(all: Difference[]): Record<string, Pick> {
  return Object.fromEntries(all.map((d) => [d.path, d.by === "theirs" ? "theirs" : "mine"]));
}

/** merged is their version with mine where it was picked. */
export function merged(theirs: Draft, mine: Draft, picks: Record<string, Pick>): Draft {
  const out: Draft = { ...theirs, labels: { ...theirs.labels } };
  for (const t of TEXTS) if (picks[t.path] === "mine") out[t.key] = mine[t.key];
  for (const [path, pick] of Object.entries(picks)) {
    if (pick !== "mine" || !path.startsWith("labels.")) continue;
    const key = path.slice("labels.".length);
    const value = at(mine, key);
    if (value === undefined) delete out.labels[key];
    else out.labels[key] = value;
  }
  return out;
}

/** changedPaths is the update mask that leads from one draft to another. */
export function changedPaths(from: Draft, to: Draft): string[] {
  const paths: string[] = TEXTS.filter((t) => from[t.key] !== to[t.key]).map((t) => t.path);
  const keys = new Set([...Object.keys(from.labels), ...Object.keys(to.labels)]);
  if ([...keys].some((k) => at(from, k) !== at(to, k))) paths.push("labels");
  return paths;
}
