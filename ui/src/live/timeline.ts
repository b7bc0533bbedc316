/**
 * The recent past of one GPU in steps of equal length: history from REST and, behind
 * it, live readings, in the same buckets. Each metric is a pair of columns used as a
 * ring, so a page that is open for a week holds no more than one that was just opened.
 *
 * A bucket holds a sum and a count; what is shown is their quotient. History brings the
 * same two, so that a bucket which was half full when it came is continued exactly.
 */

/** Columns of averages. null: no sample. */
export interface History {
  /** Milliseconds since 1970, each a multiple of the step. */
  times: readonly number[];
  average: Readonly<Record<string, readonly (number | null)[]>>;
  /** How many samples made each metric's last average, which live readings go on with. */
  lastCount: Readonly<Record<string, number>>;
  /** Everything up to this time is in it; live readings go on after. */
  until: number;
}

interface Column {
  sum: Float64Array;
  count: Uint32Array;
}

/** Live readings kept while history is on its way. */
const maxWaiting = 10_000;

interface Sample {
  time: number;
  names: readonly string[];
  values: readonly number[];
}

export class Timeline {
  /** Rises with each change. */
  version = 0;
  /** Whether history has come. */
  loaded = false;
  /** Time of the newest sample, 0 without one. */
  newest = 0;
  private readonly buckets: number;
  private readonly ids: Float64Array;
  private readonly columns = new Map<string, Column>();
  private waiting: Sample[] = [];

  /** Both in milliseconds. */
  constructor(
    readonly step: number,
    readonly range: number,
  ) {
    this.buckets = Math.ceil(range / step) + 2;
    this.ids = new Float64Array(this.buckets).fill(-1);
  }

  get metrics(): string[] {
    return [...this.columns.keys()];
  }

  /** Adds a live reading. Until history is there it waits. */
  add(time: number, names: readonly string[], values: readonly number[]): void {
    if (this.loaded) {
      this.put(time, names, values);
      return;
    }
    if (this.waiting.length < maxWaiting) this.waiting.push({ time, names, values });
  }

  /** Puts history in the place of everything, then what came live after it. */
  load(h: History): void {
    this.ids.fill(-1);
    this.columns.clear();
    for (const [name, averages] of Object.entries(h.average)) {
      for (const [i, average] of averages.entries()) {
        const time = h.times[i];
        const count = i === h.times.length - 1 ? (h.lastCount[name] ?? 1) : 1;
        if (time === undefined || average === null) continue;
        this.bucket(time, name, average * count, count);
      }
    }
    this.newest = h.until;
    this.loaded = true;
    const waiting = this.waiting;
    this.waiting = [];
    for (const s of waiting) if (s.time > h.until) this.put(s.time, s.names, s.values);
    this.version++;
  }

  /** The time of the first reading that waits for history; NaN if none does. */
  firstWaiting(): number {
    return this.waiting[0]?.time ?? NaN;
  }

  /** History is asked for again: keeps what comes in the meantime. */
  reload(): void {
    this.loaded = false;
  }

  /**
   * Fills times (in seconds) and values of a metric from start to end, both in
   * milliseconds. undefined is a step without a sample that a line may cross; null one
   * that is a gap, because the source was silent for longer than is its way.
   */
  read(metric: string, start: number, end: number, times: number[], values: (number | null | undefined)[]): void {
    const column = this.columns.get(metric);
    const first = Math.floor(start / this.step);
    const last = Math.floor(end / this.step);
    times.length = values.length = 0;
    const bridged = this.usualDistance(column, first, last) * 2.5;
    let before = -Infinity;
    for (let id = first; id <= last; id++) {
      const slot = id % this.buckets;
      const n = column && this.ids[slot] === id ? (column.count[slot] ?? 0) : 0;
      times.push((id * this.step) / 1000);
      values.push(n > 0 ? (column?.sum[slot] ?? 0) / n : undefined);
      if (n === 0) continue;
      const from = values.length - (id - before);
      if (id - before > Math.max(2, bridged)) values.fill(null, Math.max(0, from), values.length - 1);
      before = id;
    }
  }

  private put(time: number, names: readonly string[], values: readonly number[]): void {
    for (const [i, name] of names.entries()) {
      const value = values[i];
      if (value !== undefined) this.bucket(time, name, value, 1);
    }
    this.newest = Math.max(this.newest, time);
    this.version++;
  }

  private bucket(time: number, name: string, sum: number, count: number): void {
    const id = Math.floor(time / this.step);
    const slot = id % this.buckets;
    const old = this.ids[slot] ?? -1;
    if (id < old) return; // from before the window
    if (id > old) {
      this.ids[slot] = id;
      for (const c of this.columns.values()) c.count[slot] = c.sum[slot] = 0;
    }
    let column = this.columns.get(name);
    if (!column) {
      column = { sum: new Float64Array(this.buckets), count: new Uint32Array(this.buckets) };
      this.columns.set(name, column);
    }
    column.sum[slot] = (column.sum[slot] ?? 0) + sum;
    column.count[slot] = (column.count[slot] ?? 0) + count;
  }

  /** The median distance, in steps, between steps that have samples. */
  private usualDistance(column: Column | undefined, first: number, last: number): number {
    const distances: number[] = [];
    let before = NaN;
    for (let id = last; id >= first && distances.length < 60; id--) {
      const slot = id % this.buckets;
      if (!column || this.ids[slot] !== id || column.count[slot] === 0) continue;
      if (!Number.isNaN(before)) distances.push(before - id);
      before = id;
    }
    distances.sort((a, b) => a - b);
    return distances[distances.length >> 1] ?? 1;
  }
}
