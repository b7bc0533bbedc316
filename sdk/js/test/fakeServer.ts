/** A hub without a network: it records what clients send, and says what a test tells it. */
import { create } from "@bufbuild/protobuf";

import { WelcomeSchema } from "../src/gen/frame_pb.js";
import type { Frame } from "../src/gen/frame_pb.js";
import type { Socket } from "../src/link.js";
import { ProtocolJSON, decodeBinary, decodeJSON, encodeFrame } from "../src/wire.js";
import type { Kind } from "../src/wire.js";

type Known = Exclude<Frame["kind"], { case: undefined }>;
type Values = { [K in Known as K["case"]]: K["value"] };

/** One end of a connection, as the hub sees it. */
export class Connection {
  readonly frames: Frame[] = [];
  closed: { code: number; reason: string } | undefined;

  constructor(
    readonly socket: FakeSocket,
    readonly protocol: string,
  ) {}

  /** The frames of one kind, in their order. */
  sent<C extends Known["case"]>(kind: C): Values[C][] {
    return this.frames.filter((f) => f.kind.case === kind).map((f) => f.kind.value as Values[C]);
  }

  say(kind: Kind): void {
    const data = encodeFrame(kind, this.protocol === ProtocolJSON);
    this.raw(typeof data === "string" ? data : data.buffer);
  }

  raw(data: string | ArrayBuffer): void {
    this.socket.onmessage?.({ data } as MessageEvent);
  }

  /** Ends the connection from the hub's side; 1006 is one that broke. */
  end(code: number, reason = ""): void {
    this.closed = { code, reason };
    this.socket.onclose?.({ code, reason } as CloseEvent);
  }
}

export interface HubOptions {
  /** Fields of Welcome that differ from an ordinary hub's; null: the hub never says Welcome. */
  welcome?: { pingIntervalMs?: number; maxUnacked?: number; maxFrameBytes?: number } | null;
  /** Connections are refused until this is false. */
  down?: boolean;
}

export class FakeHub {
  readonly connections: Connection[] = [];
  attempts = 0;

  constructor(readonly options: HubOptions = {}) {}

  /** The constructor that a client takes for the browser's WebSocket. */
  get socket(): new (url: string, protocols: string[]) => Socket {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const hub = this;
    return class extends FakeSocket {
      constructor(_url: string, protocols: string[]) {
        super(protocols[0] ?? "", hub);
      }
    };
  }

  /** The newest connection. */
  get last(): Connection {
    const c = this.connections.at(-1);
    if (!c) throw new Error("nobody is connected");
    return c;
  }

  opened(connection: Connection): void {
    this.connections.push(connection);
  }

  received(connection: Connection, frame: Frame): void {
    connection.frames.push(frame);
    if (frame.kind.case !== "connect" || this.options.welcome === null) return;
    const value = create(WelcomeSchema, {
      server: "fake", version: "1", epoch: "e-1", maxFrameBytes: 1 << 20, maxMessageBytes: 1 << 18,
      maxUnacked: 8192, pingIntervalMs: 20_000, connection: BigInt(this.connections.length), ...this.options.welcome,
    });
    connection.say({ case: "welcome", value });
  }
}

class FakeSocket implements Socket {
  binaryType: BinaryType = "blob";
  bufferedAmount = 0;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  private readonly end: Connection;

  constructor(
    readonly protocol: string,
    private readonly hub: FakeHub,
  ) {
    this.end = new Connection(this, protocol);
    hub.attempts++;
    queueMicrotask(() => {
      if (hub.options.down) {
        this.end.end(1006);
        return;
      }
      hub.opened(this.end);
      this.onopen?.(new Event("open"));
    });
  }

  send(data: string | Uint8Array): void {
    const frame = typeof data === "string" ? decodeJSON(data) : decodeBinary(data);
    // A network answers later, never inside the call.
    queueMicrotask(() => {
      this.hub.received(this.end, frame);
    });
  }

  close(code = 1000, reason = ""): void {
    this.end.closed ??= { code, reason };
  }
}
