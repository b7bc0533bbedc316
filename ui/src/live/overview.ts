/** What several pages say about one GPU in few words. */
import { duration } from "../format/time";
import { condition, holdsMemory } from "./condition";
import type { Fleet, Gpu } from "./fleet";

export function gpuName(g: Gpu): string {
  return g.index === "" ? g.id : `GPU ${g.index}`;
}

/** busy, idle and holding memory, hot, or since when it is quiet. */
export function stateText(fleet: Fleet, place: number, now: number): string {
  const c = condition(fleet, place, now);
  switch (c) {
    case "quiet":
      return fleet.heard(place) === 0 ? "never heard" : `quiet for ${duration(now - fleet.heard(place))}`;
    case "unknown":
      return "no utilisation told";
    default:
      return holdsMemory(fleet, place) ? `${c}, holds memory` : c;
  }
}
