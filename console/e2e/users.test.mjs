import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { base, call, closed, connection, dialog, eventually, field, filterBy, focus, fresh, pick, row, rows, visit, withBrowser } from "./setup.mjs";

withBrowser();

const names = (page) => rows(page).evaluateAll((all) => all.map((r) => r.dataset.name));
/** Waits until a page shows these users, and no others. */
const lists = (page, ids) => eventually(async () => assert.deepEqual(await names(page), ids.map((id) => `users/${id}`)));
/** Waits until the address says this, whatever token a page has. */
const says = (page, want) =>
  eventually(async () => {
    const query = await page.evaluate(() => Object.fromEntries(new URLSearchParams(location.search)));
    assert.deepEqual({ ...query, ...(query.page && { page: "a token" }) }, want);
  });

/** Creates users who share a word that finds them alone. */
async function team(n, init = {}) {
  const word = fresh("team").replaceAll("-", "");
  const ids = Array.from({ length: n }, (_, i) => `${word}-${String(i).padStart(3, "0")}`);
  await Promise.all(ids.map((id, i) => call("CreateUser", { userId: id, user: { email: `${id}@example.com`, displayName: `Member ${String(i).padStart(3, "0")} ${word}`, ...init } })));
  return { word, ids };
}

describe("the list of users", () => {
  it("is turned page by page, and back, forward and reload lead where one was", async () => {
    const { word, ids } = await team(60);
    await visit(filterBy({ filter: word, size: "25" }), {}, async (page) => {
      const [first, second, third] = [ids.slice(0, 25), ids.slice(25, 50), ids.slice(50)];
      const one = { filter: word, size: "25" };
      const later = { ...one, page: "a token" };
      await lists(page, first);
      await page.getByRole("button", { name: "Next" }).click();
      await lists(page, second);
      await says(page, later);
      await page.getByRole("button", { name: "Next" }).click();
      await lists(page, third);
      await page.getByRole("button", { name: "Next", disabled: true }).waitFor();

      await page.goBack();
      await lists(page, second);
      await page.reload();
      await lists(page, second);
      await page.goForward();
      await lists(page, third);
      await page.getByRole("button", { name: "Previous" }).click();
      await lists(page, second);
      await page.getByRole("button", { name: "First" }).click();
      await lists(page, first);
      await says(page, one);
    });
  });

  it("is sorted and filtered, and the URL says how", async () => {
    const { word, ids } = await team(4);
    await call("SuspendUser", { name: `users/${ids[1]}` });
    await call("DeleteUser", { name: `users/${ids[2]}` });
    const is = (page, want) => lists(page, want.map((i) => ids[i]));
    await visit("/console/users", {}, async (page) => {
      await page.getByRole("searchbox").fill(word);
      await is(page, [0, 1, 3]);
      await says(page, { filter: word });
      await page.getByRole("columnheader", { name: "Display name" }).getByRole("button").click();
      await page.getByRole("columnheader", { name: "Display name" }).getByRole("button").click();
      await is(page, [3, 1, 0]);
      await says(page, { filter: word, order: "display_name desc" });
      await page.locator('th[aria-sort="descending"]', { hasText: "Display name" }).waitFor();
      await page.getByLabel("Show deleted").check();
      await is(page, [3, 2, 1, 0]);
      await page.getByRole("button", { name: "Suspended", exact: true }).click();
      await is(page, [1]);
      await page.reload();
      await is(page, [1]);
      await says(page, { filter: word, state: "suspended", order: "display_name desc", deleted: "true" });
    });
  });

  it("says at the filter what is wrong with it, and takes it once it is mended", async () => {
    await visit("/console/users", {}, async (page) => {
      const box = page.getByRole("searchbox");
      await box.fill("state = broken (");
      await box.press("Enter");
      await page.locator("#filter-fault").waitFor();
      await page.locator('input[type="search"][aria-invalid="true"]').waitFor();
      await page.getByText("The filter cannot be read").waitFor();
      assert.equal(await rows(page).count(), 0, "users of another filter");
      await page.getByRole("search").locator("code").waitFor();
      await box.fill("state = SUSPENDED");
      await box.press("Enter");
      await page.locator("#filter-fault").waitFor({ state: "detached" });
    });
  });

  it("leaves alone what is typed while it is filtered", async () => {
    const { word } = await team(2);
    await visit("/console/users", {}, async (page) => {
      const box = page.getByRole("searchbox");
      await box.fill(`${word} `);
      await says(page, { filter: word });
      await eventually(async () => assert.equal(await rows(page).count(), 2));
      assert.equal(await box.inputValue(), `${word} `);
      await box.pressSequentially("001");
      await eventually(async () => assert.equal(await rows(page).count(), 1));
      await says(page, { filter: `${word} 001` });
      await page.goBack();
      await eventually(async () => assert.equal(await box.inputValue(), word));
    });
  });

  it("is turned while others change it, and shows everybody once", async () => {
    const { word, ids } = await team(110);
    let n = 0;
    let over = false;
    const others = (async () => {
      while (!over) await call("UpdateUser", { user: { name: `users/${ids[n++ % ids.length]}`, displayName: `Changed ${n} ${word}` }, updateMask: "displayName" });
    })();
    try {
      await visit(filterBy({ filter: word, size: "25" }), {}, async (page) => {
        const seen = [];
        for (let turn = 0; turn < 5; turn++) {
          if (turn) await page.getByRole("button", { name: "Next" }).click();
          await lists(page, ids.slice(25 * turn, 25 * turn + 25));
          if (turn === 2) await page.reload();
          await lists(page, ids.slice(25 * turn, 25 * turn + 25));
          seen.push(...(await names(page)));
        }
        assert.deepEqual(seen, ids.map((id) => `users/${id}`));
        await connection(page, "live");
        // What happens now is seen now.
        const { displayName } = await call("GetUser", { name: `users/${ids[100]}` });
        await eventually(async () => assert.notEqual(await row(page, ids[100]).getByRole("link").innerText(), displayName));
      });
    } finally {
      over = true;
      await others;
    }
  });

  it("that an address names of another filter is refused, with a way out", async () => {
    const { word, ids } = await team(26);
    const nobody = fresh("nobody");
    await visit(filterBy({ filter: word, size: "25" }), {}, async (page) => {
      await page.getByRole("button", { name: "Next" }).click();
      await lists(page, ids.slice(25));
      const token = await page.evaluate(() => new URLSearchParams(location.search).get("page"));
      await page.goto(base + filterBy({ filter: nobody, size: "25", page: process.env.KEELSONTEST_CONSOLE_FAKE ? "of another filter" : token }));
      await page.getByRole("alert").getByText("This page belongs to another list").waitFor();
      await page.getByRole("alert").locator("code").waitFor();
      await page.getByRole("button", { name: "To the first page" }).click();
      await says(page, { filter: nobody, size: "25" });
      await page.getByText("Nobody matches").waitFor();
    });
  });

  it("says when nobody matches, and how to get out", async () => {
    await visit(filterBy({ filter: fresh("nobody") }), {}, async (page) => {
      await page.getByText("Nobody matches").waitFor();
      await page.getByRole("button", { name: "Clear the filter" }).click();
      await rows(page).first().waitFor();
    });
  });
});

