// Light, dark, or as the system has it: a switch that is remembered.

import { createStore } from "./store.ts";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEPT = "hotset.theme";

export const theme = createStore<Theme>("system");

/** Takes the remembered theme, and follows the switch. */
export function applyTheme(): void {
  const kept = read();
  const show = (): void => {
    const now = theme.get();
    if (now === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
  };
  theme.set(THEMES.find((one) => one === kept) ?? "system");
  show();
  theme.follow(() => {
    show();
    write(theme.get());
  });
}

// A browser that keeps nothing throws.
function read(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function write(value: string): void {
  try {
    localStorage.setItem(KEPT, value);
  } catch {}
}
