import { catalogue } from "@gpupulse/sdk";
import type { Descriptor, Reading } from "@gpupulse/sdk";

const canonical = new Map<string, Descriptor>();
for (const d of catalogue) if (d.mul === d.div && !canonical.has(d.name)) canonical.set(d.name, d);
for (const d of catalogue) if (!canonical.has(d.name)) canonical.set(d.name, d);

/** A reading of a GPU on the host "h", with metrics in canonical units. */
export function reading(gpu: string, metrics: Record<string, number>, time = 1): Reading {
  return {
    time, gpu, host: "h", labels: { index: gpu.replace(/\D/gu, ""), model: "M" }, offsets: [],
    values: Object.values(metrics),
    metrics: Object.keys(metrics).map((name) => {
      const d = canonical.get(name);
      if (!d) throw new Error(`${name} is not in the catalogue`);
      return d;
    }),
  };
}
