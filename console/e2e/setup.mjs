// What the tests in the browser share. They run before any gateway that serves
// the console: `npm run e2e` starts one in memory, integration/console_test.go the
// real platform.
//
//   KEELSONTEST_CONSOLE_URL      where the gateway is: http://127.0.0.1:8080
//   KEELSONTEST_CONSOLE_CONTROL  what kills and starts its parts; see control
//   KEELSONTEST_CHROMIUM         the browser; /usr/bin/chromium by default
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const base = process.env.KEELSONTEST_CONSOLE_URL ?? "http://127.0.0.1:8080";
export const shots = fileURLToPath(new URL("../../.cache/screenshots/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** @type {import("playwright-core").Browser} */
let browser;

/** Starts a browser for the tests of a file, and ends it after them. */
export function withBrowser() {
  mkdirSync(shots, { recursive: true });
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.KEELSONTEST_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  });
  after(() => browser?.close());
}

/**
 * Opens the console as somebody new, calls body with the page, and fails when the
 * page threw or broke its own Content-Security-Policy.
 */
export async function visit(path, options, body) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", locale: "en-US", timezoneId: "Europe/Berlin", ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const broken = [];
  page.on("pageerror", (e) => broken.push(`thrown: ${e.message}`));
  page.on("console", (m) => {
    if (m.type() === "error" && /Content Security Policy|Refused to/.test(m.text())) broken.push(m.text());
  });
  try {
    await page.goto(base + path);
    await body(page);
    assert.deepEqual(broken, []);
  } catch (cause) {
    await page.screenshot({ path: `${shots}failed-${Date.now()}.png`, fullPage: true }).catch(() => {});
    throw cause;
  } finally {
    await context.close();
  }
}

/** Keeps a picture of the page, once what moves has come to rest. */
export async function shot(page, name, options = {}) {
  await page.waitForTimeout(250);
  await page.screenshot({ path: `${shots}${name}.png`, ...options });
}

/** Fails on anything that axe-core finds. */
export async function accessible(page, what) {
  // The policy of the page forbids its scripts; the debugger is not bound by it.
  await page.evaluate(axe);
  // Colours are judged when nothing fades.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect?.getComputedTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary}`));
  assert.deepEqual(found, [], `${what}: axe-core finds violations`);
}

/** Calls a method with Connect's JSON, as another person's program would. */
export async function call(method, request) {
  const path = method.includes("/") ? method : `user.v1.UserService/${method}`;
  for (let i = 0; ; i++) {
    const answer = await fetch(`${base}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request) }).catch((cause) => ({ ok: false, status: 503, text: () => String(cause) }));
    if (answer.ok) return answer.json();
    // An instance that was just killed may take a write with it.
    const reads = /\/(Get|List)/.test(path) && answer.status === 504;
    if ((answer.status !== 503 && !reads) || i >= 20) throw new Error(`${path}: HTTP ${answer.status} ${await answer.text()}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}

/** Tells what keeps the platform to do something: kill, revive, gateway/stop, gateway/start. */
export async function control(action) {
  const at = process.env.KEELSONTEST_CONSOLE_CONTROL ?? `${base}/fake`;
  const answer = await fetch(`${at}/${action}`, { method: "POST" });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${action}: ${text}`);
  return text.trim();
}

let last = 0;
/** A name that no other user has, beginning with a word. */
export const fresh = (word) => `${word}-${process.pid.toString(36)}${Date.now().toString(36)}${last++}`;

/** Waits until a check passes. */
export async function eventually(check, ms = 60_000) {
  for (const end = Date.now() + ms; ; ) {
    try {
      return await check();
    } catch (cause) {
      if (Date.now() > end) throw cause;
    }
    await new Promise((r) => setTimeout(r, 50));
  }
}

export const connection = (page, phase) => page.locator(`.connection[data-phase="${phase}"]`).waitFor();
export const row = (page, id) => page.locator(`tr[data-name="users/${id}"]`);
export const rows = (page) => page.locator("tbody tr[data-name]");
export const filterBy = (q) => `/console/users?${new URLSearchParams(q)}`;
export const field = (page, label) => page.locator("dialog").getByLabel(label, { exact: false });

/** Picks an entry of a user's menu. */
export async function pick(page, id, item) {
  await row(page, id).getByRole("button", { name: /Actions for/ }).click();
  await page.getByRole("menuitem", { name: item }).click();
}
