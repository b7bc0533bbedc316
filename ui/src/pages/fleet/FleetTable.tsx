import { useCallback, useEffect, useRef, useState } from "react";
import { Link } from "wouter";

import { metricTitle } from "../../format/metrics";
import { ago } from "../../format/time";
import { showText } from "../../format/units";
import { condition, holdsMemory } from "../../live/condition";
import type { Fleet, Gpu } from "../../live/fleet";
import { LiveText, useLive, usePlaces } from "../../bind/live";
import { compareGpus } from "./query";
import type { FleetQuery } from "./query";

const usual = ["gpu.util", "gpu.mem.used", "gpu.power", "gpu.temp", "gpu.clock.sm"];
const rowHeight = 34;
/** Rows drawn beyond the screen on either side. */
const spare = 8;

/** The fleet as rows. Only those on the screen exist; the order follows the values each second. */
export function FleetTable({ places, query, change }: {
  places: readonly number[];
  query: FleetQuery;
  change: (part: Partial<FleetQuery>) => void;
}) {
  const live = useLive();
  const body = useRef<HTMLTableSectionElement>(null);
  const { sort, descending } = query;
  const order = useCallback(
    (now: number) => sortPlaces(live.fleet, places, sort, descending, now),
    [live, places, sort, descending],
  );
  const sorted = usePlaces(order, sort !== "host" && sort !== "index");
  const [first, last] = useVisible(body, sorted.length);
  const columns = usual.includes(query.metric) ? usual : [query.metric, ...usual];
  const head = (name: string, title: string, number = false) => (
    <th key={name} scope="col" className={number ? "number" : undefined} aria-sort={query.sort !== name ? "none" : query.descending ? "descending" : "ascending"}>
      <button
        type="button"
        onClick={() => change({ sort: name, descending: query.sort === name ? !query.descending : name.startsWith("gpu.") })}
      >
        {title}
        <span aria-hidden="true">{query.sort !== name ? "" : query.descending ? " ↓" : " ↑"}</span>
      </button>
    </th>
  );
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="GPUs">
      <table className="rows" aria-rowcount={sorted.length + 1}>
        <thead>
          <tr>
            {head("host", "Host")}
            {head("index", "GPU")}
            {head("state", "State")}
            {columns.map((c) => head(c, metricTitle(c), true))}
            {head("heard", "Last reading", true)}
          </tr>
        </thead>
        <tbody ref={body}>
          <tr aria-hidden="true" style={{ height: first * rowHeight }} />
          {sorted.slice(first, last).map((place, i) => {
            const g = live.fleet.gpus[place];
            return g && <Row key={g.id} gpu={g} columns={columns} number={first + i + 2} />;
          })}
          <tr aria-hidden="true" style={{ height: (sorted.length - last) * rowHeight }} />
        </tbody>
      </table>
    </div>
  );
}

function Row({ gpu, columns, number }: { gpu: Gpu; columns: readonly string[]; number: number }) {
  const { fleet } = useLive();
  const state = useCallback((now: number) => stateText(fleet, gpu.place, now), [fleet, gpu]);
  const heard = useCallback((now: number) => ago(now - fleet.heard(gpu.place)), [fleet, gpu]);
  return (
    <tr style={{ height: rowHeight }} aria-rowindex={number}>
      <td>
        <Link href={`/hosts/${encodeURIComponent(gpu.host)}`}>{gpu.host}</Link>
      </td>
      <td>
        <Link href={`/gpus/${encodeURIComponent(gpu.id)}`} title={gpu.id}>
          {gpu.index === "" ? gpu.id : gpu.index}
        </Link>
      </td>
      <td>
        <LiveText read={state} />
      </td>
      {columns.map((c) => (
        <Cell key={c} gpu={gpu} metric={c} />
      ))}
      <td className="number">
        <LiveText read={heard} />
      </td>
    </tr>
  );
}

function Cell({ gpu, metric }: { gpu: Gpu; metric: string }) {
  const { fleet } = useLive();
  const read = useCallback(() => showText(fleet.value(metric, gpu.place), fleet.unit(metric)), [fleet, gpu, metric]);
  return (
    <td className="number">
      <LiveText read={read} />
    </td>
  );
}

function stateText(fleet: Fleet, place: number, now: number): string {
  const c = condition(fleet, place, now);
  if (c === "unknown") return "";
  return c !== "quiet" && holdsMemory(fleet, place) ? `${c}, holds memory` : c;
}

/** Sorts by a column; GPUs without a value come last either way. */
export function sortPlaces(fleet: Fleet, places: readonly number[], sort: string, descending: boolean, now: number): number[] {
  const sign = descending ? -1 : 1;
  const name = (p: number) => {
    const g = fleet.gpus[p];
    if (!g) return "";
    return sort === "index" ? g.index : sort === "state" ? stateText(fleet, p, now) : g.host;
  };
  const value = (p: number) => (sort === "heard" ? now - fleet.heard(p) : fleet.value(sort, p));
  const words = sort === "host" || sort === "index" || sort === "state";
  const collator = new Intl.Collator("en", { numeric: true });
  return [...places].sort((a, b) => {
    const ga = fleet.gpus[a];
    const gb = fleet.gpus[b];
    let order: number;
    if (words) order = sign * collator.compare(name(a), name(b));
    else {
      const va = value(a);
      const vb = value(b);
      if (Number.isNaN(va) || Number.isNaN(vb)) order = Number(Number.isNaN(va)) - Number(Number.isNaN(vb));
      else order = sign * (va - vb);
    }
    return order || (ga && gb ? compareGpus(ga, gb) : 0);
  });
}

/** Which rows are on the screen, as the window scrolls. */
function useVisible(body: React.RefObject<HTMLElement | null>, count: number): [number, number] {
  const [range, setRange] = useState<[number, number]>([0, Math.min(count, 60)]);
  useEffect(() => {
    const look = () => {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.min(count, Math.floor(-top / rowHeight) - spare));
      const last = Math.min(count, Math.ceil((innerHeight - top) / rowHeight) + spare);
      setRange((old) => (old[0] === first && old[1] === last ? old : [first, Math.max(first, last)]));
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [body, count]);
  return range;
}
