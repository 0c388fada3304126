import { useEffect, useRef, useState } from "preact/hooks";
import { Code, type User, newUuid } from "@keelson/client";
import { users } from "../api/clients.js";
import { type Problem, problemOf } from "../api/problem.js";
import { idOf, isolated } from "../lib/format.js";
import { type Draft, changedPaths, draftOf } from "../lib/merge.js";
import { announce, note } from "../ui/announce.js";
import { Dialog } from "../ui/dialog.js";
import { Conflict } from "./conflict.js";
import { tellChanged } from "./dialogs.js";
import { type Faults, type Form, check, draftOfForm, faultsOf, formOf } from "./form.js";
import { UserForm } from "./user-form.js";

interface Props {
  /** The user to edit as it was when this was opened; undefined: a new one. */
  base: User | undefined;
  close: () => void;
}

/** UserDialog creates or edits a user, and settles it when somebody else was faster. */
export function UserDialog({ base: opened, close }: Props) {
  const [base, setBase] = useState(opened);
  const [form, setForm] = useState<Form>(() => formOf(draftOf(opened)));
  const [theirs, setTheirs] = useState<User | undefined>();
  const save = useSave();
  const stored = (user: User) => {
    tellChanged(user, !opened);
    note(`${isolated(user.displayName || idOf(user.name))} is ${opened ? "saved" : "created"}.`);
    close();
  };
  const send = async (draft: Draft, on: User | undefined) => {
    const outcome = await save.run(draft, form.userId.trim(), on);
    if (outcome.kind === "stored") stored(outcome.user);
    if (outcome.kind === "unchanged") close();
    if (outcome.kind === "conflict") {
      // What was theirs the last time is what both began with now.
      if (theirs) setBase(theirs);
      setTheirs(outcome.theirs);
      announce("Somebody else changed this user. Both versions are shown.");
    }
  };
  const dirty = JSON.stringify(form) !== JSON.stringify(formOf(draftOf(opened)));
  const mayClose = () => !dirty || confirm("Discard what you have changed?");
  const title = theirs ? "Somebody else changed this user" : opened ? `Edit ${isolated(opened.displayName || idOf(opened.name))}` : "New user";
  return (
    <Dialog title={title} close={close} mayClose={mayClose} size={theirs ? "large" : "medium"}>
      {theirs && base ? (
        <Conflict
          base={base}
          theirs={theirs}
          mine={draftOfForm(form)}
          busy={save.busy}
          problem={save.problem}
          take={() => {
            tellChanged(theirs);
            note("Their version is kept; yours is discarded.");
            close();
          }}
          save={(draft) => void send(draft, theirs)}
          back={(draft) => {
            setForm(formOf(draft));
            setBase(theirs);
            setTheirs(undefined);
          }}
        />
      ) : (
        <UserForm
          form={form}
          isNew={!opened}
          base={base}
          faults={save.faults}
          problem={save.problem}
          correlationId={save.correlationId}
          busy={save.busy}
          change={setForm}
          cancel={() => mayClose() && close()}
          submit={() => {
            const faults = check(form);
            if (Object.keys(faults).length) save.refuse(faults);
            else void send(draftOfForm(form), base);
          }}
        />
      )}
    </Dialog>
  );
}

type Outcome = { kind: "stored"; user: User } | { kind: "unchanged" } | { kind: "conflict"; theirs: User } | { kind: "refused" };

function useSave() {
  const [busy, setBusy] = useState(false);
  const [faults, setFaults] = useState<Faults>({});
  const [problem, setProblem] = useState<Problem | undefined>();
  const [correlationId, setCorrelationId] = useState("");
  const last = useRef({ content: "", requestId: "" });
  const mounted = useRef(true);
  useEffect(() => () => { mounted.current = false; }, []);

  // The same content sent again is the same request; other content is another.
  const requestIdFor = (content: string) => {
    if (last.current.content !== content) last.current = { content, requestId: newUuid() };
    return last.current.requestId;
  };
  const refuse = (f: Faults, p?: Problem, id = "") => {
    setFaults(f);
    setProblem(p);
    setCorrelationId(id);
  };
  const run = async (draft: Draft, userId: string, on: User | undefined): Promise<Outcome> => {
    refuse({});
    const paths = on ? changedPaths(draftOf(on), draft) : [];
    if (on && paths.length === 0) return { kind: "unchanged" };
    setBusy(true);
    const requestId = requestIdFor(JSON.stringify([draft, userId, on?.etag]));
    try {
      const user = on
        ? await users.updateUser({ user: { ...draft, name: on.name, etag: on.etag }, updateMask: { paths }, requestId })
        : await users.createUser({ user: draft, userId, requestId });
      return { kind: "stored", user };
    } catch (cause) {
      return await explain(problemOf(cause), on);
    } finally {
      if (mounted.current) setBusy(false);
    }
  };
  const explain = async (p: Problem, on: User | undefined): Promise<Outcome> => {
    if (on && p.code === Code.Aborted && p.reason === "ETAG_MISMATCH") {
      try {
        return { kind: "conflict", theirs: await users.getUser({ name: on.name }) };
      } catch (cause) {
        p = problemOf(cause);
      }
    }
    const { faults: f, rest } = faultsOf(p);
    refuse(f, rest ? p : undefined, p.correlationId);
    return { kind: "refused" };
  };
  return { busy, faults, problem, correlationId, run, refuse };
}
