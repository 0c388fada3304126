import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.js";

export type Tone = "good" | "warn" | "bad" | "info" | "plain";

/** Badge says a state in a word; the icon and the word carry it, the colour only helps. */
export function Badge({ tone, icon, children, title }: { tone: Tone; icon?: IconName; children: ComponentChildren; title?: string }) {
  return (
    <span class="badge" data-tone={tone} title={title}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}
