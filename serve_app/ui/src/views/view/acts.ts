// What keys and buttons do.
import { copyText } from "../../parts/copy";
import { say, tried } from "../../parts/dialog";
import type { Looking } from "./address";
import type { Finding } from "./cell-card";
import { zoomAt } from "./geometry";
import type { Action } from "./keys";
import { turned, type Style } from "./look";
import { savePicture } from "./picture";
import type { Stage } from "./stage";

export type Two<T> = readonly [T, T];

const STYLES: readonly Style[] = ["outline", "fill", "density"];
const CLOSER = 1.5;

export interface Actors {
  /** Of one job or two side by side. */
  stages: Two<Stage | null>;
  looking: Looking;
  cells: Two<Finding>;
  name: string;
  toggle: (part: "panel" | "navigator" | "help") => void;
}

/** Do it. */
export function act(actors: Actors, action: Action): void {
  const { stages, looking, cells, name, toggle } = actors;
  const [stage] = stages;
  const acts: Partial<Record<Action, () => unknown>> = {
    inspect: () => stage && inspect(stage, cells, looking),
    close: () => closeCells(cells, looking),
    panel: () => toggle("panel"),
    navigator: () => toggle("navigator"),
    help: () => toggle("help"),
    full: () => void tried(fullScreen),
    snapshot: () => {
      const shown = stages.filter((each) => each !== null);
      const found = cells.map((each) => each.cell);
      void tried(() => savePicture(shown, found, name));
    },
    link: () => void copyText(looking.address(), "The link to exactly this view"),
  };
  if (acts[action]) acts[action]();
  else if (!show(looking, action) && stage) steer(stage, action);
}

function steer(stage: Stage, action: Action): void {
  const camera = stage.target();
  const { mpp } = stage.slide;
  const preset = (times: number, share: number) => stage.zoomTo(mpp ? zoomAt(times, mpp) : share);
  const turn = (by: number) => camera && stage.rotateTo(turned(camera.rotation + by));
  const acts: Partial<Record<Action, () => unknown>> = {
    in: () => stage.zoomBy(CLOSER),
    out: () => stage.zoomBy(1 / CLOSER),
    left: () => stage.panBy(-1, 0),
    right: () => stage.panBy(1, 0),
    up: () => stage.panBy(0, -1),
    down: () => stage.panBy(0, 1),
    fit: () => stage.fit(),
    x5: () => preset(5, 0.25),
    x10: () => preset(10, 0.5),
    x20: () => preset(20, 1),
    x40: () => preset(40, 2),
    turn: () => turn(90),
    turnBack: () => turn(-90),
  };
  acts[action]?.();
}

/** Whether it was about what is shown. */
function show(looking: Looking, action: Action): boolean {
  const { cells, tissue, chunks, style } = looking.look.value;
  if (action === "cells") looking.set({ cells: !cells });
  else if (action === "tissue") looking.set({ tissue: !tissue });
  else if (action === "chunks") looking.set({ chunks: !chunks });
  else if (action === "style") {
    looking.set({ style: STYLES[(STYLES.indexOf(style) + 1) % STYLES.length] ?? "outline" });
  } else return false;
  return true;
}

export function closeCells(cells: Two<Finding>, looking: Looking): void {
  looking.set({ cell: null });
  for (const each of cells) each.close();
}

async function inspect(stage: Stage, cells: Two<Finding>, looking: Looking): Promise<void> {
  const camera = stage.camera.value;
  if (!camera) return;
  const found = await Promise.all(cells.map((each) => each.at(camera)));
  if (found.some(Boolean)) return;
  looking.set({ cell: null });
  say("There is no cell at the crosshair", "info");
}

async function fullScreen(): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.querySelector(".viewer")?.requestFullscreen();
}
