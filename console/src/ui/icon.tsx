// Icons are drawn on a grid of 16 and take the colour of the text beside them.
const PATHS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.600-1.400L14 14",
  plus: "M8 3v10M3 8h10",
  upload: "M8 10.500V2.500M4.800 5.500 8 2.300l3.200 3.200M2.500 10v2a1.500 1.500 0 0 0 1.500 1.500h8a1.500 1.500 0 0 0 1.500-1.500v-2",
  download: "M8 2.500v8M4.800 7.500 8 10.700l3.200-3.200M2.500 12.500v1h11v-1",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  up: "M8 13V3.500M4 7l4-4 4 4",
  down: "M8 3v9.500M4 9l4 4 4-4",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  close: "m4 4 8 8M12 4l-8 8",
  check: "m3 8.500 3.200 3.200L13 5",
  alert: "M8 2 1.500 13.500h13L8 2Zm0 4.500v3M8 11.700v.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Zm0-6.500v3.500M8 5v.01",
  copy: "M6 5.500h6.500v8H6zM9.500 5.500v-3H3.500v8H6",
  edit: "m10.500 3 2.500 2.500L6 12.500 3 13l.500-3 7-7Z",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M5 3.200v9.600L12.500 8 5 3.200Z",
  trash: "M3 4.500h10M6.500 4.500v-2h3v2M4.500 4.500l.600 9h5.800l.600-9",
  undo: "M5.500 3 2.500 6l3 3M2.500 6h7a3.500 3.500 0 0 1 0 7H6",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.800V8l2.200 1.500",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1.500V3M8 13v1.500M1.500 8H3M13 8h1.500M3.400 3.400l1 1M11.600 11.600l1 1M3.400 12.600l1-1M11.600 4.400l1-1",
  moon: "M13.500 9.500A6 6 0 0 1 6.500 2.500a5.800 5.800 0 1 0 7 7Z",
  auto: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 2v12M8 4.500h4.200M8 8h6M8 11.500h4.200",
  refresh: "M13 8a5 5 0 1 1-1.500-3.500L13.500 6.500M13.500 2.800v3.700H9.800",
  link: "M6.500 3.500h-3v9h9v-3M9 2.500h4.500V7M13.500 2.500 7.500 8.500",
  users: "M6 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM1.500 13.500c0-2.500 2-4 4.500-4s4.500 1.500 4.500 4M10.500 2.800a2.500 2.500 0 0 1 0 4.500M12 9.800c1.600.500 2.500 1.800 2.500 3.700",
  pulse: "M1.500 8.500h3l2-6 3 11 2-5h3",
  dot: "M8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  stop: "M4 4h8v8H4z",
} as const;

export type IconName = keyof typeof PATHS;

/** Icon is decoration: what it says is said in words too. */
export function Icon({ name, class: cls = "" }: { name: IconName; class?: string }) {
  return (
    <svg class={`icon ${cls}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
