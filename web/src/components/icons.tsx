/** Drawn on 16 by 16, in the colour of the text. They only accompany words, or a button has a label. */

const PATHS = {
  overview: "M2.5 13.5v-5M6.2 13.5v-11M9.8 13.5v-7M13.5 13.5v-9",
  live: "M1.5 8h3l2-5 3 10 2-5h3",
  requests: "M2.5 4h11M2.5 8h11M2.5 12h7",
  routing: "M3.5 3v3.5a3 3 0 0 0 3 3H12M9.5 6.5l3 3-3 3M3.5 6v7",
  providers: "M4.5 6.5a3 3 0 1 1 3.6 2.9v4.1M8.1 11.5h2.4M6 6.5h.01",
  keys: "M10.5 2.5a3 3 0 1 1-2.6 4.5L3 12v1.5h2V12h1.5v-1.5L8 9",
  usage: "M8 2v12M11 4.6C10.4 3.7 9.3 3.3 8 3.3c-1.700 0-3 .9-3 2.200 0 3.200 6.200 1.600 6.200 4.900 0 1.400-1.400 2.300-3.200 2.300-1.500 0-2.700-.5-3.300-1.500",
  config: "M2.500 4.500h6M12 4.500h1.500M2.500 11.500H4M7.500 11.500h6M10.200 2.800v3.400M5.800 9.800v3.400",
  playground: "M4.500 2.800v10.400L13 8z",
  system: "M3 3.500h10v6.500H3zM6 13h4M8 10v3",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  close: "M4 4l8 8M12 4l-8 8",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  play: "M5 3v10l8-5z",
  copy: "M5.500 5.500h7v8h-7zM3.500 10.500v-8h7",
  check: "M3 8.500l3.500 3.500L13 5",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zM10.300 10.300l3.200 3.200",
  sun: "M8 10.800a2.800 2.800 0 1 0 0-5.600 2.800 2.800 0 0 0 0 5.600zM8 1.500v1.300M8 13.200v1.300M1.500 8h1.300M13.200 8h1.300M3.400 3.400l.9.9M11.700 11.700l.9.9M12.600 3.400l-.9.9M4.300 11.700l-.9.9",
  moon: "M13 9.600A5.500 5.500 0 0 1 6.400 3a5.500 5.500 0 1 0 6.600 6.600z",
  both: "M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11",
  out: "M6.500 2.500h-4v11h4M10 5l3 3-3 3M13 8H6",
  back: "M9.500 3.500L5 8l4.500 4.500",
  forward: "M6.500 3.500L11 8l-4.500 4.500",
  open: "M9 3h4v4M13 3L7.500 8.500M11 9.500V13H3V5h3.500",
  again: "M13 8a5 5 0 1 1-1.600-3.700M13 2.500v3h-3",
  warning: "M8 2.500l6 11H2zM8 6.500v3.200M8 11.600v.1",
  more: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  plus: "M8 3v10M3 8h10",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
