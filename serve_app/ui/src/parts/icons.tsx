// Line icons on a 20 px grid, drawn for this page.
import type { JSX } from "preact";

const PATHS = {
  slides: "M3 4h14v12H3zM3 12l4-4 4 4 2-2 4 4",
  workflow: "M4 4h4v4H4zM12 12h4v4h-4zM8 6h3a3 3 0 0 1 3 3v3",
  queue: "M3 5h9M3 10h13M3 15h6",
  view: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM14.5 14.5 18 18M7.5 10h5M10 7.5v5",
  results: "M4 16V9M8 16V4M12 16v-5M16 16V7",
  review: "M3 10l4 4L17 5",
  admin:
    "M10 3v2M10 15v2M3 10h2M15 10h2M5 5l1.5 1.5M13.5 13.5 15 15M5 15l1.5-1.5M13.5 6.5 15 5M10 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  users:
    "M7.5 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 17c0-3 2.5-5 5.5-5s5.5 2 5.5 5M13 3.5a3 3 0 0 1 0 5.5M14.5 12.3c2 .6 3.5 2.3 3.5 4.7",
  upload: "M10 13V3M6 7l4-4 4 4M3 13v4h14v-4",
  edit: "M4 13.5V16h2.5L15.5 7 13 4.5zM11.5 6 14 8.5",
  folder: "M3 5h5l2 2h7v9H3z",
  grid: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  key: "M7 9a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10.5 17 3.5M13.5 7l2.5 2.5",
  pause: "M7 5v10M13 5v10",
  play: "M6 4l10 6-10 6z",
  download: "M10 3v10M6 9l4 4 4-4M3 13v4h14v-4",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 11h7.6l.7-11M8.5 9v5M11.5 9v5",
  close: "M5 5l10 10M15 5L5 15",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  retry: "M16 10a6 6 0 1 1-2-4.5M16 3v3.5h-3.5",
  stop: "M5 5h10v10H5z",
  sun: "M10 6a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 1v2M10 17v2M1 10h2M17 10h2M3.6 3.6 5 5M15 15l1.4 1.4M3.6 16.4 5 15M15 5l1.4-1.4",
  moon: "M16 12.5A7 7 0 1 1 8 3.6a5.5 5.5 0 0 0 8 8.9z",
  system: "M3 4h14v9H3zM7 17h6M10 13v4",
  copy: "M7 7h9v10H7zM13 7V3H4v10h3",
  link: "M8 12l4-4M7 9 4.8 11.2a2.8 2.8 0 0 0 4 4L11 13M9 7l2.2-2.2a2.8 2.8 0 0 1 4 4L13 11",
  search: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM12.7 12.7 17 17",
  home: "M4 9l6-5 6 5v7H4z",
  rotate: "M4 10a6 6 0 1 0 2-4.5M4 3v3.5h3.5",
  layers: "M10 3l7 4-7 4-7-4zM3 11l7 4 7-4",
  split: "M3 4h14v12H3zM10 4v12",
  chevron: "M7 5l5 5-5 5",
  info: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM10 9v5M10 6.2v.2",
  warning: "M10 3l8 14H2zM10 8v4M10 14.4v.2",
  log: "M5 3h10v14H5zM8 7h4M8 10h4M8 13h2",
  drag: "M8 5v.1M8 10v.1M8 15v.1M12 5v.1M12 10v.1M12 15v.1",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4M7 8h6v4H7z",
  expand: "M3 8V3h5M12 3h5v5M17 12v5h-5M8 17H3v-5",
  camera: "M3 6h3l1.5-2h5L14 6h3v10H3zM10 8a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  keys: "M2 5h16v10H2zM5 8v.1M8 8v.1M11 8v.1M14 8v.1M6 12h8",
  panel: "M3 4h14v12H3zM12.5 4v12",
  user: "M10 10a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM4 17c0-3 2.7-5 6-5s6 2 6 5",
  more: "M4.5 10v.1M10 10v.1M15.5 10v.1",
  undo: "M7 4 3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H8",
  redo: "M13 4l3.5 3.5L13 11M16.5 7.5H8a4.5 4.5 0 0 0 0 9h4",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon of 20 px; decoration only, so whatever it stands in needs a name in words. */
export function Icon({ name, size = 20 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
