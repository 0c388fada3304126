import { describe, expect, it } from "vitest";
import { type Draft, changedPaths, differences, merged, suggestion } from "../src/lib/merge.js";

const base: Draft = { email: "ada@x.org", displayName: "Ada", givenName: "Ada", familyName: "L", labels: { team: "infra", site: "oslo" } };
const by = (d: Partial<Draft>): Draft => ({ ...base, ...d, labels: d.labels ?? { ...base.labels } });

describe("two versions of a user", () => {
  it("differ where they are not the same, and say who changed it", () => {
    const theirs = by({ displayName: "Ada L.", familyName: "Lovelace", labels: { team: "infra", site: "oslo", floor: "2" } });
    const mine = by({ displayName: "Countess", email: "ada@y.org", labels: { team: "design" } });
    expect(differences(base, theirs, mine).map((d) => [d.path, d.by])).toEqual([
      ["email", "mine"],
      ["display_name", "both"],
      ["family_name", "theirs"],
      ["labels.floor", "theirs"],
      ["labels.site", "mine"],
      ["labels.team", "mine"],
    ]);
  });

  it("do not differ where both did the same", () => {
    expect(differences(base, by({ givenName: "A." }), by({ givenName: "A." }))).toEqual([]);
  });

  it("are merged without losing what only one of them changed", () => {
    const theirs = by({ familyName: "Lovelace", labels: { team: "infra", site: "oslo", floor: "2" } });
    const mine = by({ email: "ada@y.org", labels: { team: "design" } });
    const picks = suggestion(differences(base, theirs, mine));
    expect(merged(theirs, mine, picks)).toEqual({ email: "ada@y.org", displayName: "Ada", givenName: "Ada", familyName: "Lovelace", labels: { team: "design", floor: "2" } });
  });

  it.each([["theirs", "Ada L."], ["mine", "Countess"]] as const)("take %s where it is picked", (pick, name) => {
    const theirs = by({ displayName: "Ada L." });
    const mine = by({ displayName: "Countess" });
    expect(merged(theirs, mine, { display_name: pick }).displayName).toBe(name);
  });

  it("know labels by names that objects have too", () => {
    const theirs = by({ labels: { constructor: "x" } });
    expect(differences(by({ labels: {} }), theirs, by({ labels: {} }))).toMatchObject([{ path: "labels.constructor", base: undefined, mine: undefined, by: "theirs" }]);
  });
});

describe("the update mask", () => {
  const cases: [string, Partial<Draft>, string[]][] = [
    ["nothing", {}, []],
    ["a text", { displayName: "" }, ["display_name"]],
    ["all texts", { email: "a", displayName: "b", givenName: "c", familyName: "d" }, ["email", "display_name", "given_name", "family_name"]],
    ["the value of a label", { labels: { team: "x", site: "oslo" } }, ["labels"]],
    ["a label that is gone", { labels: { team: "infra" } }, ["labels"]],
    ["labels in another order", { labels: { site: "oslo", team: "infra" } }, []],
  ];
  it.each(cases)("names %s", (_, change, paths) => {
    expect(changedPaths(base, by(change))).toEqual(paths);
  });
});
