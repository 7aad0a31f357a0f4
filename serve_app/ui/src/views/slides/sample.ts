// The sample slide, for whoever wants to look around first.
import { signal } from "@preact/signals";
import { tried } from "../../parts/dialog";
import { addSample, put } from "../../slides";

/** The first time it may have to be fetched. */
export const isTaking = signal(false);

export async function takeSample(): Promise<void> {
  isTaking.value = true;
  await tried(async () => put(await addSample()));
  isTaking.value = false;
}
