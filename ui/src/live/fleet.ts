/**
 * The newest value of every metric of every GPU, in columns of numbers outside of
 * React. GPUs are known by their place, which never changes while the page is open.
 *
 * Components learn by subscribe that GPUs or metrics came, or labels changed; new
 * values only raise version, and whoever draws looks at it once a frame.
 */
import type { Reading } from "@gpupulse/sdk";

import { metricUnit } from "../format/metrics";

export interface Gpu {
  /** Place in every column. */
  place: number;
  /** What identifies it: its UUID as a rule. */
  id: string;
  host: string;
  /** Position in its host as the source tells it; "" if it does not. */
  index: string;
  model: string;
  labels: Readonly<Record<string, string>>;
  /** Topic of its newest reading; "" before the first. */
  topic: string;
}

/** A GPU as REST lists it. */
export interface ListedGpu {
  id: string;
  host: string;
  index?: number | null;
  model: string;
  labels: Record<string, string>;
}

/** A metric of every GPU: newest values, and when each was measured; NaN where nobody told. */
interface Column {
  values: Float64Array;
  times: Float64Array;
}

/** More GPUs than this one page cannot show, whoever sends them. */
const maxGpus = 100_000;
/** Metrics with a column. A source that makes up names must not fill the memory. */
const maxMetrics = 512;

export class Fleet {
  readonly gpus: Gpu[] = [];
  /** Rises with each change of any value. */
  version = 0;
  /** Rises when GPUs or metrics come, or labels change. */
  structure = 0;
  /** How many series have a value: one for each GPU and metric. */
  series = 0;
  /** Metric names in the order of their coming, and their units. */
  readonly units = new Map<string, string>();
  private readonly places = new Map<string, number>();
  private readonly columns = new Map<string, Column>();
  private heardAt = new Float64Array(64);
  private measuredAt = new Float64Array(64);
  private readonly listeners = new Set<() => void>();

  /** Calls listener after changes of the structure. Returns how to stop that. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** For useSyncExternalStore. */
  readonly snapshot = (): number => this.structure;

  /** The place of a GPU, or undefined if nobody spoke of it. */
  place(id: string): number | undefined {
    return this.places.get(id);
  }

  /** The newest value in the canonical unit; NaN if there was none. */
  value(metric: string, place: number): number {
    return this.columns.get(metric)?.values[place] ?? NaN;
  }

  /** The column of a metric, to be read only; undefined if no GPU has it. */
  column(metric: string): Float64Array | undefined {
    return this.columns.get(metric)?.values;
  }

  /** The unit that came with a metric, or the catalogue's; "" where there is none. */
  unit(metric: string): string {
    return this.units.get(metric) ?? metricUnit(metric);
  }

  /** When the hub last got a reading of the GPU; 0 if it never did. */
  heard(place: number): number {
    return this.heardAt[place] ?? 0;
  }

  /** The time of the newest reading; 0 without one. */
  measured(place: number): number {
    return this.measuredAt[place] ?? 0;
  }

  /**
   * Takes a reading. heard is when the hub got it. A value that is older than what is
   * here changes nothing.
   */
  apply(r: Reading, heard: number, topic: string): void {
    const place = this.enter(r.gpu, r.host, r.labels, topic);
    if (place === undefined) return;
    this.heardAt[place] = Math.max(this.heardAt[place] ?? 0, heard);
    this.measuredAt[place] = Math.max(this.measuredAt[place] ?? 0, r.time);
    for (const [i, m] of r.metrics.entries()) {
      this.set(m.name, m.unit, place, r.values[i] ?? NaN, r.time + (r.offsets[i] ?? 0));
    }
    this.version++;
  }

  /** Takes a GPU that REST knows and perhaps the hub no longer does. */
  list(g: ListedGpu, lastSeen: number): void {
    const known = this.places.has(g.id);
    const place = this.enter(g.id, g.host, g.labels, "");
    if (place === undefined || known) return;
    this.heardAt[place] = lastSeen;
    this.version++;
  }

  /** Takes a stored value, unless a newer one came live. */
  stored(id: string, metric: string, unit: string, value: number, time: number): void {
    const place = this.places.get(id);
    if (place === undefined) return;
    this.set(metric, unit, place, value, time);
    this.measuredAt[place] = Math.max(this.measuredAt[place] ?? 0, time);
    this.version++;
  }

  private enter(id: string, host: string, labels: Record<string, string>, topic: string): number | undefined {
    const place = this.places.get(id);
    const old = place === undefined ? undefined : this.gpus[place];
    if (old) {
      if (topic !== "") old.topic = topic;
      if (old.host !== host || !sameLabels(old.labels, labels)) {
        Object.assign(old, { host, labels, index: labels.index ?? "", model: labels.model ?? "" });
        this.changed();
      }
      return place;
    }
    if (this.gpus.length >= maxGpus) return undefined;
    const next = this.gpus.length;
    this.gpus.push({ place: next, id, host, labels, topic, index: labels.index ?? "", model: labels.model ?? "" });
    this.places.set(id, next);
    if (next >= this.heardAt.length) this.grow();
    this.changed();
    return next;
  }

  private set(metric: string, unit: string, place: number, value: number, time: number): void {
    let column = this.columns.get(metric);
    if (!column) {
      if (this.columns.size >= maxMetrics) return;
      const empty = () => new Float64Array(this.heardAt.length).fill(NaN);
      column = { values: empty(), times: empty() };
      this.columns.set(metric, column);
      this.units.set(metric, unit);
      this.changed();
    }
    const before = column.times[place] ?? NaN;
    if (time < before) return;
    if (Number.isNaN(before)) this.series++;
    column.values[place] = value;
    column.times[place] = time;
  }

  private grow(): void {
    const size = this.heardAt.length * 2;
    const longer = (old: Float64Array, empty: number) => {
      const column = new Float64Array(size).fill(empty, old.length);
      column.set(old);
      return column;
    };
    this.heardAt = longer(this.heardAt, 0);
    this.measuredAt = longer(this.measuredAt, 0);
    for (const c of this.columns.values()) {
      c.values = longer(c.values, NaN);
      c.times = longer(c.times, NaN);
    }
  }

  private changed(): void {
    this.structure++;
    for (const listener of [...this.listeners]) listener();
  }
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  if (a === b) return true;
  let n = 0;
  for (const name in a) {
    if (a[name] !== b[name]) return false;
    n++;
  }
  return Object.keys(b).length === n;
}
