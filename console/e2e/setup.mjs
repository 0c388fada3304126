// What the tests in the browser share. They run before any gateway that serves
// the console: `npm run e2e` starts one in memory, integration/console_test.go the
// real platform.
//
//   KEELSONTEST_CONSOLE_URL      where the gateway is: http://127.0.0.1:8080
//   KEELSONTEST_CONSOLE_CONTROL  what kills and starts its parts; see control
//   KEELSONTEST_CONSOLE_FAKE     1: the gateway is the one in memory, which has no REST
//   KEELSONTEST_CONSOLE_THROTTLE how many times slower than it is a page's CPU shall be; 1 by default
//   KEELSONTEST_CHROMIUM         the browser; /usr/bin/chromium by default
//
// No test depends on how fast anything is: each waits for what it needs, reads
// what may still change with eventually, and never takes for granted that
// something is gone which may not have come yet.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const base = process.env.KEELSONTEST_CONSOLE_URL ?? "http://127.0.0.1:8080";
/** Why tests are skipped that ask for what only the real gateway has, or only the one in memory. */
export const needsReal = process.env.KEELSONTEST_CONSOLE_FAKE === "1" && "it needs the real gateway: go test ./integration -run Console";
export const needsFake = process.env.KEELSONTEST_CONSOLE_FAKE !== "1" && "it needs the gateway in memory: npm run e2e";
const throttle = Number(process.env.KEELSONTEST_CONSOLE_THROTTLE || 1);
export const shots = fileURLToPath(new URL("../../.cache/screenshots/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// How long something may take that has to come: on a machine that is idle it comes at once.
const PATIENCE = 90_000;
const FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** @type {import("playwright-core").Browser} */
export let browser;

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
 * page threw, broke its own Content-Security-Policy, or asked anybody but its gateway.
 */
export async function visit(path, options, body) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", locale: "en-US", timezoneId: "Europe/Berlin", ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  await slow(page);
  const broken = [];
  page.on("request", (r) => {
    if (/^https?:/.test(r.url()) && new URL(r.url()).origin !== new URL(base).origin) broken.push(`asked somebody else: ${r.url()}`);
  });
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

/** Slows a page down, as the environment asks for. */
async function slow(page) {
  if (throttle <= 1) return;
  const session = await page.context().newCDPSession(page);
  await session.send("Emulation.setCPUThrottlingRate", { rate: throttle });
}

/** Waits until nothing moves but what always does. */
async function settled(page) {
  await page.evaluate(async () => {
    const moving = () => document.getAnimations().filter((a) => a.effect?.getComputedTiming().iterations !== Infinity);
    while (moving().length) await Promise.all(moving().map((a) => a.finished.catch(() => {})));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  });
}

/** Keeps a picture of the page, once what moves has come to rest. */
export async function shot(page, name, options = {}) {
  await settled(page);
  await page.screenshot({ path: `${shots}${name}.png`, ...options });
}

/** Fails on anything that axe-core finds: WCAG 2.2 A and AA, contrast and size of targets included, and its best practices. */
export async function accessible(page, what) {
  // The policy of the page forbids its scripts; the debugger is not bound by it.
  await page.evaluate(axe);
  await settled(page); // colours are judged when nothing fades
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } }));
  const found = violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary}`));
  assert.deepEqual(found, [], `${what}: axe-core finds violations`);
}

/**
 * Calls a method with Connect's JSON, as another person's program would, until it
 * is answered: an instance or a gateway that is killed takes calls with it. A
 * write that is sent twice is done once, by its request ID.
 */
export async function call(method, request) {
  const path = method.includes("/") ? method : `user.v1.UserService/${method}`;
  const write = /\/(Create|Update|Delete|Undelete|Suspend|Activate)/.test(path);
  const body = JSON.stringify(write ? { requestId: randomUUID(), ...request } : request);
  for (const end = Date.now() + PATIENCE; ; ) {
    const answer = await fetch(`${base}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body }).catch((cause) => ({ ok: false, status: 503, text: () => String(cause) }));
    if (answer.ok) return answer.json();
    const passes = answer.status === 503 || answer.status === 504;
    if (!passes || Date.now() > end) throw new Error(`${path}: HTTP ${answer.status} ${await answer.text()}`);
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
export async function eventually(check, ms = PATIENCE) {
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

/** How far a page can be scrolled sideways. */
export const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** How people look at a page. */
export const LOOKS = {
  light: {},
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
  "phone-dark": { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" },
};

/** Checks how a page is read aloud and that it fits, and keeps a picture. */
export async function look(page, name, options = {}) {
  await accessible(page, name);
  await eventually(async () => assert.equal(await sideways(page), 0, `${name}: scrolls sideways`), 5000);
  await shot(page, name, options);
}

/** What has the focus; fails until it is as wanted. */
export const focus = (page, of, want) => eventually(async () => assert.match(String(await page.evaluate(of)), want));

/** The dialog, once it is open: what is pressed before goes to what is behind. */
export async function dialog(page) {
  const open = page.locator("dialog:modal");
  await open.waitFor();
  return open;
}

/** Waits until there is no dialog; there has to have been one. */
export const closed = (page) => page.locator("dialog").waitFor({ state: "detached" });

/** Picks an entry of a user's menu. */
export async function pick(page, id, item) {
  await row(page, id).getByRole("button", { name: /Actions for/ }).click();
  await page.getByRole("menuitem", { name: item }).click();
}
