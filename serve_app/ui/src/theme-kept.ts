// What is known of the theme before anything else is: without signals, since it runs before the first
// paint and everything waits for it.
export type Theme = "system" | "light" | "dark";
const KEPT = "raysched.theme";
export const system = matchMedia("(prefers-color-scheme: dark)");

export function kept(): Theme {
  const found = localStorage.getItem(KEPT);
  return found === "light" || found === "dark" ? found : "system";
}

export function keep(wanted: Theme): void {
  if (wanted === "system") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, wanted);
}

/** Show a theme; whether it is the dark one. */
export function show(theme: Theme): boolean {
  const isDark = theme === "dark" || (theme === "system" && system.matches);
  document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
  return isDark;
}
