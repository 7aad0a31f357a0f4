// Every request to the service goes through here: the session's CSRF token, errors as problems with a
// remedy, and patience when the service says "too many" or the scheduler is being restarted.
import { signal } from "@preact/signals";
import { leadsThere } from "./path";

export const API = "/api/v1";
const PATIENCE = 4;
const RETRY_MOST_S = 10;

/** What went wrong: one line what, one line what to do. `status` 0: the service was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly facts: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** Whether the last request reached the service. */
export const online = signal(navigator.onLine);
let offlineSince = 0;
addEventListener("offline", () => {
  online.value = false;
  offlineSince = performance.now();
});
addEventListener("online", () => (online.value = true));

/** Sent with every change that a session makes; set by `session.ts`. */
export const csrf = signal<string | null>(null);

/** Called when the service says that nobody is logged in. */
export const onLoggedOut = { call: () => {} };

export interface Ask {
  method?: string;
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  query?: Record<string, string | number | boolean | null | undefined> | undefined;
}

/** The path of the API with a query; what is null or undefined is left out. Throws `ApiError`. */
export function url(path: string, query: Ask["query"] = {}): string {
  if (!leadsThere(path)) {
    const remedy = "Check the address of this page, or start from the navigation above.";
    throw new ApiError(404, "not_found", "There is nothing by that name.", remedy);
  }
  const given = Object.entries(query).filter(([, value]) => value != null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `${API}${path}${text && `?${text}`}`;
}

/** Ask for JSON. Throws `ApiError`; an answer without a body is `undefined`. */
export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const answer = await send(path, options);
  if (answer.status === 204) return undefined as T;
  return (await answer.json()) as T;
}

/** The same, as the answer itself. */
export async function send(path: string, options: Ask = {}): Promise<Response> {
  const { method = "GET", json, headers = {}, signal: stop, query } = options;
  const init: RequestInit = { method, headers: { ...headers }, credentials: "same-origin" };
  const given = init.headers as Record<string, string>;
  if (json !== undefined) {
    given["Content-Type"] = "application/json";
    init.body = JSON.stringify(json);
  }
  if (method !== "GET" && csrf.value) given["X-CSRF-Token"] = csrf.value;
  if (stop) init.signal = stop;
  for (let attempt = 1; ; attempt++) {
    const answer = await reached(url(path, query), init);
    if (answer.ok) return answer;
    const wait = Number(answer.headers.get("Retry-After") ?? "1");
    const isBusy = answer.status === 429 || (answer.status === 503 && method === "GET");
    if (isBusy && attempt < PATIENCE && wait <= RETRY_MOST_S) {
      await new Promise((done) => setTimeout(done, Math.max(wait, 0.2) * 1000));
      continue;
    }
    throw await problem(answer);
  }
}

async function reached(where: string, init: RequestInit): Promise<Response> {
  const begun = performance.now();
  try {
    const answer = await fetch(where, init);
    if (begun > offlineSince) online.value = true; // what was under way says nothing of now
    return answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    online.value = false;
    throw new ApiError(
      0,
      "unreachable",
      "The service cannot be reached.",
      "Check the network; this page goes on by itself when it is back.",
    );
  }
}

async function problem(answer: Response): Promise<ApiError> {
  let facts: Record<string, unknown> = {};
  try {
    facts = (await answer.json()) as Record<string, unknown>;
  } catch {
    // not JSON: a proxy in between has answered
  }
  const text = (name: string, other: string) =>
    typeof facts[name] === "string" ? (facts[name] as string) : other;
  const error = new ApiError(
    answer.status,
    text("code", "unknown"),
    text("detail", `The service answered ${answer.status}.`),
    text("remedy", "Try again; if it lasts, tell whoever runs this service."),
    facts,
  );
  if (answer.status === 401) onLoggedOut.call();
  return error;
}

/** Any thrown value as what to show. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ApiError(-1, "page", `This page has failed: ${text}`, "Reload it; your work is safe.");
}
