/** What a GPU is doing, told from its newest values. The rules are the same on every page. */
import type { Fleet } from "./fleet";

/** quiet beats hot, and hot beats busy: the worst that is true is what is shown. */
export type Condition = "quiet" | "hot" | "busy" | "idle" | "unknown";

/** Below this share of time with a kernel running a GPU counts as idle. */
export const idleBelow = 0.05;
/** From here on it slows down soon. */
export const hotFrom = 85;
/** No reading for so long, in milliseconds: the agent, the host or the GPU is gone. */
export const quietAfter = 15_000;
/** An idle GPU that holds more than this keeps somebody else from using it. */
const heldFrom = 1 << 30;

/** now is in milliseconds since 1970, by the hub's clock. */
export function condition(fleet: Fleet, place: number, now: number): Condition {
  if (now - fleet.heard(place) > quietAfter) return "quiet";
  if (fleet.value("gpu.temp", place) >= hotFrom) return "hot";
  const util = fleet.value("gpu.util", place);
  if (Number.isNaN(util)) return "unknown";
  return util < idleBelow ? "idle" : "busy";
}

/** Whether a GPU does nothing and yet holds memory. */
export function holdsMemory(fleet: Fleet, place: number): boolean {
  return fleet.value("gpu.util", place) < idleBelow && fleet.value("gpu.mem.used", place) >= heldFrom;
}

export interface Summary {
  gpus: number;
  hosts: number;
  busy: number;
  idle: number;
  hot: number;
  quiet: number;
  /** Idle and holding memory. */
  holding: number;
  /** Sums over the GPUs that are not quiet; NaN if none tells. */
  power: number;
  memoryUsed: number;
  memoryTotal: number;
}

/** Counts and sums over the places, or all. Quiet GPUs are counted, and their last values are not. */
export function summarise(fleet: Fleet, now: number, places?: readonly number[]): Summary {
  const s: Summary = {
    gpus: 0, hosts: 0, busy: 0, idle: 0, hot: 0, quiet: 0, holding: 0, power: NaN, memoryUsed: NaN, memoryTotal: NaN,
  };
  const hosts = new Set<string>();
  const one = (place: number) => {
    s.gpus++;
    hosts.add(fleet.gpus[place]?.host ?? "");
    const c = condition(fleet, place, now);
    if (c === "quiet") {
      s.quiet++;
      return;
    }
    if (c === "hot") s.hot++;
    const util = fleet.value("gpu.util", place);
    if (util < idleBelow) s.idle++;
    else if (util >= idleBelow) s.busy++;
    if (holdsMemory(fleet, place)) s.holding++;
    s.power = plus(s.power, fleet.value("gpu.power", place));
    s.memoryUsed = plus(s.memoryUsed, fleet.value("gpu.mem.used", place));
    s.memoryTotal = plus(s.memoryTotal, memoryTotal(fleet, place));
  };
  if (places) places.forEach(one);
  else for (let i = 0; i < fleet.gpus.length; i++) one(i);
  s.hosts = hosts.size;
  return s;
}

/** Device memory in all; where no source tells it, what is used and free. */
export function memoryTotal(fleet: Fleet, place: number): number {
  const told = fleet.value("gpu.mem.total", place);
  if (!Number.isNaN(told)) return told;
  const reserved = fleet.value("gpu.mem.reserved", place);
  return fleet.value("gpu.mem.used", place) + fleet.value("gpu.mem.free", place) + (Number.isNaN(reserved) ? 0 : reserved);
}

function plus(sum: number, x: number): number {
  if (Number.isNaN(x)) return sum;
  return Number.isNaN(sum) ? x : sum + x;
}
