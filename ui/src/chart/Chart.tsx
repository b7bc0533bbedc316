/** A metric of one GPU or several over time. React draws the frame; uPlot draws the lines. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";

import { clock, dateTime } from "../format/time";
import { absent, axisUnit, showText } from "../format/units";
import type { Live } from "../live/live";
import { useLive } from "../bind/live";
import type { Timeline } from "../live/timeline";
import type { Palette } from "../theme/palette";
import { useTheme } from "../theme/theme";
import type { Painter } from "./painter";

export interface Line {
  label: string;
  timeline: Timeline;
  /** Number of its colour; lines of one label have one colour on all charts of a page. */
  colour: number;
}

export interface ChartProps {
  title: string;
  description: string;
  metric: string;
  unit: string;
  lines: readonly Line[];
  /** Milliseconds that the chart spans. */
  range: number;
  /** The time at its right edge, in milliseconds; undefined: now. */
  end?: number | undefined;
  painter: Painter;
  height?: number;
}

const day = 86_400_000;

export function Chart(props: ChartProps) {
  const { title, description, metric, unit, lines, range, end, painter, height = 168 } = props;
  const live = useLive();
  const { palette } = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (!box.current) return;
    const told = (text: string) => {
      if (readout.current && readout.current.textContent !== text) readout.current.textContent = text;
    };
    return draw({ box: box.current, live, palette, metric, unit, lines, range, end, painter, height, told });
  }, [live, palette, metric, unit, lines, range, end, painter, height]);
  return (
    <figure className="chart" data-metric={metric}>
      <figcaption title={description}>
        <span className="chart-title">{title}</span>
        <span className="chart-value" ref={readout} data-readout={metric} />
      </figcaption>
      <div ref={box} style={{ height }} role="img" aria-label={`${title} over time`} />
    </figure>
  );
}

interface Drawing extends Pick<ChartProps, "metric" | "unit" | "lines" | "range" | "end" | "painter"> {
  box: HTMLDivElement;
  live: Live;
  palette: Palette;
  height: number;
  /** Shows the value under the cursor, or the newest. */
  told: (text: string) => void;
}

/** Makes the plot and keeps it up to date. Returns how to end that. */
function draw(d: Drawing): () => void {
  const data: [number[], ...(number | null | undefined)[][]] = [[], ...d.lines.map(() => [])];
  let visible = true;
  let painted = { version: -1, at: 0, width: 0 };
  const plot = new uPlot(options(d), data, d.box);
  const version = () => d.lines.reduce((sum, l) => sum + l.timeline.version, 0);
  const chart = {
    due: (now: number) =>
      visible && d.box.clientWidth > 0 && (version() !== painted.version || now - painted.at >= 1000 || d.box.clientWidth !== painted.width),
    paint: (now: number) => {
      painted = { version: version(), at: now, width: d.box.clientWidth };
      if (plot.width !== painted.width) plot.setSize({ width: painted.width, height: d.height });
      const right = d.end ?? d.live.now();
      const spare: number[] = [];
      for (const [i, l] of d.lines.entries()) {
        l.timeline.read(d.metric, right - d.range, right, i === 0 ? data[0] : spare, data[i + 1] ?? []);
      }
      plot.batch(() => {
        plot.setData(data, false);
        plot.setScale("x", { min: (right - d.range) / 1000, max: right / 1000 });
      });
      tell(plot, d);
    },
  };
  const observer = new IntersectionObserver(([entry]) => {
    visible = entry?.isIntersecting ?? true;
    d.live.loop.request();
  }, { rootMargin: "200px" });
  observer.observe(d.box);
  const remove = d.painter.add(chart);
  return () => {
    remove();
    observer.disconnect();
    plot.destroy();
  };
}

function tell(plot: uPlot, d: Drawing): void {
  const at = plot.cursor.idx;
  if (at !== null && at !== undefined && plot.cursor.left !== undefined && plot.cursor.left >= 0) {
    const time = (plot.data[0][at] ?? 0) * 1000;
    const when = d.range > day ? dateTime(time) : clock(time);
    d.told(`${when}  ${reading(plot, d, at)}`);
    return;
  }
  if (d.lines.length === 1) d.told(showText(newest(plot.data[1]), d.unit));
  else d.told("");
}

