import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { type User, timestampMs } from "@keelson/client";
import type { Problem } from "../api/problem.js";
import { Field, FieldFault } from "../ui/field.js";
import { Icon } from "../ui/icon.js";
import { Correlation, ProblemView } from "../ui/problem.js";
import type { Faults, Form, LabelRow } from "./form.js";
import { lastSeen } from "./seen.js";

interface Props {
  form: Form;
  isNew: boolean;
  base: User | undefined;
  faults: Faults;
  problem: Problem | undefined;
  /** Of the call that found the faults; "" when none was made. */
  correlationId: string;
  busy: boolean;
  change: (f: Form) => void;
  submit: () => void;
  cancel: () => void;
}

export function UserForm({ form, isNew, base, faults, problem, correlationId, busy, change, submit, cancel }: Props) {
  const element = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => element.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus(), [faults]);
  const text = (key: "userId" | "email" | "displayName" | "givenName" | "familyName") => ({
    name: key,
    value: form[key],
    fault: faults[key],
    input: (value: string) => change({ ...form, [key]: value }),
  });
  return (
    <form
      ref={element}
      class="dialog-form"
      noValidate
      onSubmit={(e) => {
        e.preventDefault();
        if (!busy) submit();
      }}
    >
      <div class="dialog-body">
        {base && <ChangedMeanwhile base={base} />}
        {problem && <ProblemView problem={problem} title={problem.isNetworkFailure ? "No answer came: send it again" : "The user was not saved"} />}
        {isNew && <Field {...text("userId")} label="User ID" mono autofocus hint="4 to 63 of a–z, 0–9 and hyphen. Never changes. Empty: one is made." />}
        <Field {...text("email")} label="E-mail" type="email" required autofocus={!isNew} />
        <Field {...text("displayName")} label="Display name" />
        <div class="field-pair">
          <Field {...text("givenName")} label="Given name" />
          <Field {...text("familyName")} label="Family name" />
        </div>
        <LabelRows rows={form.labels} fault={faults.labels} change={(labels) => change({ ...form, labels })} />
      </div>
      <div class="dialog-foot">
        {!problem && correlationId && <p class="dialog-note"><Correlation id={correlationId} /></p>}
        <button type="button" class="button" onClick={cancel}>Cancel</button>
        <button type="submit" class="button primary" aria-disabled={busy}>{busy ? "Saving…" : isNew ? "Create user" : "Save"}</button>
      </div>
    </form>
  );
}

function ChangedMeanwhile({ base }: { base: User }) {
  const [now, setNow] = useState<User | undefined>();
  // Each one seen: others may change right after this user.
  useEffect(() => {
    setNow(undefined);
    return effect(() => {
      const seen = lastSeen.value;
      if (seen?.name === base.name && seen.etag !== base.etag && timeOf(seen) >= timeOf(base)) setNow(seen);
    });
  }, [base]);
  const text = now?.deleteTime
    ? "Somebody else has deleted this user meanwhile. It has to be undeleted before it can be saved."
    : "Somebody else has changed this user meanwhile. When you save, both versions are shown.";
  return <div role="status">{now && <p class="banner warn"><Icon name="alert" /> <span>{text}</span></p>}</div>;
}

const timeOf = (u: User) => (u.updateTime ? timestampMs(u.updateTime) : 0);

function LabelRows({ rows, fault, change }: { rows: LabelRow[]; fault: string | undefined; change: (rows: LabelRow[]) => void }) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const set = (i: number, to: Partial<LabelRow>) => change(rows.with(i, { ...rows[i]!, ...to }));
  const shown = useRef(rows.length);
  // Before the browser paints: what is typed next is the key.
  useLayoutEffect(() => {
    if (rows.length > shown.current) list.current?.querySelector<HTMLElement>(".label-row:last-of-type input")?.focus();
    shown.current = rows.length;
  }, [rows.length]);
  const add = () => change([...rows, { id: Math.max(-1, ...rows.map((r) => r.id)) + 1, key: "", value: "" }]);
  return (
    <fieldset class="field" data-fault={fault ? "" : undefined} aria-describedby={fault ? `${id}-fault` : undefined}>
      <legend>Labels</legend>
      <div class="label-rows" ref={list}>
        {rows.map((row, i) => (
          <div class="label-row" key={row.id}>
            <input class="mono" aria-label={`Key of label ${i + 1}`} placeholder="key" value={row.key} aria-invalid={fault ? true : undefined} spellcheck={false} autocomplete="off" onInput={(e) => set(i, { key: e.currentTarget.value })} />
            <input aria-label={`Value of label ${row.key || i + 1}`} placeholder="value" value={row.value} dir="auto" spellcheck={false} autocomplete="off" onInput={(e) => set(i, { value: e.currentTarget.value })} />
            <button type="button" class="button icon-only quiet" aria-label={`Remove label ${row.key || i + 1}`} onClick={() => change(rows.filter((_, j) => j !== i))}><Icon name="close" /></button>
          </div>
        ))}
      </div>
      <FieldFault id={`${id}-fault`} fault={fault} />
      <button type="button" class="button small" onClick={add}><Icon name="plus" /> Add label</button>
    </fieldset>
  );
}
