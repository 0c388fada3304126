import type { ComponentChildren } from "preact";
import { navigate } from "../lib/route.js";

type LinkProps = { href: string; children: ComponentChildren; class?: string; "aria-current"?: "page" | undefined; "aria-label"?: string; title?: string };

/** A goes to an address of the console without loading the page anew. */
export function A(props: LinkProps) {
  const go = (e: MouseEvent) => {
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    navigate(props.href);
  };
  return <a {...props} onClick={go} />;
}
