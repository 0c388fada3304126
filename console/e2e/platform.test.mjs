import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { call, connection, eventually, visit, withBrowser } from "./setup.mjs";

withBrowser();

/** How many points of a canvas have a colour: its axes and texts are grey. */
const coloured = (canvas) =>
  canvas.evaluate((c) => {
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = data.slice(i, i + 4);
      if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 50) n++;
    }
    return n;
  });

describe("the platform", () => {
  it("shows calls, errors, p50 and p99 of services and instances, as numbers and as charts that go on", () => visit("/console/platform", {}, async (page) => {
    const service = page.locator('[data-service="user"]');
    await connection(page, "live");
    const traffic = setInterval(() => void call("ListUsers", { pageSize: 1 }).catch(() => {}), 50);
    try {
      const numbers = service.locator(".numbers");
      await eventually(async () => assert.match(await numbers.innerText(), /Calls\s+[1-9][\d.,]*\/s\s+Errors\s+\S.*\s+p50\s+[\d.,]+ (µs|ms|s)\s+p99\s+[\d.,]+ (µs|ms|s)\s+In flight\s+\d/));
      const instance = service.locator("[data-instance]").first();
      for (const [label, want] of [["Status", /Serving/], ["Breaker", /Closed/], ["Calls", /\d\/s/], ["p50", /(µs|ms|s)$/], ["p99", /(µs|ms|s)$/], ["Version", /\S/]]) {
        await eventually(async () => assert.match(await instance.locator(`[data-label="${label}"]`).innerText(), want));
      }
      const rate = service.getByRole("img", { name: /^Calls per second: user, [1-9]/ });
      const times = service.getByRole("img", { name: /^Latency: user, p50 \S+ (µs|ms|s), p99 / });
      for (const chart of [rate, times]) {
        await chart.waitFor();
        await eventually(async () => assert.ok((await coloured(chart.locator("canvas"))) > 5));
      }
      const picture = () => rate.locator("canvas").evaluate((c) => c.toDataURL());
      const before = await picture();
      await eventually(async () => assert.notEqual(await picture(), before));
    } finally {
      clearInterval(traffic);
    }
  }));

  it("leads to traces and dashboards, where they are configured", () => visit("/console/platform", {}, async (page) => {
    const service = page.locator('[data-service="user"]');
    const link = (name) => service.getByRole("link", { name }).getAttribute("href");
    assert.equal(await link(/^Traces/), "http://127.0.0.1:16686/search?service=user");
    assert.match(await link(/^Dashboard/), /^http:\/\/127\.0\.0\.1:3000\/d\/[\w-]+\?var-service=user$/);
    assert.equal(await service.getByRole("link", { name: /^Traces/ }).getAttribute("rel"), "noreferrer");
  }));

  it("has a link from every error to its trace", () => visit("/console/users/nobody-at-all", {}, async (page) => {
    const problem = page.getByRole("alert");
    const id = await problem.locator("code").innerText();
    const href = new URL(await problem.getByRole("link", { name: /^Trace/ }).getAttribute("href"));
    assert.deepEqual(JSON.parse(href.searchParams.get("tags")), { "keelson.correlation_id": id });
  }));
});
