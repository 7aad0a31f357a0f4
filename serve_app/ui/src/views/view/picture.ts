// What one sees as a PNG: slide, overlays, the cell that is looked at, the scale bar.
import type { Cell } from "./shapes";
import { scaleBar, type Camera, type Size } from "./geometry";
import type { Stage } from "./stage";

const BAR_PX = 140;

/** Save what the stages show, side by side. */
export async function savePicture(stages: Stage[], cells: (Cell | null)[], name: string) {
  const parts = stages.map((stage, at) => drawnStage(stage, cells[at] ?? null));
  const canvas = document.createElement("canvas");
  canvas.width = parts.reduce((sum, part) => sum + part.width, 0);
  canvas.height = Math.max(...parts.map((part) => part.height));
  const context = canvas.getContext("2d");
  let x = 0;
  for (const part of parts) {
    context?.drawImage(part, x, 0);
    x += part.width;
  }
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("the picture could not be made");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replace(/\.[^.]+$/, "")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function drawnStage(stage: Stage, cell: Cell | null): HTMLCanvasElement {
  const from = stage.canvas();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [from.width, from.height];
  const context = canvas.getContext("2d");
  const camera = stage.camera.value;
  const size = stage.size.value;
  if (!context || !camera) return canvas;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(from, 0, 0);
  const density = from.width / size.width;
  context.scale(density, density);
  if (cell) drawCell(context, cell, camera, size);
  drawBar(context, scaleBar(camera.zoom, stage.slide.mpp, BAR_PX), size);
  return canvas;
}

function drawCell(context: CanvasRenderingContext2D, cell: Cell, camera: Camera, size: Size) {
  context.save();
  context.translate(size.width / 2, size.height / 2);
  context.rotate((camera.rotation * Math.PI) / 180);
  context.scale(camera.zoom, camera.zoom);
  context.translate(-camera.x, -camera.y);
  context.beginPath();
  for (const [x, y] of cell.outline) context.lineTo(x, y);
  context.closePath();
  for (const [colour, width] of [
    ["#1e1a2e", 5],
    ["#ffffff", 2.5],
  ] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width / camera.zoom;
    context.stroke();
  }
  context.restore();
}

function drawBar(context: CanvasRenderingContext2D, bar: { px: number; text: string }, size: Size) {
  const [x, y] = [16, size.height - 16];
  context.font = "600 13px Inter, system-ui, sans-serif";
  context.fillStyle = "rgb(255 255 255 / 88%)";
  context.fillRect(x - 8, y - 30, Math.max(bar.px, context.measureText(bar.text).width) + 16, 40);
  context.fillStyle = "#1e1a2e";
  context.fillRect(x, y - 2, bar.px, 3);
  context.fillText(bar.text, x, y - 9);
}
