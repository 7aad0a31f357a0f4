// Who is logged in.
import { computed, signal } from "@preact/signals";
import { ApiError, ask, csrf, onLoggedOut } from "./api/http";
import type { LoggedIn, Me } from "./api/types";

/** `undefined`: not known yet; `null`: nobody is logged in. */
export const me = signal<Me | null | undefined>(undefined);
export const isAdmin = computed(() => me.value?.role === "admin");
export const mayChange = computed(() => me.value != null && me.value.role !== "read-only");

/** Who has been logged in on this page. */
let before: string | null = null;

onLoggedOut.call = () => {
  me.value = null;
  csrf.value = null;
};

/** The mark that comes and goes with the session's own cookie, which scripts cannot see. */
const MARK = "raysched_logged_in=yes";

/** Ask who is logged in. Throws `ApiError` unless that is answered. */
export async function refreshMe(): Promise<void> {
  if (!document.cookie.split("; ").includes(MARK)) {
    me.value = null;
    return;
  }
  try {
    const found = await ask<Me>("/me");
    if (before !== null && before !== found.id) {
      location.reload(); // another user: nothing that this page remembers is theirs
      return;
    }
    before = found.id;
    csrf.value = found.csrf;
    me.value = found;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    me.value = null;
  }
}

export async function logIn(key: string): Promise<void> {
  const begun = await ask<LoggedIn>("/login", { method: "POST", json: { key: key.trim() } });
  csrf.value = begun.csrf;
  await refreshMe();
}

export async function logOut(): Promise<void> {
  await ask("/logout", { method: "POST" });
  // Whoever logs in next finds nothing of this user. The form to log in comes with the new page:
  // shown before, it would lose what is typed into it.
  location.reload();
}
