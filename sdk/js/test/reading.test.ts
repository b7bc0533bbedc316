import { readFileSync } from "node:fs";

import { create, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";

import { catalogue } from "../src/catalogue.gen.js";
import { ReadingPayloadSchema } from "../src/gen/reading_pb.js";
import { decodeReading } from "../src/reading.js";
import type { Reading } from "../src/reading.js";

interface ReadingJSON {
  time: string;
  host: string;
  gpu: string;
  labels: Record<string, string>;
  metrics: Record<string, number>;
  times?: Record<string, string>;
}

const vectors = JSON.parse(
  readFileSync(new URL("../../telemetry/testdata/readings.json", import.meta.url), "utf8"),
) as { name: string; hex: string; json: ReadingJSON; source_json: ReadingJSON }[];

const named = (r: Reading) => Object.fromEntries(r.metrics.map((m, i) => [m.name, r.values[i]]));

describe("golden vectors", () => {
  test.each(vectors)("$name", ({ hex, json }) => {
    const r = decodeReading(new Uint8Array(Buffer.from(hex, "hex")));
    expect(r).toMatchObject({ host: json.host, gpu: json.gpu, labels: json.labels });
    expect(named(r)).toEqual(json.metrics);
    // Dates end at milliseconds.
    expect(Math.floor(r.time)).toBe(Date.parse(json.time));
    for (const [i, offset] of r.offsets.entries()) {
      expect(Date.parse(json.times?.[r.metrics[i]?.name ?? ""] ?? "")).toBe(Math.floor(r.time + offset));
    }
  });

  test.each(vectors.filter((v) => v.name !== "custom"))("$name as text", ({ hex, json, source_json: sent }) => {
    const binary = decodeReading(new Uint8Array(Buffer.from(hex, "hex")));
    for (const form of [json, sent]) {
      const r = decodeReading(new TextEncoder().encode(JSON.stringify(form)));
      expect({ ...r, time: Math.floor(r.time), values: [], metrics: [], offsets: [] }).toEqual({
        ...binary, time: Math.floor(binary.time), values: [], metrics: [], offsets: [],
      });
      expect(named(r)).toEqual(json.metrics);
    }
  });
});

test("the catalogue's numbers are places", () => {
  expect(catalogue.length).toBeGreaterThan(50);
  for (const [i, d] of catalogue.entries()) expect(d.number).toBe(i + 1);
});

test("names of any kind are found, and others kept", () => {
  const metrics = { "utilization.gpu [%]": 50, "My Counter (total)": 3, skipped: null };
  const body = JSON.stringify({ time: "2026-01-01T00:00:00Z", host: "h", gpu: "g", metrics });
  expect(named(decodeReading(new TextEncoder().encode(body)))).toEqual({ "gpu.util": 0.5, my_counter_total: 3 });
});

test("what is no reading is refused, and what is not known is left out", () => {
  const f = (p: MessageInitShape<typeof ReadingPayloadSchema>) =>
    decodeReading(toBinary(ReadingPayloadSchema, create(ReadingPayloadSchema, { host: "h", gpu: "g", ...p })));
  expect(() => decodeReading(new Uint8Array([0xff]))).toThrow();
  expect(() => decodeReading(new TextEncoder().encode("{"))).toThrow();
  expect(() => decodeReading(new TextEncoder().encode('{"host":"h","gpu":"g"}'))).toThrow("time");
  expect(() => f({ host: "" })).toThrow("host");
  expect(() => f({ descriptor: [1] })).toThrow("0 values and 1 descriptors");
  expect(f({ descriptor: [1_000_000, 1, 1], value: [5, NaN, 29] }).values).toEqual([0.29]);
});
