// Light or dark: as the system says, unless chosen here.
import { signal } from "@preact/signals";
import { keep, kept, show, system, type Theme } from "./theme-kept";

export type { Theme };
export const theme = signal<Theme>(kept());
export const isDark = signal(show(theme.value));

export function setTheme(wanted: Theme): void {
  theme.value = wanted;
  keep(wanted);
  isDark.value = show(wanted);
}

system.addEventListener("change", () => (isDark.value = show(theme.value)));
