import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Problem, codeName, sentence } from "../api/problem.js";
import { traceLink } from "../platform/links.js";
import { announce } from "./announce.js";
import { Icon } from "./icon.js";

/** ProblemView shows what went wrong, and the ID by which it is found again. */
export function ProblemView({ problem, title, text, children }: { problem: Problem; title?: string; text?: string | undefined; children?: ComponentChildren }) {
  return (
    <div class="problem" role="alert">
      <Icon name="alert" />
      <div class="problem-body">
        {title && <strong class="problem-title">{title}</strong>}
        <p>{text ?? sentence(problem)}</p>
        <p class="problem-meta">
          <span class="mono">{codeName(problem.code)}{problem.reason && ` · ${problem.reason}`}</span>
          {problem.correlationId && <Correlation id={problem.correlationId} />}
        </p>
        {children && <div class="problem-actions">{children}</div>}
      </div>
    </div>
  );
}

/** Correlation shows a correlation ID that can be copied, and leads to its trace. */
export function Correlation({ id }: { id: string }) {
  const [copied, setCopied] = useState(false);
  const trace = traceLink(id);
  const copy = async () => {
    const done = await copyText(id);
    setCopied(done);
    announce(done ? "Correlation ID copied." : "The correlation ID could not be copied.");
  };
  return (
    <span class="correlation">
      <span class="correlation-label">Correlation ID</span>
      <span class="correlation-id">
        <code class="mono">{id}</code>
        <button type="button" class="button icon-only quiet small" aria-label="Copy the correlation ID" onClick={copy}>
          <Icon name={copied ? "check" : "copy"} />
        </button>
      </span>
      {trace && <a href={trace} target="_blank" rel="noreferrer">Trace <Icon name="link" /><span class="sr-only"> (opens a new tab)</span></a>}
    </span>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
