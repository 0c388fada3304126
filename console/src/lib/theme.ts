// Light, dark, or as the system has it. theme.js applies the choice on load.
import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const KEY = "keelson.theme";

export const theme = signal<Theme>(stored());

function stored(): Theme {
  try {
    const t = localStorage.getItem(KEY);
    return t === "light" || t === "dark" ? t : "auto";
  } catch {
    return "auto";
  }
}

export function setTheme(t: Theme): void {
  theme.value = t;
  if (t === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = t;
  try {
    if (t === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, t);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}
