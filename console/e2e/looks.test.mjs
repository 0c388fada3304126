// Every page in every state, as it looks and as it is read aloud: pictures for
// people to look at, axe-core for what a program can judge.
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { LOOKS, base, call, closed, connection, dialog, eventually, field, filterBy, focus, fresh, look, pick, row, rows, visit, withBrowser } from "./setup.mjs";

withBrowser();

const word = fresh("look").replaceAll("-", "");
const id = `${word}-0`;

before(async () => {
  const people = [["Ada Lovelace", { team: "infra", site: "oslo" }], ["Grace Hopper", { team: "navy" }], ["Edsger W. Dijkstra", {}], ["A very long name that somebody has given themselves to see what becomes of it", { team: "research", site: "eindhoven", building: "main" }], ["Barbara Liskov", { team: "research" }], ["", {}]];
  for (const [i, [displayName, labels]] of people.entries()) {
    await call("CreateUser", { userId: `${word}-${i}`, user: { email: `${displayName.split(" ")[0].toLowerCase() || "nameless"}.${word}@example.com`.replace(/^/, i === 3 ? "x".repeat(60) : ""), displayName, labels } });
  }
  await call("SuspendUser", { name: `users/${word}-1` });
  await call("DeleteUser", { name: `users/${word}-4` });
  await call("UpdateUser", { user: { name: `users/${id}`, givenName: "Ada" }, updateMask: "givenName" });
});

for (const [name, options] of Object.entries(LOOKS)) {
  const check = (page, what) => look(page, `${what}-${name}`, { fullPage: !what.includes("dialog") });
  describe(`in ${name}`, () => {
    it("the list of users", () => visit(filterBy({ filter: word, deleted: "true" }), options, async (page) => {
      await row(page, id).waitFor();
      await connection(page, "live");
      await check(page, "users");
      await row(page, id).getByRole("button", { name: /Actions for/ }).click();
      await page.getByRole("menu").waitFor();
      await look(page, `users-menu-${name}`);
    }));

    it("a list without anybody", () => visit(filterBy({ filter: `${word}-nobody` }), options, async (page) => {
      await page.getByText("Nobody matches").waitFor();
      await check(page, "users-empty");
    }));

    it("a list that is being read", () => visit("/console/platform", options, async (page) => {
      await page.route("**/user.v1.UserService/ListUsers", () => {}); // never answered
      await page.getByRole("link", { name: "Users" }).click();
      await page.getByRole("status").getByText("Loading users").waitFor();
      await check(page, "users-loading");
    }));

    it("the form of a user, with faults", () => visit("/console/users", options, async (page) => {
      await page.getByRole("button", { name: "New user" }).first().click();
      await field(page, "User ID").fill("A!");
      await field(page, "E-mail").fill("nobody");
      await page.getByRole("button", { name: "Add label" }).click();
      await page.getByRole("button", { name: "Create user" }).click();
      await page.locator(".field-error").first().waitFor();
      await check(page, "dialog-create");
    }));

    it("two versions of a user", () => visit(filterBy({ filter: word }), options, async (page) => {
      await pick(page, id, "Edit");
      await field(page, "Display name").fill("Ada King, Countess of Lovelace");
      await page.getByLabel("Value of label site").fill("london");
      await call("UpdateUser", { user: { name: `users/${id}`, displayName: `Ada ${name}`, familyName: name }, updateMask: "displayName,familyName" });
      await page.getByRole("button", { name: "Save" }).click();
      await page.locator("table.conflict").waitFor();
      await check(page, "dialog-conflict");
    }));

    it("the question before a user is deleted", () => visit(filterBy({ filter: word }), options, async (page) => {
      await pick(page, id, "Delete…");
      await dialog(page);
      await check(page, "dialog-delete");
    }));

    it("a user with a history", () => visit(`/console/users/${id}`, options, async (page) => {
      await page.locator(".timeline li").nth(1).waitFor();
      await connection(page, "live");
      await check(page, "user");
    }));

    it("a user who is not there", () => visit("/console/users/nobody-at-all", options, async (page) => {
      await page.getByRole("alert").waitFor();
      await check(page, "user-missing");
    }));

    it("the platform", () => visit("/console/platform", options, async (page) => {
      for (let i = 0; i < 20; i++) await call("ListUsers", { pageSize: 1 });
      await page.locator(".chart canvas").first().waitFor();
      await connection(page, "live");
      await check(page, "platform");
    }));

    it("a page that is not there", () => visit("/console/nowhere/at/all", options, async (page) => {
      await page.getByText("There is no such page").waitFor();
      await check(page, "missing");
    }));
  });
}

describe("with a keyboard alone", () => {
  it("one skips to the content, walks through a menu and comes back from a dialog", () => visit(filterBy({ filter: word }), {}, async (page) => {
    await row(page, id).waitFor();
    await page.keyboard.press("Tab");
    await focus(page, () => document.activeElement.textContent, /^Skip to content$/);
    await page.keyboard.press("Enter");
    await focus(page, () => document.activeElement.id, /^main$/);
    const button = row(page, id).getByRole("button", { name: /Actions for/ });
    await button.focus();
    await page.keyboard.press("ArrowDown");
    await page.getByRole("menu").waitFor();
    const item = (name) => focus(page, () => document.activeElement.textContent.trim(), name);
    await item(/^Details and history$/);
    await page.keyboard.press("End");
    await item(/^Delete…$/);
    await page.keyboard.press("ArrowDown");
    await item(/^Details and history$/);
    await page.keyboard.press("ArrowDown");
    await item(/^Edit$/);
    await page.keyboard.press("Enter");
    await dialog(page);
    await focus(page, () => document.activeElement.name, /^email$/);
    await page.keyboard.press("Escape");
    await closed(page);
    await focus(page, () => document.activeElement.getAttribute("aria-label"), /Actions for/);
  }));

  it("what is pressed at once goes to what has opened", () => visit(filterBy({ filter: word }), {}, async (page) => {
    const button = row(page, id).getByRole("button", { name: /Actions for/ });
    await button.waitFor();
    // In one task, as fast as nobody can: no frame is painted in between.
    const where = await button.evaluate(async (opener) => {
      const told = () => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent.trim();
      const rendered = async () => {
        for (let i = 0; i < 50; i++) await undefined;
      };
      opener.click();
      await rendered();
      const first = told();
      [...document.querySelectorAll('[role="menuitem"]')].find((i) => i.textContent.includes("Delete")).click();
      await rendered();
      return [first, told(), document.querySelector("dialog").open];
    });
    assert.deepEqual(where, ["Details and history", "Cancel", true]);
  }));

  it("a new page begins at its heading", () => visit("/console/users", {}, async (page) => {
    await rows(page).first().waitFor();
    await page.getByRole("link", { name: "Platform" }).click();
    await page.waitForFunction(() => document.activeElement?.tagName === "H1" && document.activeElement.textContent === "Platform");
  }));
});

describe("the theme", () => {
  it("is chosen against the system's, and kept", () => visit("/console/users", { colorScheme: "light" }, async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("button", { name: "Dark", exact: true }).click();
    await eventually(async () => assert.notEqual(await ground(), light));
    await page.reload();
    await page.getByRole("button", { name: "Dark", exact: true, pressed: true }).waitFor();
    assert.notEqual(await ground(), light);
  }));
});

describe("the gateway", () => {
  it("leads to the console", async () => {
    const answer = await fetch(`${base}/`, { redirect: "manual" });
    assert.ok([301, 302, 303, 307, 308].includes(answer.status), String(answer.status));
    assert.equal(new URL(answer.headers.get("location"), base).pathname, "/console/");
  });
});
