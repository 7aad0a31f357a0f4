// A person's answers: shown at once, saved one after the other, kept in the browser until the service
// has them. A save that fails is tried again; what the service refuses for good is said.
import { computed, signal } from "@preact/signals";
import { asApiError, ask, type ApiError } from "../../api/http";
import { me } from "../../session";
import type { Item, Review, Verdict } from "./types";

type Pending = [number: number, verdict: Verdict | null][];

const WAITS_S = [1, 2, 5, 10];
/** The job, the review or the item is not there any more, or is not ours: asking again is no use. */
const isFinal = (error: ApiError) =>
  error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);

export class Answers {
  readonly review;
  /** Not saved yet, oldest first. */
  readonly pending;
  readonly error = signal<ApiError | null>(null);
  readonly refused = signal<ApiError | null>(null);
  private readonly kept: string;
  private isSaving = false;
  private failures = 0;
  private isClosed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly job: string,
    review: Review,
  ) {
    this.kept = `raysched.review.${me.value?.id}.${job}.${review.begun_at}`;
    this.review = signal(review);
    this.pending = signal<Pending>(this.read());
    if (this.pending.value.length) void this.save();
  }

  /** All items with the answers as they are meant. */
  readonly items = computed<readonly Item[]>(() => {
    const meant = new Map(this.pending.value);
    return this.review.value.items.map((item) =>
      meant.has(item.number) ? { ...item, verdict: meant.get(item.number) ?? null } : item,
    );
  });

  readonly answered = computed(() => this.items.value.filter((item) => item.verdict).length);
  readonly yes = computed(() => this.items.value.filter((item) => item.verdict === "yes").length);

  answer(number: number, verdict: Verdict | null): void {
    const others = this.pending.value.filter(([each]) => each !== number);
    this.pending.value = [...others, [number, verdict]];
    this.keep();
    void this.save();
  }

  /** Try again now. */
  retry(): void {
    clearTimeout(this.timer);
    void this.save();
  }

  /** Stop trying; what is not saved stays in the browser. */
  close(): void {
    clearTimeout(this.timer);
    this.isClosed = true;
  }

  /** What is waiting belongs to a review that is being deleted. */
  forget(): void {
    this.close();
    this.pending.value = [];
    this.keep();
  }

  private async save(): Promise<void> {
    if (this.isSaving || this.refused.value) return;
    this.isSaving = true;
    try {
      for (;;) {
        const next = this.pending.value[0];
        if (!next) break;
        await this.send(next);
        this.failures = 0;
        this.error.value = null;
      }
    } catch (thrown) {
      this.failed(asApiError(thrown));
    } finally {
      this.isSaving = false;
    }
  }

  private async send(next: Pending[number]): Promise<void> {
    const [number, verdict] = next;
    const path = `/jobs/${this.job}/review/items/${number}`;
    const answer = await ask<Review>(path, { method: "PUT", json: { verdict } });
    this.review.value = answer;
    // Not by its number: it may have been answered otherwise meanwhile.
    this.pending.value = this.pending.value.filter((each) => each !== next);
    this.keep();
  }

  private failed(error: ApiError): void {
    this.error.value = error;
    if (isFinal(error)) {
      this.refused.value = error;
      return;
    }
    if (this.isClosed) return;
    const wait = WAITS_S[Math.min(this.failures, WAITS_S.length - 1)] ?? 10;
    this.failures += 1;
    this.timer = setTimeout(() => void this.save(), wait * 1000);
  }

  private read(): Pending {
    try {
      return JSON.parse(localStorage.getItem(this.kept) ?? "[]") as Pending;
    } catch {
      return [];
    }
  }

  private keep(): void {
    if (this.pending.value.length) {
      localStorage.setItem(this.kept, JSON.stringify(this.pending.value));
    } else {
      localStorage.removeItem(this.kept);
    }
  }
}