function reading(plot: uPlot, d: Drawing, at: number): string {
  if (d.lines.length === 1) return showText(plot.data[1]?.[at], d.unit);
  const values = d.lines.map((_, i) => plot.data[i + 1]?.[at]).filter((v): v is number => typeof v === "number");
  if (values.length === 0) return absent;
  return `${showText(Math.min(...values), d.unit)} to ${showText(Math.max(...values), d.unit)}`;
}

function newest(values: ArrayLike<number | null | undefined> | undefined): number | null | undefined {
  for (let i = (values?.length ?? 0) - 1; i >= 0; i--) if (typeof values?.[i] === "number") return values[i];
  return undefined;
}

function options(d: Drawing): uPlot.Options {
  const font = '11px "IBM Plex Sans Variable", system-ui, sans-serif';
  const axis = { stroke: d.palette.muted, font, ticks: { show: false }, grid: { stroke: d.palette.line, width: 1 } };
  return {
    width: Math.max(100, d.box.clientWidth),
    height: d.height,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 }, sync: { key: "gpupulse" } },
    hooks: { setCursor: [(u) => tell(u, d)] },
    scales: { x: { time: true }, y: { range: (_u, least, most) => bounds(d.unit, least, most) } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 76, values: (_u, splits) => splits.map((s) => tick(s * 1000, d.range)) },
      { ...axis, size: 58, space: 34, ...increments(d.unit), values: (u, splits) => ticks(d.unit, splits, u.scales.y?.max ?? 1) },
    ],
    series: [
      {},
      ...d.lines.map((l) => ({
        label: l.label,
        stroke: d.palette.lines[l.colour % d.palette.lines.length] ?? d.palette.text,
        width: d.lines.length > 1 ? 1.25 : 1.6,
        ...(d.lines.length === 1 && { fill: `color-mix(in srgb, ${d.palette.lines[l.colour] ?? d.palette.text} 14%, transparent)` }),
        points: { show: true, size: 4, filter: (u: uPlot, line: number) => alone(u.data[line] ?? []) },
      })),
    ],
  };
}

/** Samples with a gap on both sides: a line cannot show them. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  let run = 0;
  let last = -1;
  for (let i = 0; i <= values.length; i++) {
    const v = values[i];
    if (typeof v === "number") {
      run++;
      last = i;
    } else if (v === null || i === values.length) {
      if (run === 1) found.push(last);
      run = 0;
    }
  }
  return found;
}

/** Shares of one are drawn from 0 to 100 %; others from zero, but for temperatures and clocks. */
function bounds(unit: string, least: number | null, most: number | null): uPlot.Range.MinMax {
  if (unit === "ratio") return [0, 1.03];
  if (least === null || most === null) return [0, 1];
  const pad = Math.max((most - least) * 0.12, Math.abs(most) * 0.02, 1e-9);
  const fromZero = unit !== "celsius" && unit !== "hertz" && unit !== "joules" && unit !== "" && least >= 0;
  return [fromZero ? 0 : Math.max(least - pad, least >= 0 ? 0 : -Infinity), most + pad];
}

/** Ticks of bytes stand at round numbers of a binary prefix. */
function increments(unit: string): { incrs?: number[] } {
  if (unit !== "bytes" && unit !== "bytes_per_second") return {};
  const round = [1, 2, 5, 10, 20, 50, 100, 200, 500];
  return { incrs: [0, 1, 2, 3, 4, 5].flatMap((i) => round.map((r) => r * 1024 ** i)) };
}

function ticks(unit: string, splits: readonly number[], most: number): string[] {
  const a = axisUnit(unit, most);
  const scaled = splits.map((s) => s / a.divisor);
  const step = Math.abs((scaled[1] ?? 1) - (scaled[0] ?? 0));
  const digits = step >= 1 ? 0 : Math.min(3, Math.ceil(-Math.log10(step || 1)));
  return scaled.map((s) => `${s.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}${a.unit === "" ? "" : ` ${a.unit}`}`);
}

function tick(ms: number, range: number): string {
  if (range > 2 * day) return dateTime(ms).slice(5, range > 4 * day ? 10 : 16);
  return range <= 300_000 ? clock(ms) : clock(ms).slice(0, 5);
}
