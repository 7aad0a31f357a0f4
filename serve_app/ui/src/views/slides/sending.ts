// Uploads by tus: several files, two at a time, each can be paused, cut off and gone on with. They go on
// while another view is shown. What the browser has begun is noted in localStorage, so that choosing the
// same file again goes on where it was.
import { computed, effect, signal } from "@preact/signals";
import { DetailedError, Upload as Tus, type UploadOptions } from "tus-js-client";
import { API, ApiError, ask, asApiError, csrf } from "../../api/http";
import type { Upload, UploadList } from "../../api/types";
import { say, sayError } from "../../parts/dialog";
import { view } from "../../router";
import { me, refreshMe } from "../../session";
import { refresh } from "../../slides";

const AT_ONCE = 2;
const PIECE_BYTES = 8_000_000;
const AGAIN_MS = [500, 1000, 2000, 4000, ...Array<number>(720).fill(5000)];
const RATE_OVER_MS = 400;
const RATE_WEIGHT = 0.3;

export type SendingState = "waiting" | "sending" | "lost" | "paused" | "refused" | "arrived";

/** One file on its way. `upload`: its id at the service, once it has one; `rate` in bytes/s. */
export interface Sending {
  number: number;
  name: string;
  size: number;
  sent: number;
  state: SendingState;
  rate: number | null;
  upload: string | null;
  error: ApiError | null;
}

export const sendings = signal<readonly Sending[]>([]);
/** Unfinished uploads as the service knows them; whose file this page may not have. */
const known = signal<readonly Upload[]>([]);
export const left = computed(() => {
  const mine = new Set(sendings.value.map((each) => each.upload));
  return known.value.filter((each) => !mine.has(each.id));
});
const carriers = new Map<number, Tus>();
let made = 0;

const find = (number: number) => sendings.value.find((each) => each.number === number);

function change(number: number, to: Partial<Sending>): void {
  sendings.value = sendings.value.map((each) =>
    each.number === number ? { ...each, ...to } : each,
  );
}

function drop(number: number): void {
  carriers.delete(number);
  sendings.value = sendings.value.filter((each) => each.number !== number);
}

export async function listLeft(): Promise<void> {
  known.value = (await ask<UploadList>("/uploads")).uploads as readonly Upload[];
}

/** Which file it is, to find it again after the page was left; of this user alone. */
const markOf = (file: File) =>
  ["raysched", me.value?.id, file.name, file.size, file.lastModified].join("|");

const idOf = (url: string | null) => url?.split("/").at(-1) ?? null;

/** Take files in; `on`: the unfinished upload that the one file goes on with. */
export async function send(files: readonly File[], on?: Upload): Promise<void> {
  for (const file of files) {
    const isSame = (each: Sending) =>
      each.name === file.name && each.size === file.size && each.state !== "refused";
    if (sendings.value.some(isSame)) {
      say(`${file.name} is on its way already.`, "info");
      continue;
    }
    const number = ++made;
    const carrier = new Tus(file, options(number, file, on));
    const before = (await carrier.findPreviousUploads()).find((each) => each.uploadUrl);
    if (before && !on) carrier.resumeFromPreviousUpload(before);
    carriers.set(number, carrier);
    const upload = on?.id ?? idOf(before?.uploadUrl ?? null);
    const sent = known.value.find((each) => each.id === upload)?.offset ?? 0;
    sendings.value = [
      ...sendings.value,
      {
        number,
        name: file.name,
        size: file.size,
        sent,
        state: "waiting",
        rate: null,
        upload,
        error: null,
      },
    ];
  }
  pump();
}

/** Go on with an unfinished upload by its file. Throws `ApiError` for another file. */
export async function goOn(upload: Upload, file: File): Promise<void> {
  const other = (why: string) =>
    new ApiError(
      -1,
      "other_file",
      `${file.name} is not the file that was begun with: ${why}.`,
      `Choose ${upload.name} as it was, or discard what has arrived and upload it anew.`,
    );
  if (file.name !== upload.name) throw other("it has another name");
  if (file.size !== upload.size_bytes) throw other("it has another size");
  const marks = Object.entries(localStorage).filter(
    ([key, value]) => key.startsWith("tus::") && String(value).includes(`/${upload.id}"`),
  );
  if (marks.some(([key]) => !key.includes(markOf(file)))) throw other("it was changed since");
  await send([file], upload);
}

