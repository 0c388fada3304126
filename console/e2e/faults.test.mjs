import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { call, closed, connection, control, eventually, field, filterBy, fresh, pick, row, rows, shot, visit, withBrowser } from "./setup.mjs";

withBrowser();

const ids = (rows) => rows.evaluateAll((all) => [...new Set(all.map((r) => r.dataset.instance))].sort());
/** The IDs of a service's instances, and of those that serve; at least two. */
const instances = async (service) => {
  const all = await ids(service.locator("[data-instance]"));
  assert.ok(all.length > 1, `instances: ${all}`);
  return all;
};
const serving = (service) => ids(service.locator('[data-status="serving"]'));

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
      await closed(page);
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
      // All that there are, also one that a test before this one has brought back.
      await eventually(async () => assert.deepEqual(await serving(service), await instances(service)));
      const all = await instances(service);
      const traffic = setInterval(() => void call("ListUsers", { pageSize: 1 }).catch(() => {}), 50);
      try {
        const id = await control("kill");
        try {
          await service.locator(`[data-instance="${id}"][data-tone="bad"]`).first().waitFor();
          await eventually(async () => assert.deepEqual(await serving(service), all.filter((i) => i !== id)));
          await shot(page, "platform-killed", { fullPage: true });
        } finally {
          await control("revive");
        }
        await eventually(async () => assert.deepEqual(await serving(service), all));
        await eventually(async () => assert.match(await service.locator(".numbers").innerText(), /[1-9][\d.,]*\/s/));
        await shot(page, "platform-recovered", { fullPage: true });
      } finally {
        clearInterval(traffic);
      }
    });
  });
});
