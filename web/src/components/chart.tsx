/** Lines over time, drawn with uPlot. What it shows is told in words, too: `label`. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { useShade } from "../theme";

export interface Series {
  name: string;
  values: readonly (number | null)[];
  /** Which of the chart's colours. */
  colour?: 1 | 2 | 3 | 4 | "bad";
  kind?: "line" | "area" | "bars";
}

interface ChartProps {
  label: string;
  /** Unix seconds, ascending. */
  at: readonly number[];
  series: readonly Series[];
  height?: number;
  /** How a value is written at the axis and beside the names. */
  format?: (value: number | null | undefined) => string;
  /** Whether each point is a day, in UTC. */
  isByDay?: boolean;
  /** Beside the names stand the last values; false: the sums. */
  isLast?: boolean;
}

export function Chart({ label, at, series, height = 180, format = String, isByDay = false, isLast = true }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shade = useShade();
  const shape = series.map((one) => [one.name, one.colour, one.kind].join()).join("|");
  const data: uPlot.AlignedData = [at as number[], ...series.map((one) => one.values as (number | null)[])];
  const latest = useRef(data);
  latest.current = data;
  const written = useRef(format);
  written.current = format;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const made = new uPlot(options(element, series, height, isByDay, (value) => written.current(value)), latest.current, element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
    // What changes with each second is set below, without a new drawing.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [shape, height, shade, isByDay]);

  useEffect(() => plot.current?.setData(data));

  return (
    <figure>
      <div className="chart" ref={frame} role="img" aria-label={label} style={{ height }} />
      <figcaption className="chart-legend">
        {series.map((one, index) => (
          <span key={one.name}>
            <i data-series={one.colour ?? index + 1} />
            {one.name} <b>{format(isLast ? one.values.at(-1) : one.values.reduce<number>((sum, value) => sum + (value ?? 0), 0))}</b>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function options(element: HTMLElement, series: readonly Series[], height: number, isByDay: boolean, format: (value: number) => string): uPlot.Options {
  // light-dark() is worked out only where a colour is used, and a canvas has to be told colours.
  const probe = element.appendChild(document.createElement("i"));
  const colour = (name: string): string => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const axis: uPlot.Axis = {
    stroke: colour("--text-3"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: `11px ${getComputedStyle(element).fontFamily}`,
  };
  const drawn = series.map((one, index): uPlot.Series => {
    const stroke = colour(`--chart-${one.colour ?? index + 1}`);
    return {
      label: one.name,
      stroke,
      width: 1.6,
      fill: one.kind === "line" ? undefined : stroke.replace("rgb(", "rgba(").replace(")", one.kind === "bars" ? ", 0.75)" : ", 0.12)"),
      paths: one.kind === "bars" ? uPlot.paths.bars?.({ size: [0.7, 28], radius: 0.15 }) : uPlot.paths.linear?.(),
      points: { show: false },
      spanGaps: false,
    };
  });
  probe.remove();
  return {
    width: element.clientWidth,
    height,
    padding: [8, 18, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: { ...(series.some((one) => one.kind === "bars") ? { x: { range: roomy } } : {}), y: { range: (_, low, high) => [Math.min(0, low ?? 0), high && high > 0 ? high * 1.15 : 1] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 70,
        values: (_, ticks) => ticks.map((one) => (isByDay ? DAY.format(one * 1000) : timeAt(one, ticks))),
        ...(isByDay ? { incrs: [1, 2, 7, 14, 30, 90].map((days) => days * DAY_S) } : {}),
      },
      { ...axis, size: (_, values) => Math.max(40, 14 + 6.6 * Math.max(0, ...(values ?? []).map((one) => one.length))), values: (_, ticks) => ticks.map((one) => format(one)), space: 32 },
    ],
    series: [{}, ...drawn],
    ...(isByDay ? { tzDate: (at_s: number) => uPlot.tzDate(new Date(at_s * 1000), "Etc/UTC") } : {}),
    plugins: [told(series, isByDay, format)],
  };
}

/** Room for half a bar at both ends. */
function roomy(plot: uPlot, low: number, high: number): [number, number] {
  const at = plot.data[0];
  const half = at.length > 1 ? (at[1]! - at[0]!) / 2 : DAY_S / 2;
  return [low - half, high + half];
}

const DAY_S = 86_400;
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const AT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const ON = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The day where the ticks are days apart, else the time. */
function timeAt(at_s: number, ticks: readonly number[]): string {
  const apart_s = (ticks[1] ?? at_s) - (ticks[0] ?? at_s);
  return (apart_s >= DAY_S ? ON : AT).format(at_s * 1000);
}

/** A small label at the pointer with the values of that moment. */
function told(series: readonly Series[], isByDay: boolean, format: (value: number) => string): uPlot.Plugin {
  const label = document.createElement("div");
  label.className = "tooltip";
  label.style.cssText = "position:absolute;pointer-events:none;display:none;white-space:pre;z-index:5";
  return {
    hooks: {
      init: (plot) => void plot.over.appendChild(label),
      setCursor: (plot) => {
        const { idx, left } = plot.cursor;
        const at = idx == null ? undefined : plot.data[0][idx];
        if (idx == null || at === undefined || left === undefined || left < 0) {
          label.style.display = "none";
          return;
        }
        const lines = series.map((one, index) => {
          const value = plot.data[index + 1]?.[idx];
          return `${one.name}  ${value == null ? "–" : format(value)}`;
        });
        label.textContent = [(isByDay ? DAY : MOMENT).format(at * 1000), ...lines].join("\n");
        label.style.display = "block";
        label.style.top = "4px";
        const room = plot.over.clientWidth - left;
        label.style.left = room < 190 ? "" : `${left + 10}px`;
        label.style.right = room < 190 ? `${room + 10}px` : "";
      },
    },
  };
}
