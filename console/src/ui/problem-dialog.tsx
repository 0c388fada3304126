// A problem of something that was done beside any form.
import { signal } from "@preact/signals";
import type { Problem } from "../api/problem.js";
import { Dialog } from "./dialog.js";
import { ProblemView } from "./problem.js";

const shown = signal<{ title: string; problem: Problem } | undefined>(undefined);

export function showProblem(title: string, problem: Problem): void {
  shown.value = { title, problem };
}

export function ProblemDialog() {
  if (!shown.value) return null;
  const close = () => (shown.value = undefined);
  return (
    <Dialog title={shown.value.title} close={close} size="small">
      <div class="dialog-body" role="group" aria-label="What went wrong" tabIndex={0}><ProblemView problem={shown.value.problem} /></div>
      <div class="dialog-foot"><button type="button" class="button primary" data-autofocus onClick={close}>Close</button></div>
    </Dialog>
  );
}
