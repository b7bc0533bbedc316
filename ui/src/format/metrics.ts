/** What metrics are called on a page, and in which order they are of interest. */
import { metrics } from "@gpupulse/sdk";
import type { Kind } from "@gpupulse/sdk";

const titles: Record<string, string> = {
  "gpu.util": "Utilisation",
  "gpu.mem.used": "Memory used",
  "gpu.power": "Power",
  "gpu.temp": "Temperature",
  "gpu.clock.sm": "SM clock",
  "gpu.mem.bw_util": "Memory bandwidth in use",
  "gpu.prof.sm": "SM activity",
  "gpu.prof.tensor": "Tensor cores active",
  "gpu.prof.dram": "Memory active",
  "gpu.prof.occupancy": "SM occupancy",
  "gpu.temp.mem": "Memory temperature",
  "gpu.temp.junction": "Hotspot temperature",
  "gpu.temp.margin": "Degrees to throttling",
  "gpu.clock.mem": "Memory clock",
  "gpu.clock.video": "Video clock",
  "gpu.power.limit": "Power limit",
  "gpu.fan": "Fan",
  "gpu.fan.rpm": "Fan speed",
  "gpu.enc.util": "Encoder",
  "gpu.dec.util": "Decoder",
  "gpu.mem.free": "Memory free",
  "gpu.mem.total": "Memory total",
  "gpu.mem.reserved": "Memory reserved",
  "gpu.energy": "Energy",
  "gpu.pcie.tx": "PCIe sent",
  "gpu.pcie.rx": "PCIe received",
  "gpu.nvlink.tx": "NVLink sent",
  "gpu.nvlink.rx": "NVLink received",
  "gpu.nvlink.total": "NVLink traffic",
  "gpu.xid": "Last XID error",
};

const order = new Map(Object.keys(titles).map((name, i) => [name, i]));
const known = new Map(metrics.map((m) => [m.name, m]));

/** "gpu.rows.pending" is "Rows pending" where nobody wrote a better title. */
export function metricTitle(name: string): string {
  const title = titles[name];
  if (title !== undefined) return title;
  const words = name.replace(/^gpu\./u, "").replaceAll(/[._]+/gu, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function metricDescription(name: string): string {
  return known.get(name)?.description ?? "";
}

export function metricUnit(name: string): string {
  return known.get(name)?.unit ?? "";
}

export function metricKind(name: string): Kind {
  return known.get(name)?.kind ?? "gauge";
}

/** Orders metrics by interest, then by name. */
export function compareMetrics(a: string, b: string): number {
  const ia = order.get(a) ?? Infinity;
  const ib = order.get(b) ?? Infinity;
  return ia === ib ? a.localeCompare(b) : ia - ib;
}
