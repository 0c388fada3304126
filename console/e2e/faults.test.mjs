import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { call, connection, control, eventually, field, filterBy, fresh, pick, row, rows, shot, visit, withBrowser } from "./setup.mjs";

withBrowser();

async function one() {
  const id = fresh("fault");
  await call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: "Before" } });
  return id;
}

describe("while the gateway is restarted", () => {
  it("a list says that it is not live, and goes on without losing a change", async () => {
    const id = await one();
    await visit(filterBy({ filter: id }), {}, async (page) => {
      await connection(page, "live");
      await control("gateway/stop");
      await connection(page, "waiting");
      await eventually(async () => assert.match(await page.locator(".connection-text").innerText(), /Reconnecting in \d+ s/));
      await shot(page, "users-reconnecting");
      await page.getByRole("status").getByText("Users are not live").waitFor({ state: "attached" });
      await control("gateway/start");
      await call("UpdateUser", { user: { name: `users/${id}`, displayName: "After" }, updateMask: "displayName" });
      await connection(page, "live");
      await row(page, id).getByText("After").waitFor();
    });
  });

  it("a save fails with a problem that can be tried again, and loses nothing typed", async () => {
    const id = await one();
    await visit(filterBy({ filter: id }), {}, async (page) => {
      await pick(page, id, "Edit");
      await field(page, "Display name").fill("Typed");
      await control("gateway/stop");
      await page.getByRole("button", { name: "Save" }).click();
      await page.locator("dialog").getByText("The gateway cannot be reached.").waitFor();
      await shot(page, "edit-unreachable");
      await control("gateway/start");
      await eventually(async () => {
        if (await page.locator("dialog").count()) await page.getByRole("button", { name: "Save" }).click({ timeout: 1000 });
        assert.equal((await call("GetUser", { name: `users/${id}` })).displayName, "Typed");
      });
      await page.locator("dialog").waitFor({ state: "detached" });
    });
  });

  it("a page that is opened says so, and goes on by itself", async () => {
    await visit("/console/users", {}, async (page) => {
      await rows(page).first().waitFor();
      await control("gateway/stop");
      await page.getByRole("searchbox").fill("somebody");
      await page.getByText("The users could not be read").waitFor();
      await page.getByRole("alert").locator("code").waitFor();
      await shot(page, "users-error");
      await control("gateway/start");
      await page.getByText("The users could not be read").waitFor({ state: "detached" });
    });
  });
});

describe("while an instance is killed", () => {
  it("lists stay live, and changes are made", async () => {
    const id = await one();
    await visit(filterBy({ filter: id }), {}, async (page) => {
      await connection(page, "live");
      await control("kill");
      try {
        for (const [action, state] of [["Suspend", "Suspended"], ["Activate", "Active"], ["Suspend", "Suspended"]]) {
          await pick(page, id, action);
          await row(page, id).getByText(state, { exact: true }).waitFor();
        }
        await call("UpdateUser", { user: { name: `users/${id}`, displayName: "After" }, updateMask: "displayName" });
        await row(page, id).getByText("After").waitFor();
        await connection(page, "live");
        assert.equal(await page.locator("dialog").count(), 0, "no change was refused");
      } finally {
        await control("revive");
      }
    });
  });

  it("the platform shows it red, and well again when it is back, without a reload", async () => {
    await visit("/console/platform", {}, async (page) => {
      await connection(page, "live");
      const service = page.locator('[data-service="user"]');
      await service.locator('[data-status="serving"]').first().waitFor();
      const serving = await service.locator('[data-status="serving"]').count();
      const traffic = setInterval(() => void call("ListUsers", { pageSize: 1 }).catch(() => {}), 50);
      try {
        const id = await control("kill");
        const dead = service.locator(`[data-instance="${id}"][data-tone="bad"]`).first();
        await dead.waitFor();
        await shot(page, "platform-killed", { fullPage: true });
        await control("revive");
        await eventually(async () => assert.equal(await service.locator('[data-status="serving"]').count(), serving), 90_000);
        await service.locator(`[data-instance="${id}"][data-status="serving"]`).waitFor();
        await eventually(async () => assert.match(await service.locator(".numbers").innerText(), /[1-9][\d.,]*\/s/));
        await shot(page, "platform-recovered", { fullPage: true });
      } finally {
        clearInterval(traffic);
      }
    });
  });
});
