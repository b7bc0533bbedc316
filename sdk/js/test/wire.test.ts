import { readFileSync } from "node:fs";

import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";

import { Fault } from "../src/codes.js";
import { FrameSchema } from "../src/gen/frame_pb.js";
import { decodeBinary, decodeJSON, encodeFrame } from "../src/wire.js";

interface Vectors {
  good: { name: string; direction: string; json: unknown; hex: string }[];
  bad: { name: string; hex: string; code: number }[];
}

const vectors = JSON.parse(
  readFileSync(new URL("../../wire/testdata/vectors.json", import.meta.url), "utf8"),
) as Vectors;

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

describe("golden vectors", () => {
  test.each(vectors.good)("$name", ({ json, hex }) => {
    const frame = decodeBinary(bytes(hex));
    expect(toJson(FrameSchema, frame)).toEqual(json);
    expect(decodeJSON(JSON.stringify(json))).toEqual(frame);
    // Maps have no order, and so a frame with several headers no single encoding.
    expect(fromBinary(FrameSchema, toBinary(FrameSchema, frame))).toEqual(frame);
    expect(Buffer.from(toBinary(FrameSchema, frame)).toString("hex")).toBe(hex);
  });

  test.each(vectors.bad)("refused: $name", ({ hex, code }) => {
    try {
      decodeBinary(bytes(hex));
    } catch (err) {
      expect(err).toBeInstanceOf(Fault);
      expect((err as Fault).code).toBe(code);
      return;
    }
    expect.unreachable("it was decoded");
  });
});

test("a frame of a newer hub keeps the fields that are known here", () => {
  expect(decodeJSON('{"ping":{"nonce":"1","newer":true}}').kind.value).toMatchObject({ nonce: 1n });
  expect(() => decodeJSON('{"newer":{}}')).toThrow("bad frame");
  expect(() => decodeJSON("{")).toThrow("protocol fault");
});

test("both subprotocols carry the same frame", () => {
  const kind = { case: "subscribe", value: { request: 7n, filter: "gpu.>", conflateMs: 250, sendLast: true } } as const;
  const binary = decodeBinary(encodeFrame(kind, false) as Uint8Array);
  const text = decodeJSON(encodeFrame(kind, true) as string);
  expect(binary).toEqual(text);
  expect(binary.kind.value).toMatchObject({ filter: "gpu.>", conflateMs: 250 });
});
