// Every state that passes, as it looks and as it is read aloud: before the gateway
// in memory, which does as it is told.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LOOKS, base, call, connection, control, dialog, filterBy, fresh, look, needsFake, pick, row, rows, visit, withBrowser } from "./setup.mjs";

withBrowser();

async function team(n) {
  const word = fresh("state").replaceAll("-", "");
  const ids = Array.from({ length: n }, (_, i) => `${word}-${i}`);
  for (const [i, id] of ids.entries()) await call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: `Member ${i} ${word}`, labels: { team: "infra" } } });
  return { word, ids };
}

/** An answer of gRPC-Web that is an error alone. */
const refusal = (code, message) => ({ status: 200, headers: { "content-type": "application/grpc-web+proto", "grpc-status": String(code), "grpc-message": message, "x-correlation-id": "correlation-of-a-refusal" }, body: "" });
const FILE = ["user_id,email,display_name,shoe size", ",no address,عبد الله,42", "x,y,z,42,too,many", ...Array.from({ length: 120 }, (_, i) => `,none${i},Row ${i},`)].join("\r\n");
const choose = (page, name, text) => page.setInputFiles("#file", { name, mimeType: "text/plain", buffer: Buffer.from(text) });

describe("states", { skip: needsFake }, () => {
  for (const [name, options] of Object.entries(LOOKS)) {
    it(`of rows that somebody else changes, in ${name}`, async () => {
      const { word, ids } = await team(4);
      await visit(filterBy({ filter: word, order: "display_name" }), options, async (page) => {
        await connection(page, "live");
        await call("UpdateUser", { user: { name: `users/${ids[0]}`, displayName: `Zoe ${word}` }, updateMask: "displayName" });
        await row(page, ids[0]).getByText("Belongs elsewhere now").waitFor();
        await call("DeleteUser", { name: `users/${ids[1]}` });
        await row(page, ids[1]).getByText("Deleted just now").waitFor();
        await page.getByText("2 users shown have left this list or changed places").waitFor();
        await look(page, `state-marks-${name}`);
        await pick(page, ids[2], "Delete…");
        await (await dialog(page)).getByRole("button", { name: "Delete", exact: true }).click();
        await page.locator(".note").getByText("is deleted").waitFor();
        await row(page, ids[2]).getByText("Deleted just now").waitFor();
        await look(page, `state-note-${name}`);
      });
    });

    it(`of a list that is away, in ${name}`, async () => {
      const { word } = await team(2);
      await visit(filterBy({ filter: word }), options, async (page) => {
        await connection(page, "live");
        await control("gateway/stop");
        try {
          await page.locator(".connection-why summary").click();
          await page.locator(".connection-problem").getByText("The gateway cannot be reached").waitFor();
          await page.locator(".connection-problem code").waitFor();
          await look(page, `state-reconnecting-${name}`);
        } finally {
          await control("gateway/start");
        }
        await connection(page, "live");
        let release = () => {};
        const held = new Promise((resolve) => (release = resolve));
        await page.route("**/ListUsers", async (r) => {
          await held;
          await r.continue();
        });
        await page.getByRole("button", { name: "Suspended", exact: true }).click();
        await page.locator('.table-frame[aria-busy="true"]').waitFor();
        await look(page, `state-busy-${name}`);
        release();
        await page.getByText("Nobody matches").waitFor();
      });
    });

    it(`of lists that cannot be read, in ${name}`, () => visit(filterBy({ filter: "state = broken (" }), options, async (page) => {
      await page.getByText("The filter cannot be read").waitFor();
      await page.getByRole("search").locator("code").waitFor();
      await look(page, `state-filter-${name}`);
      await page.getByRole("button", { name: "state = SUSPENDED" }).click();
      await rows(page).first().waitFor();
      await page.goto(page.url().replace(/\?.*/, "?page=of-another-filter"));
      await page.getByText("This page belongs to another list").waitFor();
      await look(page, `state-token-${name}`);
      await page.getByRole("button", { name: "To the first page" }).click();
      await rows(page).first().waitFor();
      await page.route("**/ListUsers", (r) => r.fulfill(refusal(8, "too many requests from this address")));
      await page.reload();
      await page.getByText("This is tried again by itself").waitFor();
      await page.getByText("correlation-of-a-refusal").waitFor();
      await look(page, `state-limited-${name}`);
      await page.unroute("**/ListUsers");
      await rows(page).first().waitFor(); // by itself
    }));

    it(`of a user who is purged, in ${name}`, async () => {
      const { word, ids: [id] } = await team(1);
      await call("DeleteUser", { name: `users/${id}` });
      await visit(filterBy({ filter: word, deleted: "true" }), options, async (page) => {
        await connection(page, "live");
        await page.route("**/UndeleteUser", (r) => r.fulfill(refusal(5, "there is no such user; it was purged")));
        await pick(page, id, "Undelete");
        await (await dialog(page)).getByText("There is no such user").waitFor();
        await look(page, `dialog-problem-${name}`);
        await page.keyboard.press("Escape");
        await row(page, id).getByRole("link").click();
        await page.getByRole("button", { name: "Undelete" }).waitFor();
        await connection(page, "live");
        const list = await page.context().newPage();
        await list.goto(base + filterBy({ filter: word, deleted: "true" }));
        await connection(list, "live");
        await control(`purge/${id}`);
        await row(list, id).getByText("Purged just now").waitFor();
        await list.close();
        await page.getByText("cannot be brought back").waitFor();
        assert.equal(await page.getByRole("button", { name: "Undelete" }).count(), 0);
        await look(page, `state-purged-${name}`);
      });
    });

    it(`of an import, in ${name}`, () => visit("/console/import", options, async (page) => {
      await choose(page, "empty.csv", "");
      await page.getByRole("alert").getByText("holds no users").waitFor();
      await look(page, `state-import-choose-${name}`, { fullPage: true });
      await choose(page, "people.csv", FILE);
      await page.locator(".faults summary").click();
      await page.getByText("Line 3 has 6 columns").waitFor();
      await look(page, `state-import-ready-${name}`, { fullPage: true });
      await page.getByRole("button", { name: "Import 121 users" }).click();
      await page.getByRole("heading", { name: "Done" }).waitFor();
      await page.locator(".row-correlation summary").first().click();
      assert.equal(await page.locator('tr[data-outcome="failed"]').count(), 100);
      await look(page, `state-import-failed-${name}`);
      await page.getByRole("button", { name: "Show 21 more" }).click();
      assert.equal(await page.locator('tr[data-outcome="failed"]').count(), 121);
    }));

    it(`of a platform that is not live, in ${name}`, () => visit("/console/platform", options, async (page) => {
      await page.locator("[data-service]").first().waitFor();
      await connection(page, "live");
      await control("gateway/stop");
      try {
        await page.locator(".services[data-stale]").waitFor();
        await look(page, `state-platform-away-${name}`);
      } finally {
        await control("gateway/start");
      }
      await page.locator(".services:not([data-stale])").waitFor();
    }));
  }
});
