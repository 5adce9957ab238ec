/** Numbers, times and money as people read them. None is shown as a dash. */

const NONE = "–";

export type Maybe<T> = T | null | undefined;

export function count(value: Maybe<number>): string {
  return value == null ? NONE : Math.round(value).toLocaleString("en-US");
}

/** `1 attempt`, `2 attempts`. */
export function many(value: number, name: string): string {
  return `${count(value)} ${name}${value === 1 ? "" : "s"}`;
}

/** 1,234 as 1.2k: where there is little room. */
export function short(value: Maybe<number>): string {
  if (value == null) return NONE;
  const size = Math.abs(value);
  if (size < 1000) return size < 10 && !Number.isInteger(value) ? value.toFixed(size < 1 ? 2 : 1) : String(Math.round(value));
  const [unit, by] = size < 1e6 ? ["k", 1e3] : size < 1e9 ? ["M", 1e6] : ["G", 1e9];
  const scaled = value / Number(by);
  return `${scaled.toFixed(Math.abs(scaled) < 10 ? 1 : 0)}${unit}`;
}

export function duration(ms: Maybe<number>): string {
  if (ms == null) return NONE;
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return span(ms / 1000);
}

/** Seconds as 3 min 20 s, 2 h 5 min, 4 d 3 h. */
export function span(seconds: Maybe<number>): string {
  if (seconds == null) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([size]) => size > 0);
  return parts
    .slice(first, first + 2)
    .filter(([size]) => size > 0)
    .map(([size, unit]) => `${size} ${unit}`)
    .join(" ");
}

/** Nano-dollars. Small sums keep two digits that say something. */
export function money(usd_nano: Maybe<number>): string {
  return usd_nano == null ? NONE : dollars(usd_nano / 1e9);
}

export function dollars(usd: Maybe<number>): string {
  if (usd == null) return NONE;
  const size = Math.abs(usd);
  if (size === 0) return "$0";
  if (size >= 1000) return `$${Math.round(usd).toLocaleString("en-US")}`;
  if (size >= 0.1) return `$${usd.toFixed(2)}`;
  return `$${usd.toFixed(Math.min(9, 1 - Math.floor(Math.log10(size))))}`;
}

export function share(value: Maybe<number>): string {
  if (value == null) return NONE;
  const percent = value * 100;
  return `${percent === 100 || percent === 0 ? percent : percent >= 99.95 ? ">99.9" : percent.toFixed(1)} %`;
}

export function bytes(value: Maybe<number>): string {
  if (value == null) return NONE;
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  if (value < 1e9) return `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} MB`;
  return `${(value / 1e9).toFixed(1)} GB`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const ZONED = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" } as const;
const TO_THE_MINUTE = new Intl.DateTimeFormat("en-GB", ZONED);
const WHOLE = new Intl.DateTimeFormat("en-GB", { ...ZONED, second: "2-digit" });

/** What `time` is told in, as the browser calls it: CET, UTC, GMT+2. */
export const ZONE = TO_THE_MINUTE.formatToParts(new Date()).find((one) => one.type === "timeZoneName")?.value ?? "local";

/** The time of day, in `ZONE`; where it is not today, with the day and no seconds. */
export function time(at: Maybe<string>): string {
  return told(at, (moment) => `${DAY.format(moment)} ${MINUTE.format(moment)}`);
}

/** The same with seconds on every day. */
export function second(at: Maybe<string>): string {
  return told(at, (moment) => `${DAY.format(moment)} ${CLOCK.format(moment)}`);
}

function told(at: Maybe<string>, otherwise: (moment: Date) => string): string {
  if (!at) return NONE;
  const moment = new Date(at);
  if (Number.isNaN(moment.getTime())) return at;
  return moment.toDateString() === new Date().toDateString() ? CLOCK.format(moment) : otherwise(moment);
}

/** With its zone, without seconds: for what comes. */
export function due(at: Maybe<string>): string {
  return at ? TO_THE_MINUTE.format(new Date(at)) : NONE;
}

/** With its zone. */
export function moment(at: Maybe<string>): string {
  if (!at) return NONE;
  const found = new Date(at);
  return Number.isNaN(found.getTime()) ? at : WHOLE.format(found);
}

/** `upstream_error` as `upstream error`. */
export function words(name: Maybe<string>): string {
  return name ? name.replaceAll("_", " ") : NONE;
}
