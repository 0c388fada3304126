// That everybody reaches everything: with a keyboard alone, zoomed in, without
// motion, by ear.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { accessible, call, closed, connection, dialog, eventually, filterBy, focus, fresh, pick, row, rows, shot, sideways, visit, withBrowser } from "./setup.mjs";

withBrowser();

const word = fresh("reach").replaceAll("-", "");
const ids = Array.from({ length: 30 }, (_, i) => `${word}-${String(i).padStart(2, "0")}`);
before(() => Promise.all(ids.map((id) => call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: `Member ${id}`, labels: { team: "infra", site: "oslo" } } }))));

const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  return e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent.trim();
});
/** Tabs until what has the focus is named so; fails when the focus comes round without. */
async function tabTo(page, name) {
  const seen = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const now = await focused(page);
    seen.push(now);
    if (name.test(now)) return;
  }
  assert.fail(`Tab never came to ${name}; it came to ${seen.join(" | ")}`);
}
/** What is said to those who hear the page. */
const hears = (page, text) => page.locator('.sr-only[role="status"]').getByText(text).waitFor({ state: "attached" });

describe("with a keyboard alone", () => {
  it("one creates a user, whose form keeps the focus until it is done", () => visit(filterBy({ filter: word }), {}, async (page) => {
    const id = `${word}-new`;
    await connection(page, "live");
    await tabTo(page, /^New user$/);
    await page.keyboard.press("Enter");
    const form = await dialog(page);
    await focus(page, () => document.activeElement.name, /^userId$/);
    await page.keyboard.type(id);
    // Once around: nothing behind the dialog has the focus in between. What is no element of the page is the browser's own bar.
    const round = new Set();
    for (let i = 0; i < 14; i++) {
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog")), await focused(page));
      round.add(await focused(page));
    }
    for (const name of ["Close", "Display name", "Add label", "Cancel", "Create user"]) assert.ok(round.has(name), `${name} in ${[...round]}`);
    await tabTo(page, /^E-mail/);
    await page.keyboard.type("nobody");
    await page.keyboard.press("Enter");
    await form.locator('[aria-invalid="true"]').waitFor();
    await focus(page, () => `${document.activeElement.name}: ${document.getElementById(document.activeElement.getAttribute("aria-describedby")?.split(" ")[0])?.textContent}`, /^email: .*address/);
    await page.keyboard.press("Control+A");
    await page.keyboard.type(`${id}@example.com`);
    await page.keyboard.press("Enter");
    await closed(page);
    await focus(page, () => document.activeElement.textContent.trim(), /^New user$/);
    await row(page, id).waitFor();
    await hears(page, "is created");
  }));

  it("one sorts, turns pages and filters, and hears what came of it", () => visit(filterBy({ filter: word, size: "25" }), {}, async (page) => {
    await rows(page).first().waitFor();
    await hears(page, "25 users on this page");
    await page.locator('th[aria-sort="ascending"]', { hasText: "User ID" }).waitFor();
    await tabTo(page, /^User ID$/);
    await page.keyboard.press("Enter");
    await page.locator('th[aria-sort="descending"]', { hasText: "User ID" }).waitFor();
    await tabTo(page, /^Next$/);
    await page.keyboard.press("Enter");
    await page.getByText("Page 2 · ").waitFor();
    await page.getByRole("button", { name: "Next", disabled: true }).waitFor();
    await focus(page, () => document.activeElement.textContent.trim(), /^Next$/);
    await page.getByRole("searchbox").focus();
    await page.keyboard.type(" nobody-at-all");
    await page.keyboard.press("Enter");
    await hears(page, "No users found");
  }));
});

describe("zoomed in", () => {
  // 1280 by 800 at 200 % and at 400 % (WCAG 1.4.4, 1.4.10).
  for (const [zoom, viewport] of [[200, { width: 640, height: 400 }], [400, { width: 320, height: 256 }]]) {
    it(`to ${zoom} %, nothing is cut off and nothing scrolls sideways`, () => visit(filterBy({ filter: word, deleted: "true" }), { viewport }, async (page) => {
      const fits = (what) => eventually(async () => assert.equal(await sideways(page), 0, `${what} at ${zoom} %`), 5000);
      await rows(page).first().waitFor();
      await fits("users");
      await shot(page, `zoom-users-${zoom}`);
      await pick(page, ids[0], "Edit");
      const form = await dialog(page);
      await fits("dialog");
      for (const name of ["Save", "Cancel", "Close"]) {
        const box = await form.getByRole("button", { name, exact: true }).boundingBox();
        assert.ok(box.y >= 0 && box.y + box.height <= viewport.height && box.x >= 0 && box.x + box.width <= viewport.width, `${name} at ${JSON.stringify(box)}`);
      }
      const field = form.getByLabel("Family name");
      await field.focus();
      const [{ y, height }, head, foot] = await Promise.all([field.boundingBox(), form.locator(".dialog-head").boundingBox(), form.locator(".dialog-foot").boundingBox()]);
      assert.ok(y >= head.y + head.height && y + height <= foot.y, "what has the focus is not under the head or the foot");
      await shot(page, `zoom-dialog-${zoom}`);
      await page.keyboard.press("Escape");
      await closed(page);
      for (const path of [`users/${ids[0]}`, "platform", "import"]) {
        await page.goto(page.url().replace(/console\/.*/, `console/${path}`));
        await page.locator(path === "platform" ? "[data-service]" : path === "import" ? ".drop" : ".timeline li").first().waitFor();
        await fits(path);
        await shot(page, `zoom-${path.includes("/") ? "user" : path}-${zoom}`);
      }
    }));
  }
});

describe("who wants no motion", () => {
  it("sees none", () => visit(filterBy({ filter: word }), { reducedMotion: "reduce" }, async (page) => {
    await connection(page, "live");
    await row(page, ids[1]).waitFor();
    await call("UpdateUser", { user: { name: `users/${ids[1]}`, givenName: fresh("name") }, updateMask: "givenName" });
    await page.locator('tr[class^="flash"]').waitFor();
    await pick(page, ids[2], "Edit");
    await dialog(page);
    const moving = await page.evaluate(() => document.getAnimations().map((a) => a.effect.getComputedTiming()).filter((t) => t.activeDuration > 10).length);
    assert.equal(moving, 0);
    const times = await page.evaluate(() => [...document.querySelectorAll("*")].flatMap((e) => [null, "::before"].flatMap((p) => {
      const s = getComputedStyle(e, p);
      return [s.animationDuration, s.transitionDuration].flatMap((d) => d.split(",").map(Number.parseFloat));
    })).filter((s) => s > 0.002).length);
    assert.equal(times, 0);
  }));
});

describe("colours of the system", () => {
  it("are taken where a person forces them", () => visit(filterBy({ filter: word }), { forcedColors: "active" }, async (page) => {
    await connection(page, "live");
    await accessible(page, "forced colours");
    await shot(page, "forced-colors");
  }));
});