function options(number: number, file: File, on?: Upload): UploadOptions {
  const meter = new Meter();
  return {
    endpoint: `${API}/uploads`,
    ...(on ? { uploadUrl: `${API}/uploads/${on.id}` } : {}),
    chunkSize: PIECE_BYTES,
    metadata: { filename: file.name },
    retryDelays: AGAIN_MS,
    removeFingerprintOnSuccess: true,
    fingerprint: (given) => Promise.resolve(markOf(given)),
    onBeforeRequest: (request) => {
      if (csrf.value) request.setHeader("X-CSRF-Token", csrf.value);
    },
    onAfterResponse: (_, answer) => {
      // While the service is started anew, what stands before it answers 404 to everything: that is
      // no word of the service's, and no reason to begin from the first byte.
      const isOurs = answer.getHeader("X-Request-Id");
      if (answer.getStatus() >= 400 && !isOurs) throw new Error("The service is not there.");
    },
    onUploadUrlAvailable: () => change(number, { upload: idOf(carriers.get(number)?.url ?? null) }),
    onProgress: (sent) => {
      const isOn = ["sending", "lost"].includes(find(number)?.state ?? "");
      if (isOn) change(number, { sent, state: "sending", rate: meter.rate(sent) });
    },
    onShouldRetry: (error) => {
      const status = "originalResponse" in error ? (error.originalResponse?.getStatus() ?? 0) : 0;
      const mayPass = status === 0 || status >= 500 || [409, 423, 429].includes(status);
      if (mayPass && find(number)?.state === "sending") {
        change(number, { state: "lost", rate: null });
      }
      return mayPass;
    },
    onError: (error) => {
      change(number, { state: "refused", rate: null, error: told(error) });
      void forget(number);
      pump();
    },
    onSuccess: () => void arrived(number),
  };
}

/** How fast it goes, in bytes/s, smoothed. */
class Meter {
  private at = performance.now();
  private had: number | null = null;
  private smooth: number | null = null;

  rate(sent: number): number | null {
    const now = performance.now();
    if (this.had === null || sent < this.had) {
      [this.had, this.at] = [sent, now];
    } else if (now - this.at >= RATE_OVER_MS) {
      const fresh = ((sent - this.had) / (now - this.at)) * 1000;
      const { smooth } = this;
      this.smooth = smooth === null ? fresh : smooth + (fresh - smooth) * RATE_WEIGHT;
      [this.had, this.at] = [sent, now];
    }
    return this.smooth;
  }
}

function told(error: Error): ApiError {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  try {
    const facts = JSON.parse(answer?.getBody() ?? "") as Record<string, string>;
    if (facts.detail && facts.remedy) {
      return new ApiError(answer?.getStatus() ?? 0, facts.code ?? "", facts.detail, facts.remedy);
    }
  } catch {
    // no problem of ours: said below in our words
  }
  return new ApiError(
    answer?.getStatus() ?? 0,
    "cut_off",
    "The upload was cut off.",
    "Check the network and try again: what has arrived is kept.",
  );
}

/** A refused upload leaves no mark, or the same file would be gone on with for ever. */
async function forget(number: number): Promise<void> {
  const carrier = carriers.get(number);
  const storage = carrier?.options.urlStorage;
  if (!carrier || !storage || !(carrier.file instanceof File)) return;
  for (const each of await storage.findUploadsByFingerprint(markOf(carrier.file))) {
    await storage.removeUpload(each.urlStorageKey);
  }
}

async function arrived(number: number): Promise<void> {
  change(number, { state: "arrived", rate: null });
  pump();
  await refresh();
  const one = find(number);
  drop(number);
  if (one && view.value !== "slides") say(`${one.name} has arrived.`); // there it is seen
  await Promise.all([refreshMe(), listLeft()]).catch((error: unknown) =>
    sayError(asApiError(error)),
  );
}

function pump(): void {
  const isOn = (each: Sending) => each.state === "sending" || each.state === "lost";
  const free = AT_ONCE - sendings.value.filter(isOn).length;
  for (const each of sendings.value.filter(({ state }) => state === "waiting").slice(0, free)) {
    change(each.number, { state: "sending" });
    carriers.get(each.number)?.start();
  }
}

export function pause(number: number): void {
  void carriers.get(number)?.abort();
  change(number, { state: "paused", rate: null });
  pump();
}

/** After a pause; or once more after a refusal. */
export function resume(number: number): void {
  change(number, { state: "waiting", error: null });
  pump();
}

/** Stop and give up what has arrived. */
export async function cancel(number: number): Promise<void> {
  const [one, carrier] = [find(number), carriers.get(number)];
  await carrier?.abort();
  drop(number);
  pump();
  if (carrier?.url && one?.state !== "refused") await carrier.abort(true);
  await Promise.all([listLeft(), refreshMe()]);
}

export async function discard(upload: Upload): Promise<void> {
  const headers = { "Tus-Resumable": "1.0.0" };
  await ask(`/uploads/${upload.id}`, { method: "DELETE", headers });
  await Promise.all([listLeft(), refreshMe()]);
}

addEventListener("online", () => {
  for (const each of sendings.value.filter(({ state }) => state === "lost")) {
    const carrier = carriers.get(each.number);
    void carrier?.abort().then(() => carrier.start()); // rather than at the end of its wait
  }
});

const user = computed(() => me.value?.id);
effect(() => {
  user.value; // whoever logs in next goes on with nothing of the one before
  for (const carrier of carriers.values()) void carrier.abort();
  carriers.clear();
  sendings.value = [];
  known.value = [];
});
