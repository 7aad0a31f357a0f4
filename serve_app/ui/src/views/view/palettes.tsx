// Colours for numbers, as the service draws them: the control points are those of matplotlib (CC0).
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Palette } from "./look";

const POINTS: Record<Palette | "density", string> = {
  viridis:
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
  magma:
    "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
  coolwarm:
    "3b4cc0 4e68d8 6282ea 779af7 8db0fe a3c2fe b9d0f9 ccd9ed dddcdc ecd3c5 f5c4ac f7b093 f4987a eb7d62 dd5f4b ca3b37 b40426",
  density:
    "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
};

export const PALETTE_NAMES: readonly (readonly [Palette, string])[] = [
  ["viridis", "Viridis"],
  ["magma", "Magma"],
  ["coolwarm", "Cool–warm"],
];

/** A palette as a strip, from low to high. */
export function Strip({ palette }: { palette: Palette | "density" }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const colours = POINTS[palette].split(" ");
    const shade = context.createLinearGradient(0, 0, context.canvas.width, 0);
    colours.forEach((each, at) => shade.addColorStop(at / (colours.length - 1), `#${each}`));
    context.fillStyle = shade;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  }, [palette]);
  return <canvas ref={canvas} class="viewer-strip" width="256" height="1" aria-hidden="true" />;
}
