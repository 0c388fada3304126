// What a small platform does not have: crowds, silence, names and errors that are
// long or written from right to left. Before the gateway in memory alone.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { LOOKS, call, connection, control, dialog, eventually, filterBy, fresh, look, needsFake, pick, row, rows, shot, visit, withBrowser } from "./setup.mjs";

withBrowser();

const check = (page, name, fullPage = true) => look(page, name, { fullPage });

const PEOPLE = [
  ["arabic", "عبد الله بن محمد", "الفريق"],
  ["hebrew", "עדה לאבלייס (ada)", "צוות"],
  ["emoji", "👩‍👩‍👧‍👦 🏳️‍🌈 Family", "👍🏽"],
  ["endless", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft".repeat(2), "x".repeat(63)],
  ["combining", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!", "z"],
  ["markup", "<img src=x onerror=alert(1)> & \"quoted\"", "<b>"],
];

describe("extremes", { skip: needsFake }, () => {
  after(() => control("scene/usual"));
  for (const [name, options] of Object.entries(LOOKS)) {
    for (const scene of ["crowd", "quiet", "alone"]) {
      it(`the platform: ${scene}, in ${name}`, async () => {
        await control(`scene/${scene}`);
        await visit("/console/platform", options, async (page) => {
          await page.locator("[data-service]").first().waitFor();
          await connection(page, "live");
          if (scene === "crowd") await eventually(async () => assert.equal(await page.locator("[data-instance^=user-]").count(), 20));
          if (scene === "crowd") {
            const open = page.getByRole("list", { name: "Breakers that are not closed" });
            await open.getByText("Open").first().waitFor();
            await open.getByText("98,765,432 refused").first().waitFor();
            assert.ok((await page.locator('[data-label="Breaker"]').getByText("Half open").count()) > 0);
          }
          if (scene === "quiet") await page.getByText("No calls in the last five minutes").first().waitFor({ state: "attached" });
          if (scene === "alone") await page.getByText("The gateway exposes no services").waitFor();
          await check(page, `extreme-platform-${scene}-${name}`);
        });
      });
    }

    it(`names of every kind, in ${name}`, async () => {
      const word = fresh("kind").replaceAll("-", "");
      for (const [id, displayName, team] of PEOPLE) {
        await call("CreateUser", { userId: `${word}-${id}`, user: { email: `${"long.".repeat(id === "endless" ? 12 : 0)}${word}.${id}@example.com`, displayName, givenName: displayName.slice(0, 60), labels: { team } } });
      }
      await visit(filterBy({ filter: word }), options, async (page) => {
        await eventually(async () => assert.equal(await rows(page).count(), PEOPLE.length));
        await check(page, `extreme-names-${name}`);
        await pick(page, `${word}-hebrew`, "Suspend");
        await row(page, `${word}-hebrew`).getByText("Suspended").waitFor();
        await pick(page, `${word}-endless`, "Delete…");
        await dialog(page);
        await check(page, `extreme-delete-${name}`, false);
      });
      await visit(`/console/users/${word}-endless`, options, async (page) => {
        await page.locator(".timeline li").first().waitFor();
        await check(page, `extreme-user-${name}`);
      });
    });
  }

  it("a filter that ten thousand match is a page of them, and no total is claimed", async () => {
    await control("people/10000");
    await visit(filterBy({ filter: "many", size: "250" }), {}, async (page) => {
      await eventually(async () => assert.equal(await rows(page).count(), 250));
      await page.getByText("First page · 250 users on it").waitFor();
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText("Page 2 · 250 users on it").waitFor();
      assert.doesNotMatch(await page.locator("main").innerText(), /10,?000| of \d|total/i);
      await connection(page, "live");
      await shot(page, "extreme-many");
    });
  });
});
