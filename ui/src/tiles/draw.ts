/** Draws tiles on a canvas. Called once a frame for what is on the screen. */
import { show } from "../format/units";
import { condition, holdsMemory } from "../live/condition";
import type { Fleet } from "../live/fleet";
import { scaleIndex } from "../theme/palette";
import type { Palette } from "../theme/palette";
import { tileBox } from "./layout";
import type { Box, Layout, PlacedGroup } from "./layout";

export interface Picture {
  layout: Layout;
  fleet: Fleet;
  palette: Palette;
  metric: string;
  unit: string;
  /** Values of the scale's two ends. */
  domain: readonly [number, number];
  /** Time by the hub's clock, in milliseconds. */
  now: number;
  /** The part of the layout that is on the screen. */
  top: number;
  height: number;
}

const font = '"IBM Plex Sans Variable", system-ui, sans-serif';

export function drawTiles(c: CanvasRenderingContext2D, p: Picture): void {
  c.clearRect(0, 0, p.layout.width + 8, p.height);
  c.save();
  c.translate(0, -p.top);
  for (const g of p.layout.groups) {
    if (g.y + g.height < p.top || g.y > p.top + p.height) continue;
    drawGroup(c, p, g);
  }
  c.restore();
}

function drawGroup(c: CanvasRenderingContext2D, p: Picture, g: PlacedGroup): void {
  let quiet = 0;
  for (let i = 0; i < g.count; i++) {
    const place = p.layout.places[g.first + i] ?? 0;
    if (drawTile(c, p, place, tileBox(p.layout, g.first + i))) quiet++;
  }
  c.textBaseline = "alphabetic";
  c.textAlign = "left";
  c.font = `500 12px ${font}`;
  c.fillStyle = quiet > 0 ? p.palette.quiet : p.palette.muted;
  const note = quiet === 0 ? "" : quiet === g.count ? " quiet" : ` ${quiet} quiet`;
  c.fillText(fit(c, g.name, g.width - c.measureText(note).width), g.x, g.y + 12);
  if (note !== "") {
    c.textAlign = "right";
    c.fillText(note, g.x + g.width, g.y + 12);
  }
}

/** Reports whether the GPU is quiet. */
function drawTile(c: CanvasRenderingContext2D, p: Picture, place: number, b: Box): boolean {
  const state = condition(p.fleet, place, p.now);
  const radius = Math.min(6, b.width / 5);
  if (state === "quiet") {
    drawQuiet(c, p, place, b, radius);
    return true;
  }
  const value = p.fleet.value(p.metric, place);
  const i = scaleIndex(value, p.domain[0], p.domain[1]);
  c.beginPath();
  c.roundRect(b.x, b.y, b.width, b.height, radius);
  if (i < 0) {
    c.strokeStyle = p.palette.line;
    c.lineWidth = 1;
    c.stroke();
  } else {
    c.fillStyle = p.palette.scale[i] ?? "";
    c.fill();
  }
  const ink = i < 0 ? p.palette.muted : (p.palette.onScale[i] ?? "");
  if (b.width >= 32) drawValue(c, p, value, b, ink);
  if (state === "hot") drawHot(c, p, b, radius);
  else if (holdsMemory(p.fleet, place)) drawHolding(c, b, ink);
  return false;
}

function drawValue(c: CanvasRenderingContext2D, p: Picture, value: number, b: Box, ink: string): void {
  const s = show(value, p.unit);
  c.fillStyle = ink;
  c.textAlign = "center";
  c.textBaseline = "middle";
  const size = Math.round(b.width * 0.34);
  c.font = `550 ${size}px ${font}`;
  const wide = c.measureText(s.text).width > b.width - 6;
  if (wide) c.font = `550 ${Math.round(size * 0.72)}px ${font}`;
  const withUnit = b.width >= 44 && s.unit !== "";
  c.fillText(s.text, b.x + b.width / 2, b.y + b.height / 2 + (withUnit ? -size * 0.22 : 1));
  if (!withUnit) return;
  c.font = `450 ${Math.max(9, Math.round(b.width * 0.19))}px ${font}`;
  c.globalAlpha = 0.8;
  c.fillText(s.unit, b.x + b.width / 2, b.y + b.height / 2 + size * 0.66);
  c.globalAlpha = 1;
}

/** No fill and a dashed frame, told apart without colour; in it the last value, or a stroke. */
function drawQuiet(c: CanvasRenderingContext2D, p: Picture, place: number, b: Box, radius: number): void {
  c.strokeStyle = p.palette.quiet;
  c.lineWidth = 1;
  c.setLineDash([3, 3]);
  c.beginPath();
  c.roundRect(b.x + 0.5, b.y + 0.5, b.width - 1, b.height - 1, radius);
  c.stroke();
  c.setLineDash([]);
  const last = p.fleet.value(p.metric, place);
  if (b.width >= 32 && !Number.isNaN(last)) {
    drawValue(c, p, last, b, p.palette.muted);
    return;
  }
  const inset = b.width * 0.3;
  c.beginPath();
  c.moveTo(b.x + inset, b.y + b.height - inset);
  c.lineTo(b.x + b.width - inset, b.y + inset);
  c.stroke();
}

/** A frame and a triangle in the corner. */
function drawHot(c: CanvasRenderingContext2D, p: Picture, b: Box, radius: number): void {
  c.strokeStyle = p.palette.hot;
  c.lineWidth = 2;
  c.beginPath();
  c.roundRect(b.x + 1, b.y + 1, b.width - 2, b.height - 2, radius);
  c.stroke();
  const side = Math.max(6, b.width * 0.24);
  c.fillStyle = p.palette.hot;
  c.beginPath();
  c.moveTo(b.x + b.width - side, b.y);
  c.lineTo(b.x + b.width, b.y);
  c.lineTo(b.x + b.width, b.y + side);
  c.fill();
}

/** A dot in the corner: idle, and yet it holds memory. */
function drawHolding(c: CanvasRenderingContext2D, b: Box, ink: string): void {
  const radius = Math.max(1.5, b.width * 0.05);
  c.fillStyle = ink;
  c.beginPath();
  c.arc(b.x + b.width - radius * 2.6, b.y + radius * 2.6, radius, 0, Math.PI * 2);
  c.fill();
}

/** Cuts a name in its middle: the ends are what tells hosts apart. */
function fit(c: CanvasRenderingContext2D, name: string, width: number): string {
  if (c.measureText(name).width <= width) return name;
  for (let keep = name.length - 1; keep > 3; keep--) {
    const head = Math.floor(keep / 3);
    const cut = `${name.slice(0, head)}…${name.slice(name.length - (keep - head))}`;
    if (c.measureText(cut).width <= width) return cut;
  }
  return name.slice(0, 2);
}
