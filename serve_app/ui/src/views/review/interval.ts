// What a share among some answers says of the share among all.

const Z_95 = 1.959963984540054;

export interface Interval {
  share: number;
  low: number;
  high: number;
}

/** The 95 % score interval; null of none. Wilson, E. B., J. Am. Stat. Assoc. 22, 209 (1927). */
export function wilson(yes: number, answered: number): Interval | null {
  if (answered === 0) return null;
  const share = yes / answered;
  const zz = Z_95 ** 2;
  const centre = (share + zz / (2 * answered)) / (1 + zz / answered);
  const half =
    (Z_95 * Math.sqrt((share * (1 - share)) / answered + zz / (4 * answered ** 2))) /
    (1 + zz / answered);
  return { share, low: Math.max(centre - half, 0), high: Math.min(centre + half, 1) };
}
