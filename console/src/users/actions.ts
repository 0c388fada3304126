// The changes of a user that need no form. The client sends each with a request
// ID and repeats it when the answer was lost: done twice, it is done once.
import type { User } from "@keelson/client";
import { users } from "../api/clients.js";
import { problemOf } from "../api/problem.js";
import { idOf, isolated } from "../lib/format.js";
import { note } from "../ui/announce.js";
import { showProblem } from "../ui/problem-dialog.js";
import { tellChanged } from "./dialogs.js";

const label = (u: User) => isolated(u.displayName || idOf(u.name));

type Undo = { label: string; run: () => void };

async function act(title: string, done: string, write: Promise<User>, undo?: (u: User) => Undo): Promise<void> {
  try {
    const user = await write;
    tellChanged(user);
    note(done, undo?.(user));
  } catch (cause) {
    showProblem(title, problemOf(cause));
  }
}

export function suspend(u: User): Promise<void> {
  const undo = (now: User) => ({ label: "Activate", run: () => void activate(now) });
  return act(`${label(u)} could not be suspended`, `${label(u)} is suspended.`, users.suspendUser({ name: u.name }), undo);
}

export function activate(u: User): Promise<void> {
  return act(`${label(u)} could not be activated`, `${label(u)} is active.`, users.activateUser({ name: u.name }));
}

export function undelete(u: User): Promise<void> {
  return act(`${label(u)} could not be brought back`, `${label(u)} is back.`, users.undeleteUser({ name: u.name }));
}

/** remove deletes, and offers to take it back; it throws, for the dialog to show. */
export async function remove(u: User, requestId: string): Promise<void> {
  const deleted = await users.deleteUser({ name: u.name, requestId });
  tellChanged(deleted);
  note(`${label(u)} is deleted.`, { label: "Undelete", run: () => void undelete(deleted) });
}
