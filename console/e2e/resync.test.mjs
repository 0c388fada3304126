// What a page does whose last revision the service does not keep changes for any
// more: it was away for too long.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { call, connection, control, eventually, filterBy, fresh, row, visit, withBrowser } from "./setup.mjs";

withBrowser();

/** Keeps the phases that the connection goes through from now on. */
const watchPhases = (page) =>
  page.evaluate(() => {
    const shown = document.querySelector(".connection");
    globalThis.phases = [shown.dataset.phase];
    new MutationObserver(() => globalThis.phases.push(shown.dataset.phase)).observe(shown, { attributeFilter: ["data-phase"] });
  });
const phases = (page) => page.evaluate(() => globalThis.phases);

async function one(word) {
  const id = `${word}-${fresh("old")}`;
  await call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: `Before ${word}` } });
  return id;
}

/** Keeps a page from watching, changes users meanwhile, and has what was before forgotten. */
async function away(page, changes) {
  await page.route("**/user.v1.UserService/WatchUsers", (route) => route.abort());
  await control("gateway/stop"); // which ends the watch that it has
  await control("gateway/start");
  await connection(page, "waiting");
  const { revision } = await call("ListUsers", { pageSize: 1 });
  await changes();
  await control(`compact?revision=${encodeURIComponent(revision)}`);
  await page.unroute("**/user.v1.UserService/WatchUsers");
}

describe("a page that was away for longer than changes are kept", () => {
  it("reads the list anew, and goes on live", async () => {
    const word = fresh("resync").replaceAll("-", "");
    const id = await one(word);
    await visit(filterBy({ filter: word }), {}, async (page) => {
      await connection(page, "live");
      await watchPhases(page);
      await away(page, async () => {
        await call("UpdateUser", { user: { name: `users/${id}`, displayName: `After ${word}` }, updateMask: "displayName" });
        await one(`${word}-new`);
      });
      await row(page, id).getByText(`After ${word}`).waitFor();
      await connection(page, "live");
      // The page was read anew: who is new stands on it, and nothing waits.
      await eventually(async () => assert.equal(await page.locator("tbody tr[data-name]").count(), 2));
      assert.equal(await page.locator(".banner").count(), 0);
      const seen = await phases(page);
      assert.ok(seen.includes("resyncing"), seen.join());
      assert.ok(!seen.includes("failed"), seen.join());

      await call("UpdateUser", { user: { name: `users/${id}`, displayName: `Live ${word}` }, updateMask: "displayName" });
      await row(page, id).getByText(`Live ${word}`).waitFor();
    });
  });

  it("reads a user anew, and goes on live", async () => {
    const word = fresh("resync").replaceAll("-", "");
    const id = await one(word);
    await visit(`/console/users/${id}`, {}, async (page) => {
      await page.getByRole("heading", { name: `Before ${word}` }).waitFor();
      await connection(page, "live");
      await watchPhases(page);
      await away(page, async () => {
        await call("UpdateUser", { user: { name: `users/${id}`, displayName: `After ${word}` }, updateMask: "displayName" });
        await one(`${word}-new`);
      });
      await page.getByRole("heading", { name: `After ${word}` }).waitFor();
      await connection(page, "live");
      const seen = await phases(page);
      assert.ok(seen.includes("resyncing"), seen.join());
      assert.ok(!seen.includes("failed"), seen.join());
      await call("UpdateUser", { user: { name: `users/${id}`, displayName: `Live ${word}` }, updateMask: "displayName" });
      await page.getByRole("heading", { name: `Live ${word}` }).waitFor();
    });
  });
});
