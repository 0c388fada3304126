import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { accessible, base, call, connection, control, eventually, fresh, needsReal, row, shot, visit, withBrowser } from "./setup.mjs";

withBrowser();

const number = (page, label) => page.locator(".numbers div", { hasText: label }).locator("dd").innerText();
const choose = (page, name, text) => page.setInputFiles("#file", { name, mimeType: "text/plain", buffer: Buffer.from(text) });

/**
 * Stands between the page and the gateway, so that what a test does in the middle
 * of an import is done in the middle: from hold on requests wait, beginning with
 * the nth, until release.
 */
async function gateOf(page) {
  let sent = 0;
  let at = Infinity;
  let open = () => {};
  let opened;
  await page.route("**/v1/users:import", async (route) => {
    if (++sent >= at) await opened;
    await route.continue().catch(() => {}); // the page has ended it meanwhile
  });
  return {
    hold: (nth) => {
      [sent, at] = [0, nth];
      opened = new Promise((resolve) => (open = resolve));
    },
    release: () => {
      at = Infinity;
      open();
    },
  };
}

function csv(word, n, bad) {
  const line = (i) => `${word}-${i},${bad.includes(i) ? "no address" : `${word}${i}@example.com`},Row ${i},infra`;
  return ["user_id,email,display_name,labels.team", ...Array.from({ length: n }, (_, i) => line(i))].join("\n");
}

