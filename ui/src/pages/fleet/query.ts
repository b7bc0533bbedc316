/** What of the fleet page is in its address, and the GPUs that fit it. */
import { condition, holdsMemory, idleBelow } from "../../live/condition";
import type { Fleet, Gpu } from "../../live/fleet";
import type { Group } from "../../tiles/layout";

export type StateFilter = "" | "busy" | "idle" | "hot" | "quiet" | "holding";

export interface FleetQuery {
  metric: string;
  view: "tiles" | "table";
  /** Words that must all be in a GPU's names or labels. */
  search: string;
  state: StateFilter;
  sort: string;
  descending: boolean;
}

const states: readonly string[] = ["busy", "idle", "hot", "quiet", "holding"];

export function readQuery(p: URLSearchParams): FleetQuery {
  const state = p.get("state") ?? "";
  const sort = p.get("sort") ?? "host";
  return {
    metric: p.get("metric") ?? "gpu.util",
    view: p.get("view") === "table" ? "table" : "tiles",
    search: p.get("q") ?? "",
    state: states.includes(state) ? (state as StateFilter) : "",
    sort: sort.replace(/^-/u, ""),
    descending: sort.startsWith("-"),
  };
}

/** The address's parameters for a query; what is usual is left out. */
export function writeQuery(q: FleetQuery): URLSearchParams {
  const p = new URLSearchParams();
  if (q.metric !== "gpu.util") p.set("metric", q.metric);
  if (q.view !== "tiles") p.set("view", q.view);
  if (q.search !== "") p.set("q", q.search);
  if (q.state !== "") p.set("state", q.state);
  if (q.sort !== "host" || q.descending) p.set("sort", `${q.descending ? "-" : ""}${q.sort}`);
  return p;
}

/** Places of the GPUs that fit, by host, position and id. */
export function select(fleet: Fleet, q: Pick<FleetQuery, "search" | "state">, now: number): number[] {
  const words = q.search.toLowerCase().split(/\s+/u).filter((w) => w !== "");
  return fleet.gpus
    .filter((g) => fits(g, words) && inState(fleet, g.place, q.state, now))
    .sort(compareGpus)
    .map((g) => g.place);
}

function fits(g: Gpu, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const text = [g.host, g.id, g.model, `gpu ${g.index}`, ...Object.values(g.labels)].join("\n").toLowerCase();
  return words.every((w) => text.includes(w));
}

function inState(fleet: Fleet, place: number, state: StateFilter, now: number): boolean {
  if (state === "") return true;
  const c = condition(fleet, place, now);
  if (state === "quiet" || state === "hot") return c === state;
  if (c === "quiet") return false;
  if (state === "holding") return holdsMemory(fleet, place);
  const idle = fleet.value("gpu.util", place) < idleBelow;
  return state === "idle" ? idle : c === "busy" || (c === "hot" && !idle);
}

const byName = new Intl.Collator("en", { numeric: true });

export function compareGpus(a: Gpu, b: Gpu): number {
  return byName.compare(a.host, b.host) || byName.compare(a.index, b.index) || byName.compare(a.id, b.id);
}

/** A group per host, in the order of the places. */
export function byHost(fleet: Fleet, places: readonly number[]): Group[] {
  const groups = new Map<string, number[]>();
  for (const place of places) {
    const host = fleet.gpus[place]?.host ?? "";
    const group = groups.get(host);
    if (group) group.push(place);
    else groups.set(host, [place]);
  }
  return [...groups].map(([name, members]) => ({ name, places: members }));
}
