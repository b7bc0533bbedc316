import { describe, expect, test } from "vitest";

import { Timeline } from "./timeline";
import type { History } from "./timeline";

const step = 1000;

function history(values: (number | null)[], until: number, lastCount = 1): History {
  return { times: values.map((_, i) => i * step), average: { m: values }, lastCount: { m: lastCount }, until };
}

function read(t: Timeline, start: number, end: number) {
  const times: number[] = [];
  const values: (number | null | undefined)[] = [];
  t.read("m", start, end, times, values);
  return { times, values };
}

describe("Timeline", () => {
  test("goes on live where history ends, and counts nothing twice", () => {
    const t = new Timeline(step, 10_000);
    t.add(2400, ["m"], [99]);
    t.add(2600, ["m"], [8]);
    t.load(history([1, 2, 4], 2500, 3));
    t.add(3000, ["m"], [5]);
    expect(read(t, 0, 3000)).toEqual({ times: [0, 1, 2, 3], values: [1, 2, (4 * 3 + 8) / 4, 5] });
    expect(t.newest).toBe(3000);
  });

  test("the old gives way to the new", () => {
    const t = new Timeline(step, 3000);
    t.load(history([1, 2, 3], 2000));
    for (let s = 3; s < 12; s++) t.add(s * step, ["m"], [s]);
    t.add(1000, ["m"], [77]);
    expect(read(t, 8000, 11_000).values).toEqual([8, 9, 10, 11]);
    expect(read(t, 0, 2000).values).toEqual([undefined, undefined, undefined]);
  });

  test("silence that is usual is crossed, and silence that is not is a gap", () => {
    const t = new Timeline(step, 60_000);
    const every = (n: number, from: number, to: number) => {
      for (let s = from; s <= to; s += n) t.add(s * step, ["m"], [s]);
    };
    t.load(history([], 0));
    every(3, 3, 30);
    every(3, 42, 45);
    const { values } = read(t, 3000, 45_000);
    expect(values[1]).toBeUndefined();
    expect(values[2]).toBeUndefined();
    expect(values.slice(28, 39).every((v) => v === null)).toBe(true);
    expect(values.at(-1)).toBe(45);
  });

  test("loading again takes the place of everything but what came meanwhile", () => {
    const t = new Timeline(step, 10_000);
    t.load(history([1], 500));
    t.add(1000, ["m"], [9]);
    t.reload();
    t.add(5000, ["m"], [5]);
    expect(t.firstWaiting()).toBe(5000);
    t.load(history([1, 2, 3, 4], 3500));
    expect(read(t, 0, 5000).values).toEqual([1, 2, 3, 4, undefined, 5]);
  });

  test("a metric that nobody told has no values", () => {
    const t = new Timeline(step, 2000);
    t.load(history([1], 500));
    const values: (number | null | undefined)[] = [7];
    t.read("other", 0, 2000, [], values);
    expect(values).toEqual([undefined, undefined, undefined]);
  });
});
