import { useMemo, useState } from "preact/hooks";
import { Code, type User, newUuid } from "@keelson/client";
import { type Problem, problemOf } from "../api/problem.js";
import { idOf, isolated } from "../lib/format.js";
import { note } from "../ui/announce.js";
import { Dialog } from "../ui/dialog.js";
import { ProblemView } from "../ui/problem.js";
import { remove } from "./actions.js";

export function ConfirmDelete({ user, close }: { user: User; close: () => void }) {
  const requestId = useMemo(newUuid, []);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | undefined>();
  const confirm = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      await remove(user, requestId);
      close();
    } catch (cause) {
      const p = problemOf(cause);
      if (goneAlready(p)) {
        note(`${isolated(user.displayName || idOf(user.name))} was deleted by somebody else already.`);
        close();
        return;
      }
      setProblem(p);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Delete user" close={close} size="small">
      <div class="dialog-body" role="group" aria-label="What is deleted" tabIndex={0}>
        <p>Delete <strong><bdi>{user.displayName || idOf(user.name)}</bdi></strong> <span class="mono muted">{user.name}</span>?</p>
        <p class="muted">The user can be undeleted until it is purged. Its e-mail is free for others at once.</p>
        {problem && <ProblemView problem={problem} title="The user was not deleted" />}
      </div>
      <div class="dialog-foot">
        <button type="button" class="button" data-autofocus onClick={close}>Cancel</button>
        <button type="button" class="button danger" disabled={busy} onClick={() => void confirm()}>{busy ? "Deleting…" : "Delete"}</button>
      </div>
    </Dialog>
  );
}

/** Whether what was asked for is so, by somebody else's doing. */
function goneAlready(p: Problem): boolean {
  return (p.code === Code.FailedPrecondition && p.reason === "USER_DELETED") || (p.code === Code.NotFound && p.reason === "USER_NOT_FOUND");
}