describe("a user", () => {
  it("is created, once the fields that are wrong are mended", async () => {
    const id = fresh("made");
    await visit(filterBy({ filter: id }), {}, async (page) => {
      await page.getByRole("button", { name: "New user" }).first().click();
      await field(page, "User ID").fill(`${id}-`);
      await field(page, "E-mail").fill("not an address");
      await page.getByRole("button", { name: "Create user" }).click();
      await page.locator('dialog input[name="userId"][aria-invalid="true"]').waitFor();
      await focus(page, () => document.activeElement.getAttribute("aria-invalid"), /^true$/);
      await field(page, "User ID").fill(id);
      await page.getByRole("button", { name: "Create user" }).click();
      await page.locator('dialog input[name="userId"][aria-invalid="true"]').waitFor({ state: "detached" });
      await page.locator("dialog .field[data-fault]", { hasText: "E-mail" }).getByText("address").waitFor();
      await page.locator('dialog input[name="email"][aria-invalid="true"]').waitFor();
      await field(page, "E-mail").fill(`${id}@example.com`);
      await field(page, "Display name").fill("Grace");
      await page.getByRole("button", { name: "Add label" }).click();
      await page.getByLabel("Key of label 1").fill("team");
      await page.getByLabel("Value of label team").fill("navy");
      await page.getByRole("button", { name: "Create user" }).click();
      await row(page, id).waitFor();
      const made = await call("GetUser", { name: `users/${id}` });
      assert.deepEqual([made.email, made.displayName, made.labels], [`${id}@example.com`, "Grace", { team: "navy" }]);
    });
  });

  it("whose e-mail or ID is taken is refused at the field", async () => {
    const { ids } = await team(1);
    await visit("/console/users", {}, async (page) => {
      await page.getByRole("button", { name: "New user" }).first().click();
      await field(page, "E-mail").fill(`${ids[0]}@EXAMPLE.com`);
      await page.getByRole("button", { name: "Create user" }).click();
      await page.getByText("Another user has this e-mail").waitFor();
      await field(page, "User ID").fill(ids[0]);
      await field(page, "E-mail").fill(`${fresh("other")}@example.com`);
      await page.getByRole("button", { name: "Create user" }).click();
      await page.getByText("Another user has this ID").waitFor();
    });
  });

  it("that is edited wrongly is refused at the field, with a correlation ID", async () => {
    const { word, ids } = await team(2);
    await visit(filterBy({ filter: word }), {}, async (page) => {
      await pick(page, ids[0], "Edit");
      const form = await dialog(page);
      await field(page, "E-mail").fill("nobody");
      await page.getByRole("button", { name: "Save" }).click();
      await form.locator(".field[data-fault]", { hasText: "E-mail" }).getByText("address").waitFor();
      const id = await form.locator(".dialog-foot code").innerText();
      assert.match(id, /\S{8,}/);
      await field(page, "E-mail").fill(`${ids[1]}@example.com`);
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByText("Another user has this e-mail").waitFor();
      await eventually(async () => assert.notEqual(await form.locator(".dialog-foot code").innerText(), id));
      await field(page, "E-mail").fill(`mended-${ids[0]}@example.com`);
      await page.getByRole("button", { name: "Save" }).click();
      await closed(page);
    });
  });

  it("who was deleted by somebody else meanwhile is gone, not an error", async () => {
    const { word, ids: [id, other] } = await team(2);
    await visit(filterBy({ filter: word }), {}, async (page) => {
      await connection(page, "live");
      await pick(page, id, "Delete…");
      const question = await dialog(page);
      await call("DeleteUser", { name: `users/${id}` });
      await question.getByRole("button", { name: "Delete", exact: true }).click();
      await closed(page);
      await page.locator(".note").getByText("deleted by somebody else already").waitFor();

      await pick(page, other, "Edit");
      await field(page, "Display name").fill("Mine");
      await call("DeleteUser", { name: `users/${other}` });
      await page.locator("dialog").getByText("Somebody else has deleted this user").waitFor();
      await call("UndeleteUser", { name: `users/${id}` }); // and of others it is told no less
      await row(page, id).getByText("Deleted just now").waitFor({ state: "detached" });
      await page.locator("dialog").getByText("Somebody else has deleted this user").waitFor();
      await page.getByRole("button", { name: "Save" }).click();
      await page.locator("dialog").getByText("USER_DELETED").waitFor();
      await page.locator("dialog .problem code").waitFor();
    });
  });

  it("is edited in a dialog that does not follow to other pages", () => visit("/console/platform", {}, async (page) => {
    await page.getByRole("link", { name: "Users" }).click();
    await page.getByRole("button", { name: "New user" }).first().click();
    await dialog(page);
    await page.goBack();
    await page.getByRole("heading", { name: "Platform" }).waitFor();
    await page.goForward();
    await rows(page).first().waitFor();
    assert.equal(await page.locator("dialog").count(), 0);
  }));

  it("is edited, with its labels", async () => {
    const { word, ids } = await team(1, { labels: { team: "infra", site: "oslo" } });
    await visit(filterBy({ filter: word }), {}, async (page) => {
      await pick(page, ids[0], "Edit");
      await field(page, "Given name").fill("Grace");
      await page.getByLabel("Value of label site").fill("bergen");
      await page.getByRole("button", { name: "Remove label team" }).click();
      await page.getByRole("button", { name: "Save" }).click();
      await closed(page);
      const user = await call("GetUser", { name: `users/${ids[0]}` });
      assert.deepEqual([user.givenName, user.labels], ["Grace", { site: "bergen" }]);
    });
  });

  it("is suspended, activated, deleted after a question, and brought back", async () => {
    const { word, ids: [id] } = await team(1);
    await visit(filterBy({ filter: word, deleted: "true" }), {}, async (page) => {
      await pick(page, id, "Suspend");
      await row(page, id).getByText("Suspended").waitFor();
      await pick(page, id, "Activate");
      await row(page, id).getByText("Active", { exact: true }).waitFor();
      await pick(page, id, "Delete…");
      await dialog(page);
      await page.keyboard.press("Escape");
      await closed(page);
      await focus(page, () => document.activeElement.getAttribute("aria-label"), /Actions for/);
      await pick(page, id, "Delete…");
      await (await dialog(page)).getByRole("button", { name: "Delete", exact: true }).click();
      await row(page, id).getByText("Deleted", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Undelete" }).click();
      await row(page, id).getByText("Active", { exact: true }).waitFor();
      assert.equal((await call("GetUser", { name: `users/${id}` })).deleteTime, undefined);
    });
  });

  it("has a page with its history, which goes on by itself", async () => {
    const { ids: [id] } = await team(1);
    await visit(`/console/users/${id}`, {}, async (page) => {
      const history = page.getByRole("region", { name: "History" });
      await history.getByText("Created").waitFor();
      await call("UpdateUser", { user: { name: `users/${id}`, displayName: "Somebody else" }, updateMask: "displayName" });
      await page.getByRole("heading", { name: "Somebody else" }).waitFor();
      await history.getByText("display name").waitFor();
      await page.getByRole("button", { name: "Suspend" }).click();
      await history.getByText("Suspended").waitFor();
    });
  });

  it("who does not exist is an error with a correlation ID that can be copied", async () => {
    await visit("/console/users/nobody-at-all", {}, async (page) => {
      const problem = page.getByRole("alert");
      await problem.getByText("USER_NOT_FOUND").waitFor();
      const id = await problem.locator("code").innerText();
      assert.match(id, /\S{8,}/);
      await page.getByRole("button", { name: "Copy the correlation ID" }).click();
      await eventually(async () => assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id));
    });
  });
});

