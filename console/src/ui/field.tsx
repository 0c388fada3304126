import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon.js";

interface Props {
  label: string;
  value: string;
  input: (value: string) => void;
  name: string;
  fault?: string | undefined;
  hint?: ComponentChildren;
  required?: boolean;
  type?: "text" | "email";
  mono?: boolean;
  autofocus?: boolean;
}

/** Field is a text with its label, its hint and what is wrong with it. */
export function Field({ label, value, input, name, fault, hint, required, type = "text", mono, autofocus }: Props) {
  const id = useId();
  const described = [fault && `${id}-fault`, hint && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div class="field" data-fault={fault ? "" : undefined}>
      <label for={id}>{label}{required && <span class="required"> required</span>}</label>
      <input
        id={id}
        name={name}
        type={type === "email" ? "text" : type}
        inputMode={type === "email" ? "email" : undefined}
        class={mono ? "mono" : undefined}
        value={value}
        aria-required={required || undefined}
        aria-invalid={fault ? true : undefined}
        aria-describedby={described || undefined}
        dir="auto"
        data-autofocus={autofocus ? "" : undefined}
        autocomplete="off"
        spellcheck={false}
        onInput={(e) => input(e.currentTarget.value)}
      />
      <FieldFault id={`${id}-fault`} fault={fault} />
      {hint && <p id={`${id}-hint`} class="field-hint">{hint}</p>}
    </div>
  );
}

export function FieldFault({ id, fault }: { id: string; fault: string | undefined }) {
  if (!fault) return null;
  return <p id={id} class="field-error"><Icon name="alert" /> {fault.charAt(0).toUpperCase() + fault.slice(1)}</p>;
}
