/**
 * A tile per GPU on one canvas, as high as the screen, that stays in view while the page
 * scrolls under it. A canvas has no semantics: one link lies over the tile that the
 * pointer or the keyboard is on, and says in words what the tile shows.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { KeyboardEvent, PointerEvent } from "react";
import { Link } from "wouter";

import { metricTitle } from "../format/metrics";
import { showText } from "../format/units";
import { condition, holdsMemory } from "../live/condition";
import type { Live } from "../live/live";
import { useLive } from "../bind/live";
import { useTheme } from "../theme/theme";
import { domainOf } from "./domain";
import { drawTiles } from "./draw";
import { layOut, tileAt, tileBeside, tileBox } from "./layout";
import type { Group, Layout } from "./layout";
import { Tip } from "./Tip";

/** Tiles are as large as they can be without the map growing over this share of the screen. */
const wantedShare = 0.68;

export function TileMap({ groups, metric }: { groups: readonly Group[]; metric: string }) {
  const live = useLive();
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(frame);
  const layout = useMemo(() => layOut(groups, width, innerHeight * wantedShare), [groups, width]);
  const [on, setOn] = useState({ tile: 0, shown: false });
  useCanvas(canvas, layout, metric);

  const tile = Math.min(on.tile, layout.places.length - 1);
  const box = tileBox(layout, tile);
  const gpu = live.fleet.gpus[layout.places[tile] ?? -1];

  const point = (e: PointerEvent<HTMLDivElement>) => {
    const origin = e.currentTarget.getBoundingClientRect();
    const at = tileAt(layout, e.clientX - origin.left, e.clientY - origin.top);
    setOn((old) => (at < 0 ? (old.shown ? { ...old, shown: false } : old) : old.tile === at && old.shown ? old : { tile: at, shown: true }));
  };
  const press = (e: KeyboardEvent) => {
    const to = destination(layout, tile, e.key);
    if (to === undefined) return;
    e.preventDefault();
    setOn({ tile: Math.max(0, Math.min(layout.places.length - 1, to)), shown: true });
  };

  return (
    <div
      ref={frame}
      className="tiles"
      style={{ height: layout.height }}
      onPointerMove={point}
      onPointerDown={point}
      onPointerLeave={() => setOn((old) => ({ ...old, shown: false }))}
    >
      <canvas ref={canvas} aria-hidden="true" />
      {gpu && width > 0 && (
        <Link
          href={`/gpus/${encodeURIComponent(gpu.id)}`}
          className="tile-link"
          data-shown={on.shown}
          style={{ left: box.x, top: box.y, width: box.width, height: box.height }}
          aria-label={describe(live, gpu.place, metric)}
          aria-describedby="tile-keys"
          onKeyDown={press}
          onFocus={() => setOn((old) => ({ ...old, shown: true }))}
          onBlur={() => setOn((old) => ({ ...old, shown: false }))}
        />
      )}
      <span id="tile-keys" className="hidden">
        Arrow keys go to other GPUs. The table view has the same as rows.
      </span>
      {gpu && on.shown && <Tip gpu={gpu} box={box} width={width} metric={metric} />}
    </div>
  );
}

function destination(l: Layout, tile: number, key: string): number | undefined {
  switch (key) {
    case "ArrowLeft":
      return tile - 1;
    case "ArrowRight":
      return tile + 1;
    case "ArrowUp":
      return tileBeside(l, tile, -1);
    case "ArrowDown":
      return tileBeside(l, tile, 1);
    case "Home":
      return 0;
    case "End":
      return l.places.length - 1;
    default:
      return undefined;
  }
}

/** A tile in words. */
export function describe(live: Live, place: number, metric: string): string {
  const { fleet } = live;
  const g = fleet.gpus[place];
  if (!g) return "";
  const state = condition(fleet, place, live.now());
  const value = showText(fleet.value(metric, place), fleet.unit(metric));
  const held = holdsMemory(fleet, place) ? ", holds memory" : "";
  const what = state === "quiet" ? "quiet" : `${metricTitle(metric)} ${value}, ${state}${held}`;
  return `GPU ${g.index === "" ? g.id : g.index} of ${g.host}: ${what}`;
}

function useWidth(ref: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const node = ref.current;
    if (!node) return;
    const measure = () => setWidth(node.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, [ref]);
  return width;
}

/** Draws whenever values, layout, theme or the part in view have changed. */
function useCanvas(ref: React.RefObject<HTMLCanvasElement | null>, layout: Layout, metric: string): void {
  const live = useLive();
  const { palette } = useTheme();
  useEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context || layout.width === 0) return;
    let drawn = "";
    const scrolled = () => live.loop.request();
    addEventListener("scroll", scrolled, { passive: true });
    const stop = live.loop.add(() => {
      const height = Math.min(layout.height, innerHeight);
      const top = Math.max(0, canvas.offsetTop);
      const now = live.now();
      // Ages count in seconds: a picture of this second with these values is still right.
      const key = [live.fleet.version, top, height, devicePixelRatio, Math.floor(now / 1000)].join();
      if (key === drawn) return;
      drawn = key;
      resize(canvas, layout.width, height);
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      const unit = live.fleet.unit(metric);
      drawTiles(context, { layout, fleet: live.fleet, palette, metric, unit, domain: domainOf(live.fleet, metric), now, top, height });
    });
    return () => {
      stop();
      removeEventListener("scroll", scrolled);
    };
  }, [ref, live, layout, metric, palette]);
}

function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  const w = Math.round(width * devicePixelRatio);
  const h = Math.round(height * devicePixelRatio);
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}
