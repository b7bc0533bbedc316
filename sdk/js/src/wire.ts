/**
 * Frames as bytes and as JSON. The generated code in gen/ knows the fields; this
 * file tells what is no frame, in the hub's own codes.
 */
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import type { JsonValue, MessageInitShape } from "@bufbuild/protobuf";

import { Code, Fault } from "./codes.js";
import { FrameSchema } from "./gen/frame_pb.js";
import type { Frame } from "./gen/frame_pb.js";

export const ProtocolBinary = "gpupulse.v1";
export const ProtocolJSON = "gpupulse.v1.json";

/** What a frame is made of: the kind's name and its fields. */
export type Kind = NonNullable<Exclude<MessageInitShape<typeof FrameSchema>["kind"], { case: undefined }>>;

/** Encodes a frame for the subprotocol: bytes for the binary one, text for JSON. */
export function encodeFrame(kind: Kind, json: boolean): Uint8Array<ArrayBuffer> | string {
  const frame = create(FrameSchema, { kind });
  if (json) return JSON.stringify(toJson(FrameSchema, frame));
  return toBinary(FrameSchema, frame);
}

/** Decodes a frame of the binary subprotocol. Throws a Fault. */
export function decodeBinary(bytes: Uint8Array): Frame {
  return known(() => fromBinary(FrameSchema, bytes, { readUnknownFields: false }));
}

/** Decodes a frame of the JSON subprotocol. Throws a Fault. */
export function decodeJSON(text: string): Frame {
  return known(() => fromJson(FrameSchema, JSON.parse(text) as JsonValue, { ignoreUnknownFields: true }));
}

function known(decode: () => Frame): Frame {
  let frame: Frame;
  try {
    frame = decode();
  } catch (err) {
    throw new Fault(Code.ProtocolFault, `not a frame: ${err instanceof Error ? err.message : String(err)}`);
  }
  if (frame.kind.case === undefined) {
    throw new Fault(Code.BadFrame, "a frame of no kind that is known here");
  }
  return frame;
}
