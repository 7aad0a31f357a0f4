// Light or dark: as the system says, unless chosen here.
import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const KEPT = "raysched.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function kept(): Theme {
  const found = localStorage.getItem(KEPT);
  return found === "light" || found === "dark" ? found : "system";
}

export const theme = signal<Theme>(kept());
export const isDark = signal(false);

function apply(): void {
  isDark.value = theme.value === "dark" || (theme.value === "system" && system.matches);
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
}

export function setTheme(wanted: Theme): void {
  theme.value = wanted;
  if (wanted === "system") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, wanted);
  apply();
}

system.addEventListener("change", apply);
apply();
