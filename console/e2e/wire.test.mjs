// What goes over the wire: how much, to whom, and in which protocol.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { accessible, base, browser, connection, call, eventually, filterBy, focus, fresh, needsReal, row, rows, visit, withBrowser } from "./setup.mjs";

withBrowser();

const LIMIT = 200 * 1024;

describe("a first visit", { skip: needsReal }, () => {
  it("loads less than 200 KB, compressed, all of it from the gateway, and calls over gRPC-Web", async () => {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      const asked = [];
      const loaded = [];
      page.on("request", (r) => asked.push(r));
      page.on("requestfinished", (r) => loaded.push(r));
      await page.goto(`${base}/console/users`);
      await rows(page).first().waitFor();
      await connection(page, "live");
      const sizes = await Promise.all(loaded.map(async (r) => {
        const { responseHeadersSize, responseBodySize } = await r.sizes();
        return responseHeadersSize + responseBodySize;
      }));
      const total = sizes.reduce((a, b) => a + b, 0);
      assert.ok(total < LIMIT, `${total} bytes`);
      const of = (pattern) => asked.filter((r) => pattern.test(r.url()));
      assert.ok(of(/\.(js|css)$/).length >= 2 && total > 10_000, "the page and its files were counted");
      for (const r of of(/assets\/.*\.(js|css)$/)) {
        assert.equal(await (await r.response()).headerValue("content-encoding"), "gzip", r.url());
      }
      assert.deepEqual(asked.filter((r) => new URL(r.url()).origin !== base).map((r) => r.url()), []);
      const calls = asked.filter((r) => r.method() === "POST");
      assert.ok(calls.some((r) => r.url().endsWith("/user.v1.UserService/WatchUsers")));
      for (const r of calls) assert.equal(await r.headerValue("content-type"), "application/grpc-web+proto", r.url());
      console.log(`the first visit loaded ${total} bytes in ${loaded.length} requests`);
    } finally {
      await context.close();
    }
  });
});

describe("on a slow line", () => {
  it("a page says that it loads, and so does each part of it that comes later", () => visit("/console/users", {}, async (page) => {
    const holds = async (pattern) => {
      let release = () => {};
      const held = new Promise((resolve) => (release = resolve));
      await page.route(pattern, async (route) => {
        await held;
        await route.continue();
      });
      return release;
    };
    const script = await holds(/assets\/index-.*\.js/);
    const loading = page.reload({ waitUntil: "commit" });
    await page.getByRole("status").getByText("Loading the console").waitFor();
    await loading;
    script();
    await rows(page).first().waitFor();
    assert.equal(await page.getByText("Loading the console").count(), 0);
    const part = await holds(/assets\/platform-page-.*\.js/);
    await page.getByRole("link", { name: "Platform" }).click();
    await page.getByRole("status").getByText("Loading the page").waitFor();
    await accessible(page, "a part that loads");
    await focus(page, () => document.activeElement.textContent, /^Platform$/);
    part();
    await page.locator(".connection").waitFor();
    await focus(page, () => document.activeElement.textContent, /^Platform$/);
  }));
});

/** Says to a page that somebody sees it, or nobody. */
const show = (page, visible) =>
  page.evaluate((seen) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
    document.dispatchEvent(new Event("visibilitychange"));
  }, visible);

describe("a page that nobody sees", () => {
  it("holds no connection, and goes on without losing a change", async () => {
    const id = fresh("unseen");
    await call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: "Before" } });
    await visit(filterBy({ filter: id }), {}, async (page) => {
      await connection(page, "live");
      const ended = page.waitForEvent("requestfailed", (r) => r.url().endsWith("/WatchUsers"));
      await show(page, false);
      await ended;
      await connection(page, "stopped");
      await call("UpdateUser", { user: { name: `users/${id}`, displayName: "After" }, updateMask: "displayName" });
      await show(page, true);
      await row(page, id).getByText("After").waitFor();
      await connection(page, "live");
    });
  });

  // Over HTTP/1.1 browsers open six connections to a server, for all tabs together.
  it("leaves its connection to the others: eight tabs are live, one after another", () => visit("/console/users", {}, async (first) => {
    await connection(first, "live");
    const tabs = [first];
    while (tabs.length < 8) {
      await show(tabs.at(-1), false);
      const tab = await first.context().newPage();
      tabs.push(tab);
      await tab.goto(`${base}/console/${tabs.length % 2 ? "platform" : "users"}`);
      await connection(tab, "live");
    }
    await show(tabs.at(-1), false);
    await show(first, true);
    await connection(first, "live");
    await eventually(async () => assert.ok((await rows(first).count()) > 0));
  }));
});
