import { memoryTotal } from "../live/condition";
import type { Fleet } from "../live/fleet";

/** The scale's ends for a metric: fixed where a unit has them, so that colours keep their meaning. */
export function domainOf(fleet: Fleet, metric: string): [number, number] {
  const unit = fleet.units.get(metric);
  if (unit === "ratio" || unit === "bool") return [0, 1];
  if (unit === "celsius") return metric === "gpu.temp.margin" ? [0, 60] : [20, 95];
  let most = 0;
  if (metric === "gpu.mem.used") {
    for (const g of fleet.gpus) most = Math.max(most, memoryTotal(fleet, g.place) || 0);
    if (most > 0) return [0, most];
  }
  const limits = metric === "gpu.power" ? fleet.column("gpu.power.limit") : undefined;
  for (const v of limits ?? fleet.column(metric) ?? []) if (v > most) most = v;
  return [0, niceCeiling(most)];
}

/** The next round number: a scale whose end moved with every reading would flicker. */
export function niceCeiling(v: number): number {
  if (v <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  const step = [1, 2, 2.5, 5, 7.5, 10].find((s) => v <= s * power) ?? 10;
  return step * power;
}
