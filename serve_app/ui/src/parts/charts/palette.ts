// Colours of densities: lightness changes evenly, from the theme's ground to its ink, through the
// colours of the stain. https://www.w3.org/TR/css-color-4/#ok-lab

const LIGHT = { from: [0.94, 0.03, 340], to: [0.27, 0.13, 285], most: 0.19 } as const;
const DARK = { from: [0.25, 0.05, 290], to: [0.96, 0.06, 350], most: 0.17 } as const;

/** A colour for a share from 0 to 1. */
export function density(share: number, isDark: boolean): string {
  const { from, to, most } = isDark ? DARK : LIGHT;
  const between = (index: 0 | 1 | 2) => from[index] + (to[index] - from[index]) * share;
  const chroma = between(1) + (most - Math.max(from[1], to[1])) * 4 * share * (1 - share);
  return `oklch(${between(0).toFixed(4)} ${chroma.toFixed(4)} ${between(2).toFixed(1)})`;
}