describe("an import", () => {
  it("shows the file, its progress and each row, and hands back the failed ones to be mended", async () => {
    const word = fresh("csv");
    await visit("/console/import", {}, async (page) => {
      await page.locator(".drop").waitFor();
      await accessible(page, "choosing a file");
      await shot(page, "import-choose");
      await choose(page, "people.csv", csv(word, 450, [3, 333]));
      await page.getByText("CSV, 450 users").waitFor();
      await accessible(page, "the preview");
      await shot(page, "import-ready");
      await page.getByRole("button", { name: "Import 450 users" }).click();
      await page.getByRole("heading", { name: "Done" }).waitFor();
      assert.deepEqual([await number(page, "Created"), await number(page, "There already"), await number(page, "Failed")], ["448", "0", "2"]);
      await page.locator('tr[data-outcome="failed"]', { hasText: "address" }).first().waitFor();
      assert.equal(await page.locator('tr[data-outcome="failed"]').count(), 2);
      await accessible(page, "the results");
      await shot(page, "import-done");
      const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download failed rows" }).click()]);
      const failed = readFileSync(await file.path(), "utf8");
      assert.match(failed, new RegExp(`^user_id,email,display_name,given_name,family_name,labels.team,error\r\n${word}-3,no address,Row 3,,,infra,`));
      assert.equal((await call("GetUser", { name: `users/${word}-449` })).labels.team, "infra");

      await page.getByRole("button", { name: "Another file" }).click();
      await choose(page, "mended.csv", failed.replaceAll("no address", "mended@example.com").split("\r\n").slice(0, 2).join("\r\n"));
      await page.getByRole("button", { name: "Import 1 user" }).click();
      await page.getByRole("heading", { name: "Done" }).waitFor();
      assert.equal(await number(page, "Created"), "1");
    });
  });

  it("of the same file twice creates nobody twice", async () => {
    const word = fresh("twice");
    const text = Array.from({ length: 20 }, (_, i) => JSON.stringify({ userId: `${word}-${i}`, user: { email: `${word}${i}@example.com` } })).join("\n");
    await visit("/console/import", {}, async (page) => {
      for (const [created, replayed] of [["20", "0"], ["0", "20"]]) {
        await choose(page, "people.ndjson", text);
        await page.getByRole("button", { name: "Import 20 users" }).click();
        await page.getByRole("heading", { name: "Done" }).waitFor();
        assert.deepEqual([await number(page, "Created"), await number(page, "There already")], [created, replayed]);
        await page.getByRole("button", { name: "Another file" }).click();
      }
    });
  });

  it("that is aborted goes on where it was, also when an instance is killed", async () => {
    const word = fresh("abort");
    const n = 3000;
    await visit("/console/import", {}, async (page) => {
      const gate = await gateOf(page);
      gate.hold(8);
      await choose(page, "people.csv", csv(word, n, []));
      await page.getByRole("button", { name: /Import 3,000 users/ }).click();
      await eventually(async () => assert.notEqual(await number(page, "Created"), "0"));
      await page.getByRole("button", { name: "Abort" }).click();
      await page.getByRole("heading", { name: "Stopped" }).waitFor();
      const before = Number((await number(page, "Created")).replace(",", ""));
      assert.ok(before > 0 && before < n, `aborted after ${before}`);
      await shot(page, "import-stopped");
      gate.release();
      gate.hold(4);
      await page.getByRole("button", { name: "Continue" }).click();
      await control("kill");
      gate.release();
      try {
        await page.getByRole("heading", { name: "Done" }).waitFor({ timeout: 180_000 });
        const counts = await Promise.all(["Created", "There already", "Failed"].map(async (l) => Number((await number(page, l)).replace(",", ""))));
        assert.equal(counts[0] + counts[1], n);
        assert.equal(counts[2], 0);
      } finally {
        await control("revive");
      }
    });
  });

  it("of ten thousand rows is done, and told to who looks at the list meanwhile", { skip: needsReal }, async () => {
    const word = fresh("a-many");
    await visit("/console/users", {}, async (list) => {
      await connection(list, "live");
      const page = await list.context().newPage();
      await page.goto(`${base}/console/import`);
      await choose(page, "people.csv", csv(word, 10_000, [9_999]));
      await page.getByRole("button", { name: "Import 10,000 users" }).click();
      await page.getByRole("heading", { name: "Done" }).waitFor({ timeout: 180_000 });
      assert.deepEqual([await number(page, "Created"), await number(page, "Failed")], ["9,999", "1"]);
      await list.getByText("9,999 more users would be on this page").waitFor();
      await list.getByRole("button", { name: "Refresh" }).click();
      await row(list, `${word}-0`).waitFor();
    });
  });

  it("takes files as spreadsheets write them", async () => {
    const word = fresh("sheet");
    const files = [
      ["bom.csv", Buffer.from(`\uFEFFID;E-Mail;First name\r\n${word}-0;"${word}0@example.com";Jürgen\r\n`)],
      ["wide.txt", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(`ID\temail\tFirst name\r\n${word}-1\t${word}1@example.com\tJürgen\r\n`, "utf16le")])],
      ["mac.csv", Buffer.from(`ID,email,First name\r${word}-2,${word}2@example.com,Jürgen\r`)],
    ];
    await visit("/console/import", {}, async (page) => {
      for (const [i, [name, buffer]] of files.entries()) {
        await page.setInputFiles("#file", { name, mimeType: "text/plain", buffer });
        await page.getByRole("button", { name: "Import 1 user" }).click();
        await page.getByRole("heading", { name: "Done" }).waitFor();
        assert.equal(await number(page, "Created"), "1", name);
        await page.getByRole("button", { name: "Another file" }).click();
        assert.equal((await call("GetUser", { name: `users/${word}-${i}` })).givenName, "Jürgen", name);
      }
    });
  });

  const useless = [
    ["people.csv", "name\nAda", "line 1 names no column `email`"],
    ["empty.csv", "", "holds no users"],
    ["head.csv", "email,display_name\r\n", "holds no users"],
    ["people.json", '[{"email": "ada@example.com"}]', "line 1 begins an array"],
    ["book.xlsx", Buffer.from("PK\x03\x04\0\0\xff", "latin1"), "not a text in UTF-8"],
    ["latin1.csv", Buffer.from("email,display_name\na@example.com,J\xfcrgen", "latin1"), "not a text in UTF-8"],
  ];
  it("of a file that holds no users says why", () => visit("/console/import", {}, async (page) => {
    for (const [name, content, why] of useless) {
      await page.setInputFiles("#file", { name, mimeType: "text/plain", buffer: Buffer.from(content) });
      await page.getByRole("alert").getByText(name).and(page.getByText(why)).waitFor();
    }
    await accessible(page, "a file that is no good");
  }));
});
