// Server-sent events as a page of somebody else takes them: EventSource, from
// another origin, without any code of ours.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { base, browser, call, control, eventually, fresh, needsReal, withBrowser } from "./setup.mjs";

withBrowser();

/** Opens a page of an origin, which watches users and keeps what it is told. */
async function watching(origin, filter, body) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(origin);
    await page.evaluate((url) => {
      const source = new EventSource(url);
      Object.assign(globalThis, { source, told: [], ids: [], opened: 0, failed: 0 });
      source.onopen = () => globalThis.opened++;
      source.addEventListener("message", (e) => {
        globalThis.told.push(JSON.parse(e.data));
        globalThis.ids.push(e.lastEventId);
      });
      // The stream's own last event, "error", and a connection that broke come here alike.
      source.addEventListener("error", (e) => (globalThis.failed += e.data === undefined ? 1 : 0));
    }, `${base}/v1/users:watch?${new URLSearchParams({ filter, bookmark_interval: "1s" })}`);
    await body(page);
  } finally {
    await context.close();
  }
}

const told = (page) => page.evaluate(() => globalThis.told.filter((m) => m.user).map((m) => `${m.type} ${m.user.displayName ?? ""}`));
const hears = (page, want) => eventually(async () => assert.deepEqual(await told(page), want));
const create = async () => {
  const id = fresh("event");
  await call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: "Ada" } });
  return id;
};
const rename = (id, displayName) => call("UpdateUser", { user: { name: `users/${id}`, displayName }, updateMask: "displayName" });

describe("an EventSource", { skip: needsReal }, () => {
  const elsewhere = `${process.env.KEELSONTEST_CONSOLE_CONTROL}/page`;

  it("of another origin is told changes, and goes on where it was after the gateway was restarted", async () => {
    const id = await create();
    await watching(elsewhere, `name = "users/${id}"`, async (page) => {
      assert.notEqual(new URL(page.url()).origin, new URL(base).origin);
      await hears(page, ["TYPE_ADDED Ada"]);
      await eventually(async () => assert.ok(await page.evaluate(() => globalThis.told.some((m) => m.initialStateEnd))));
      await rename(id, "Grace");
      await hears(page, ["TYPE_ADDED Ada", "TYPE_MODIFIED Grace"]);
      const ids = await page.evaluate(() => globalThis.ids);
      assert.ok(ids.at(-1), "a change has an ID");

      await control("gateway/stop");
      await eventually(async () => assert.ok((await page.evaluate(() => globalThis.failed)) > 0));
      await control("gateway/start");
      await rename(id, "Barbara");
      // The browser asks to go on after its last ID: without it, it would be told of Ada, as she is now, once more.
      await hears(page, ["TYPE_ADDED Ada", "TYPE_MODIFIED Grace", "TYPE_MODIFIED Barbara"]);
      assert.ok((await page.evaluate(() => globalThis.opened)) > 1);
      await rename(id, "Radia");
      await hears(page, ["TYPE_ADDED Ada", "TYPE_MODIFIED Grace", "TYPE_MODIFIED Barbara", "TYPE_MODIFIED Radia"]);
    });
  });

  it("of an origin that is not permitted is told nothing", async () => {
    const id = await create();
    const other = elsewhere.replace("127.0.0.1", "localhost");
    await watching(other, `name = "users/${id}"`, async (page) => {
      await eventually(async () => assert.equal(await page.evaluate(() => globalThis.source.readyState), 2, "it is closed for good"));
      assert.deepEqual(await told(page), []);
    });
  });
});
