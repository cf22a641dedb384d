/** Icons on a grid of 16, drawn with one stroke so that they sit with the type. */
import { html } from "../ui.js";

const PATHS = {
  create: "M2.5 5.5h11v8h-11zM2.5 5.5l10.6-3M5 5.4l1.4-1.9M9 4.4l1.3-1.9",
  gallery: "M2.5 2.5h4.6v4.6H2.5zM8.9 2.5h4.6v4.6H8.9zM2.5 8.9h4.6v4.6H2.5zM8.9 8.9h4.6v4.6H8.9z",
  edit: "M4.2 11.8l-1.7 1.7M4 10.2L11 3.3l1.9 1.9L6 12zM9.4 4.9l1.9 1.9",
  world: "M8 2.2l5.4 3v5.6L8 13.8l-5.4-3V5.2zM2.8 5.3L8 8.2l5.2-2.9M8 8.2v5.4",
  storyboard: "M2.5 3.5h3v9h-3zM6.5 3.5h3v9h-3zM10.5 3.5h3v9h-3z",
  models: "M8 2.5L13.5 5 8 7.5 2.5 5zM2.5 8L8 10.5 13.5 8M2.5 11L8 13.5 13.5 11",
  settings: "M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6M10 3v3M6 10v3",
  verify: "M8 2.2l4.8 1.8v3.8c0 3-2 5-4.8 6-2.800-1-4.800-3-4.800-6V4zM5.800 7.900l1.700 1.700 2.800-3.100",
  play: "M5 3.2l7.500 4.800L5 12.800z",
  pause: "M5.200 3.200v9.600M10.800 3.200v9.600",
  next: "M4 3.500l5.500 4.500L4 12.500zM12 3.500v9",
  back: "M12 3.500L6.500 8l5.500 4.500zM4 3.500v9",
  up: "M8 12.500v-9M4 7.200L8 3.300l4 3.900",
  down: "M8 3.500v9M4 8.800l4 3.900 4-3.900",
  left: "M10 3.500L5.500 8l4.500 4.500",
  right: "M6 3.500L10.500 8 6 12.500",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  retry: "M12.900 7A5 5 0 1 0 12.600 10M13.200 3.300V7H9.500",
  trash: "M3 4.500h10M6.500 4.500v-2h3v2M4.300 4.500l.6 9h6.200l.6-9",
  download: "M8 2.800v7.400M4.800 7.300L8 10.500l3.200-3.200M3 13.200h10",
  compare: "M2.500 3.500h4.500v9H2.500zM9 3.500h4.500v9H9z",
  search: "M7 2.800a4.200 4.200 0 1 1 0 8.400 4.200 4.200 0 0 1 0-8.400M10.200 10.200l3.300 3.300",
  dice: "M3 3h10v10H3zM5.800 5.800h.1M10.200 10.200h.1M8 8h.1",
  picture: "M2.500 3h11v10h-11zM2.500 11l3.500-3.500 3 3 1.800-1.700 2.700 2.700M10.500 5.800h.1",
  branch: "M4.500 2.500v11M4.500 9c4.500 0 7-1 7-5.500M10 4.800l1.500-1.600L13 4.800",
  sun: "M8 5.200a2.800 2.800 0 1 1 0 5.600 2.800 2.800 0 0 1 0-5.600M8 1.800v1.400M8 12.800v1.400M1.800 8h1.400M12.800 8h1.400M3.600 3.600l1 1M11.400 11.400l1 1M12.400 3.600l-1 1M4.600 11.400l-1 1",
  moon: "M12.800 9.600A5.300 5.300 0 0 1 6.400 3.200a5.300 5.300 0 1 0 6.400 6.400z",
  auto: "M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11",
  key: "M5.500 7a2.800 2.800 0 1 1 0 2M8.200 8h5.300v2.200M11.300 8v1.800",
  copy: "M5.500 5.500h7.500v7.500H5.500zM3 10.500v-7.500h7.500",
  film: "M2.500 3.500h11v9h-11zM5 3.500v9M11 3.500v9M2.500 6.500H5M2.500 9.500H5M11 6.500h2.500M11 9.500h2.500",
  loop: "M3 7.500c0-2.500 1.800-3.700 4-3.700h5M10 1.800l2.200 2L10 5.800M13 8.500c0 2.500-1.800 3.700-4 3.700H4M6 14.200l-2.200-2L6 10.200",
  menu: "M3 5h10M3 11h10",
};

/** @param {{name: string, size?: number}} props */
export function Icon({ name, size = 16 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name] ?? ""} />
  </svg>`;
}

/** The mark: a test card in the eight colors that Kinema films in, and a thing in the picture. */
export function Mark({ size = 32 }) {
  return html`<img class="mark" src="icon.svg" alt="" width=${size} height=${size} />`;
}