describe("a user whom somebody else changed meanwhile", () => {
  async function conflict(page, id) {
    await pick(page, id, "Edit");
    await field(page, "Display name").fill("Mine");
    await field(page, "Family name").fill("Mine");
    await call("UpdateUser", { user: { name: `users/${id}`, displayName: "Theirs", givenName: "Theirs" }, updateMask: "displayName,givenName" });
    await page.locator("dialog").getByText("Somebody else has changed this user").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.locator("dialog table.conflict").waitFor();
  }
  const settled = async (id) => {
    const { displayName, givenName = "", familyName = "" } = await call("GetUser", { name: `users/${id}` });
    return [displayName, givenName, familyName];
  };

  for (const [button, want] of [["Take theirs", ["Theirs", "Theirs", ""]], ["Keep mine", ["Mine", "", "Mine"]], ["Save as chosen", ["Theirs", "Theirs", "Mine"]]]) {
    it(`is settled by “${button}”`, async () => {
      const { word, ids: [id] } = await team(1);
      await visit(filterBy({ filter: word }), {}, async (page) => {
        await connection(page, "live");
        await conflict(page, id);
        const both = page.locator("tr[data-by=both]");
        await eventually(async () => assert.match(await both.innerText(), /Display name[\s\S]*Theirs[\s\S]*Mine/));
        if (button === "Save as chosen") await both.getByRole("radio", { name: /theirs/ }).check();
        await page.getByRole("button", { name: button }).click();
        await closed(page);
        assert.deepEqual(await settled(id), want);
      });
    });
  }
});

describe("rows", () => {
  it("change as somebody else changes them, and stay where they are", async () => {
    const { word, ids } = await team(3);
    await visit(filterBy({ filter: word, order: "display_name" }), {}, async (page) => {
      await connection(page, "live");
      await lists(page, ids);
      await call("UpdateUser", { user: { name: `users/${ids[0]}`, displayName: `Zoe ${word}` }, updateMask: "displayName" });
      await row(page, ids[0]).getByText(`Zoe ${word}`).waitFor();
      await row(page, ids[0]).getByText("Belongs elsewhere now").waitFor();
      await call("DeleteUser", { name: `users/${ids[1]}` });
      await row(page, ids[1]).getByText("Deleted just now").waitFor();
      await call("CreateUser", { userId: `${word}-new`, user: { email: `${word}-new@example.com`, displayName: `New ${word}` } });
      await page.getByText("1 more user would be on this page").waitFor();
      await lists(page, ids);
      await page.getByRole("button", { name: "Refresh" }).click();
      await lists(page, [ids[2], `${word}-new`, ids[0]]);
    });
  });
});
