import { describe, expect, test, vi } from "vitest";

import { condition, holdsMemory, memoryTotal, summarise } from "./condition";
import { Fleet } from "./fleet";
import { reading } from "../../test/readings";

describe("Fleet", () => {
  test("holds the newest value of each metric, and nothing for what was not told", () => {
    const fleet = new Fleet();
    fleet.apply(reading("g1", { "gpu.util": 0.5, "gpu.temp": 41 }, 1000), 1001, "gpu.h.g1");
    fleet.apply(reading("g2", { "gpu.util": 0 }, 1000), 1002, "gpu.h.g2");
    fleet.apply(reading("g1", { "gpu.util": 0.25 }, 2000), 2001, "gpu.h.g1");
    fleet.apply(reading("g1", { "gpu.util": 0.9 }, 1500), 2002, "gpu.h.g1");
    expect(fleet.value("gpu.util", 0)).toBe(0.25);
    expect(fleet.value("gpu.temp", 0)).toBe(41);
    expect(fleet.value("gpu.util", 1)).toBe(0);
    expect(fleet.value("gpu.temp", 1)).toBeNaN();
    expect(fleet.value("gpu.power", 0)).toBeNaN();
    expect(fleet.heard(0)).toBe(2002);
    expect(fleet.measured(0)).toBe(2000);
  });

  test("grows beyond its first size and keeps what it has", () => {
    const fleet = new Fleet();
    for (let i = 0; i < 300; i++) fleet.apply(reading(`g${i}`, { "gpu.temp": i }), i + 1, "t");
    expect(fleet.gpus).toHaveLength(300);
    for (let i = 0; i < 300; i++) expect(fleet.value("gpu.temp", i)).toBe(i);
    expect(fleet.heard(299)).toBe(300);
  });

  test("tells of GPUs, metrics and labels, and not of values", () => {
    const fleet = new Fleet();
    const told = vi.fn();
    const stop = fleet.subscribe(told);
    fleet.apply(reading("g1", { "gpu.temp": 1 }, 1), 1, "t");
    expect(told).toHaveBeenCalledTimes(2);
    const version = fleet.version;
    fleet.apply(reading("g1", { "gpu.temp": 2 }, 2), 2, "t");
    expect(told).toHaveBeenCalledTimes(2);
    expect(fleet.version).toBeGreaterThan(version);
    fleet.apply({ ...reading("g1", {}, 3), labels: { pod: "train" } }, 3, "t");
    expect(told).toHaveBeenCalledTimes(3);
    expect(fleet.gpus[0]?.labels).toEqual({ pod: "train" });
    stop();
    fleet.apply(reading("g2", {}, 1), 1, "t");
    expect(told).toHaveBeenCalledTimes(3);
  });

  test("metrics that come one by one are all kept, each with its own age", () => {
    const fleet = new Fleet();
    fleet.apply(reading("g", { "gpu.temp": 40 }, 2000), 1, "t");
    fleet.apply(reading("g", { "gpu.util": 0.5 }, 1000), 1, "t");
    expect(fleet.value("gpu.util", 0)).toBe(0.5);
    expect(fleet.series).toBe(2);
    fleet.apply(reading("h", { "gpu.util": 1 }, 1000), 1, "t");
    fleet.stored("h", "gpu.temp", "celsius", 30, 900);
    fleet.stored("h", "gpu.util", "ratio", 0, 900);
    expect(fleet.value("gpu.temp", 1)).toBe(30);
    expect(fleet.value("gpu.util", 1)).toBe(1);
    expect(fleet.series).toBe(4);
    expect([fleet.unit("gpu.temp"), fleet.unit("gpu.power"), fleet.unit("x")]).toEqual(["celsius", "watts", ""]);
  });

  test("what REST remembers never overwrites what is live", () => {
    const fleet = new Fleet();
    fleet.list({ id: "old", host: "h", model: "M", labels: {} }, 5000);
    fleet.stored("old", "gpu.temp", "celsius", 40, 4000);
    fleet.apply(reading("new", { "gpu.temp": 50 }, 9000), 9000, "t");
    fleet.list({ id: "new", host: "h", model: "M", labels: { index: "0" } }, 1);
    fleet.stored("new", "gpu.temp", "celsius", 1, 1);
    fleet.stored("never", "gpu.temp", "celsius", 1, 1);
    expect(fleet.value("gpu.temp", 0)).toBe(40);
    expect(fleet.heard(0)).toBe(5000);
    expect(fleet.value("gpu.temp", 1)).toBe(50);
    expect(fleet.heard(1)).toBe(9000);
    expect(fleet.gpus).toHaveLength(2);
  });
});

describe("conditions", () => {
  const now = 100_000;
  function at(metrics: Record<string, number>, heard = now) {
    const fleet = new Fleet();
    fleet.apply(reading("g", metrics, heard), heard, "t");
    return fleet;
  }
  test.each([
    ["busy", at({ "gpu.util": 0.05, "gpu.temp": 60 })],
    ["idle", at({ "gpu.util": 0.049 })],
    ["hot", at({ "gpu.util": 1, "gpu.temp": 85 })],
    ["quiet", at({ "gpu.util": 1, "gpu.temp": 90 }, now - 15_001)],
    ["unknown", at({ "gpu.temp": 40 })],
  ])("%s", (expected, fleet) => {
    expect(condition(fleet, 0, now)).toBe(expected);
  });

  test("memory that is held for nothing", () => {
    expect(holdsMemory(at({ "gpu.util": 0, "gpu.mem.used": 2 ** 31 }), 0)).toBe(true);
    expect(holdsMemory(at({ "gpu.util": 0, "gpu.mem.used": 2 ** 20 }), 0)).toBe(false);
    expect(holdsMemory(at({ "gpu.mem.used": 2 ** 31 }), 0)).toBe(false);
    expect(memoryTotal(at({ "gpu.mem.used": 3, "gpu.mem.free": 5 }), 0)).toBe(8);
    expect(memoryTotal(at({ "gpu.mem.used": 3, "gpu.mem.free": 5, "gpu.mem.total": 9 }), 0)).toBe(9);
    expect(memoryTotal(at({ "gpu.mem.used": 3 }), 0)).toBeNaN();
  });

  test("a summary adds what is told and leaves out who is quiet", () => {
    const fleet = at({ "gpu.util": 1, "gpu.power": 300 });
    fleet.apply({ ...reading("b", { "gpu.util": 0, "gpu.mem.used": 2 ** 31 }, now), host: "other" }, now, "t");
    fleet.apply(reading("c", { "gpu.util": 1, "gpu.power": 500 }, 1), 1, "t");
    expect(summarise(fleet, now)).toMatchObject({
      gpus: 3, hosts: 2, busy: 1, idle: 1, quiet: 1, hot: 0, holding: 1, power: 300, memoryUsed: 2 ** 31, memoryTotal: NaN,
    });
    expect(summarise(fleet, now, [2])).toMatchObject({ gpus: 1, quiet: 1, power: NaN });
  });
});
