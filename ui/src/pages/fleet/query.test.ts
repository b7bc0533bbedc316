import { expect, test } from "vitest";

import { Fleet } from "../../live/fleet";
import { reading } from "../../../test/readings";
import { sortPlaces } from "./FleetTable";
import { byHost, readQuery, select, writeQuery } from "./query";

const now = 100_000;

function fleet() {
  const f = new Fleet();
  const add = (id: string, host: string, index: string, metrics: Record<string, number>, heard = now, labels = {}) =>
    f.apply({ ...reading(id, metrics, heard), host, labels: { index, model: "NVIDIA H100", ...labels } }, heard, "t");
  add("a", "node-10", "0", { "gpu.util": 0.9, "gpu.power": 500 });
  add("b", "node-2", "10", { "gpu.util": 0, "gpu.mem.used": 2 ** 34, "gpu.power": 100 });
  add("c", "node-2", "9", { "gpu.util": 0.5, "gpu.temp": 90 }, now, { pod: "train-llm" });
  add("d", "node-2", "1", { "gpu.util": 1, "gpu.power": 300 }, 1);
  return f;
}

test("the address tells the view, and leaves out what is usual", () => {
  expect(writeQuery(readQuery(new URLSearchParams(""))).toString()).toBe("");
  const address = "metric=gpu.temp&view=table&q=node-2&state=hot&sort=-gpu.power";
  expect(writeQuery(readQuery(new URLSearchParams(address))).toString()).toBe(address);
  expect(readQuery(new URLSearchParams("state=nonsense&view=nonsense"))).toMatchObject({ state: "", view: "tiles" });
});

test("search words must all be somewhere; numbers in names count as numbers", () => {
  const f = fleet();
  const ids = (search: string) => select(f, { search, state: "" }, now).map((p) => f.gpus[p]?.id);
  expect(ids("")).toEqual(["d", "c", "b", "a"]);
  expect(ids("H100 node-2")).toEqual(["d", "c", "b"]);
  expect(ids("train")).toEqual(["c"]);
  expect(ids("nothing")).toEqual([]);
  expect(byHost(f, select(f, { search: "", state: "" }, now)).map((g) => [g.name, g.places.length])).toEqual([["node-2", 3], ["node-10", 1]]);
});

test("states", () => {
  const f = fleet();
  const ids = (state: "busy" | "idle" | "hot" | "quiet" | "holding") => select(f, { search: "", state }, now).map((p) => f.gpus[p]?.id);
  expect(ids("busy")).toEqual(["c", "a"]);
  expect(ids("idle")).toEqual(["b"]);
  expect(ids("holding")).toEqual(["b"]);
  expect(ids("hot")).toEqual(["c"]);
  expect(ids("quiet")).toEqual(["d"]);
});

test("rows sort by value, and those without one come last", () => {
  const f = fleet();
  const ids = (sort: string, descending: boolean) => sortPlaces(f, [0, 1, 2, 3], sort, descending, now).map((p) => f.gpus[p]?.id);
  expect(ids("gpu.power", true)).toEqual(["a", "d", "b", "c"]);
  expect(ids("gpu.power", false)).toEqual(["b", "d", "a", "c"]);
  expect(ids("host", true)).toEqual(["a", "d", "c", "b"]);
  expect(ids("heard", true)[0]).toBe("d");
});
