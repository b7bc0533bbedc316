import { describe, expect, test } from "vitest";

import { Fleet } from "../live/fleet";
import { scaleIndex } from "../theme/palette";
import { reading } from "../../test/readings";
import { domainOf, niceCeiling } from "./domain";
import { layOut, tileAt, tileBeside, tileBox } from "./layout";
import type { Group } from "./layout";

const hosts = (n: number, gpus: number): Group[] =>
  Array.from({ length: n }, (_, h) => ({ name: `h${h}`, places: Array.from({ length: gpus }, (_, g) => h * gpus + g) }));

describe("layout", () => {
  test.each([
    [1, 8, 1400, 600],
    [31, 8, 1400, 600],
    [128, 8, 1400, 600],
    [1250, 8, 1400, 600],
    [31, 8, 360, 500],
    [40, 1, 1400, 600],
    [2, 100, 1400, 600],
    [3, 16, 900, 600],
  ])("%i hosts of %i on %i by %i: every tile is somewhere, inside, and on no other", (n, gpus, width, height) => {
    const l = layOut(hosts(n, gpus), width, height);
    expect(l.places).toHaveLength(n * gpus);
    const seen = new Set<string>();
    for (let i = 0; i < l.places.length; i++) {
      const b = tileBox(l, i);
      expect(b.x).toBeGreaterThanOrEqual(0);
      expect(b.x + b.width).toBeLessThanOrEqual(width);
      expect(b.y + b.height).toBeLessThanOrEqual(l.height);
      expect(tileAt(l, b.x + b.width / 2, b.y + b.height / 2)).toBe(i);
      seen.add(`${b.x} ${b.y}`);
    }
    expect(seen.size).toBe(l.places.length);
  });

  test("tiles shrink until the fleet fits, and no further than can be hit", () => {
    expect(layOut(hosts(4, 8), 1400, 600).tile).toBeGreaterThan(60);
    expect(layOut(hosts(128, 8), 1400, 600).tile).toBeLessThan(30);
    expect(layOut(hosts(5000, 8), 1400, 600).tile).toBeGreaterThanOrEqual(14);
    expect(layOut([], 1400, 600)).toMatchObject({ height: 0, places: [] });
  });

  test("arrows find the tile above and below", () => {
    const l = layOut(hosts(4, 8), 700, 600);
    const below = tileBeside(l, 3, 1);
    expect(below).toBe(11);
    expect(tileBeside(l, below, -1)).toBe(3);
    expect(tileBeside(l, 3, -1)).toBe(3);
    expect(tileBeside(l, 31, 1)).toBe(31);
    expect(tileAt(l, 5, 5)).toBe(-1);
  });
});

test("colours: ends are fixed where a unit has them, and absent has none", () => {
  const fleet = new Fleet();
  fleet.apply(reading("g", { "gpu.util": 0.2, "gpu.temp": 40, "gpu.power": 130, "gpu.mem.used": 10, "gpu.mem.free": 70 }), 1, "t");
  expect(domainOf(fleet, "gpu.util")).toEqual([0, 1]);
  expect(domainOf(fleet, "gpu.temp")).toEqual([20, 95]);
  expect(domainOf(fleet, "gpu.power")).toEqual([0, 200]);
  expect(domainOf(fleet, "gpu.mem.used")).toEqual([0, 80]);
  expect(domainOf(fleet, "nobody.tells")).toEqual([0, 1]);
  expect([0, 0.3, 7, 130, 700, 760].map(niceCeiling)).toEqual([1, 0.5, 7.5, 200, 750, 1000]);
  expect([NaN, -1, 0, 0.5, 1, 2].map((v) => scaleIndex(v, 0, 1))).toEqual([-1, 0, 0, 32, 63, 63]);
  expect(scaleIndex(1, 1, 1)).toBe(0);
});
