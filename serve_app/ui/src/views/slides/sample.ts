// The sample slide, for whoever wants to look around first.
import { signal } from "@preact/signals";
import { ApiError, ask, asApiError } from "../../api/http";
import type { Slide } from "../../api/types";
import { sayError } from "../../parts/dialog";
import { put } from "../../slides";

/** Until the service says that it gives none. */
export const hasSample = signal(true);

/** The first time it may have to be fetched. */
export const isTaking = signal(false);

export async function takeSample(): Promise<void> {
  isTaking.value = true;
  try {
    put(await ask<Slide>("/slides/sample", { method: "POST" }));
  } catch (error) {
    if (error instanceof ApiError && [404, 405].includes(error.status)) hasSample.value = false;
    else sayError(asApiError(error));
  } finally {
    isTaking.value = false;
  }
}
