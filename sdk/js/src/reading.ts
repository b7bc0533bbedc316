/**
 * The payload of a telemetry message: one reading of one GPU. Values travel as their
 * source measured them, and the catalogue tells how they become canonical.
 */
import { fromBinary } from "@bufbuild/protobuf";

import { catalogue } from "./catalogue.gen.js";
import type { Descriptor, Kind } from "./catalogue.gen.js";
import { ReadingPayloadSchema } from "./gen/reading_pb.js";
import type { DescriptorPayload } from "./gen/reading_pb.js";

/** One row of telemetry. Metrics that were not measured are absent, never zero. */
export interface Reading {
  /** Milliseconds since 1970, with fractions. */
  time: number;
  host: string;
  gpu: string;
  labels: Record<string, string>;
  /** metrics[i] says what values[i] is; the value is in the canonical unit. */
  metrics: Descriptor[];
  values: number[];
  /** Each sample's own time less the reading's, in milliseconds; empty if all are zero. */
  offsets: number[];
}

const byNumber: (Descriptor | undefined)[] = [];
const byName = new Map<string, Descriptor>();
for (const d of catalogue) {
  byNumber[d.number] = d;
  if (!byName.has(d.source)) byName.set(d.source, d);
}

/** Decodes a payload in either of its forms. Throws an Error that says what is wrong. */
export function decodeReading(payload: Uint8Array): Reading {
  return payload[0] === 0x7b ? decodeText(payload) : decodeBinary(payload);
}

function decodeBinary(payload: Uint8Array): Reading {
  const p = fromBinary(ReadingPayloadSchema, payload, { readUnknownFields: false });
  if (p.host === "" || p.gpu === "") throw new Error("a reading without host or GPU");
  if (p.descriptor.length !== p.value.length) {
    throw new Error(`a reading of ${p.value.length} values and ${p.descriptor.length} descriptors`);
  }
  const metrics: Descriptor[] = [];
  const values: number[] = [];
  const offsets: number[] = [];
  let extra = 0;
  for (const [i, number] of p.descriptor.entries()) {
    const custom = number === 0 ? p.extra[extra++] : undefined;
    const d = custom ? fromPayload(custom) : byNumber[number];
    const sent = p.value[i];
    // A newer sender's metric is not shown rather than shown wrong.
    if (!d || sent === undefined || !Number.isFinite(sent)) continue;
    metrics.push(d);
    values.push(canonical(d, sent));
    if (p.offsetNano.length > 0) offsets.push(Number(p.offsetNano[i] ?? 0n) / 1e6);
  }
  const { host, gpu, labels } = p;
  return { time: Number(p.timeUnixNano) / 1e6, host, gpu, labels, metrics, values, offsets };
}

/** A value as sent, in the canonical unit. The same operations in the same order as the hub's side. */
export function canonical(d: Descriptor, sent: number): number {
  return d.mul === d.div ? sent : (sent * d.mul) / d.div;
}

function fromPayload(p: DescriptorPayload): Descriptor {
  const { name, unit, source, sourceUnit } = p;
  return { number: 0, name, unit, kind: kindOf(p.kind), source, sourceUnit, mul: p.mul || 1, div: p.div || 1 };
}

function kindOf(kind: string): Kind {
  return kind === "counter" || kind === "event" ? kind : "gauge";
}

const text = new TextDecoder();

/** {"time", "host", "gpu", "labels": {…}, "metrics": {name: number}, "times": {name: time}} */
function decodeText(payload: Uint8Array): Reading {
  const raw: unknown = JSON.parse(text.decode(payload));
  if (!isObject(raw)) throw new Error("a reading that is no object");
  const { time, host, gpu, labels, metrics, times } = raw;
  const at = typeof time === "string" ? Date.parse(time) : NaN;
  if (typeof host !== "string" || typeof gpu !== "string" || host === "" || gpu === "") {
    throw new Error("a reading without host or GPU");
  }
  if (Number.isNaN(at)) throw new Error(`a reading with the time ${JSON.stringify(time)}`);
  const out: Reading = { time: at, host, gpu, labels: {}, metrics: [], values: [], offsets: [] };
  for (const [name, value] of Object.entries(isObject(labels) ? labels : {})) {
    if (typeof value === "string") out.labels[name] = value;
  }
  for (const [name, value] of Object.entries(isObject(metrics) ? metrics : {})) {
    if (typeof value !== "number") continue;
    const d = lookup(name) ?? custom(name);
    out.metrics.push(d);
    out.values.push(canonical(d, value));
    const own = isObject(times) ? times[name] : undefined;
    if (isObject(times)) out.offsets.push(typeof own === "string" ? Date.parse(own) - at : 0);
  }
  return out;
}

/** The descriptor of a canonical or a source's name; nvidia-smi writes the unit behind it. */
function lookup(name: string): Descriptor | undefined {
  return byName.get(name) ?? byName.get(name.replace(/ \[.*/u, ""));
}

function custom(source: string): Descriptor {
  const word = source.replace(/[A-Z]/gu, (c) => c.toLowerCase()).replace(/_?[^a-z0-9._]+/gu, "_");
  const name = word.replace(/^_+|_+$/gu, "") || "unnamed";
  return { number: 0, name, unit: "", kind: "gauge", source, sourceUnit: "", mul: 1, div: 1 };
}

function isObject(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}
