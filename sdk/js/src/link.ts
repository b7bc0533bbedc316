/**
 * One connection from its opening to its end: Connect and Welcome, frames both ways,
 * and the heartbeat that finds out when the other end is gone without a word.
 * What to do about an end is client.ts' to decide.
 */
import { Code, Fault } from "./codes.js";
import type { Connect, Frame, Welcome } from "./gen/frame_pb.js";
import { ProtocolBinary, ProtocolJSON, decodeBinary, decodeJSON, encodeFrame } from "./wire.js";
import type { Kind } from "./wire.js";

/** The part of the browser's WebSocket that is used here. */
export interface Socket {
  binaryType: BinaryType;
  readonly protocol: string;
  readonly bufferedAmount: number;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: Event) => unknown) | null;
  onmessage: ((event: MessageEvent) => unknown) | null;
  onclose: ((event: CloseEvent) => unknown) | null;
  onerror: ((event: Event) => unknown) | null;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

export interface LinkOptions {
  url: string;
  socket: SocketConstructor;
  json: boolean;
  connect: Pick<Connect, "token" | "name" | "publisher" | "agent">;
  /** Time to open and to be welcomed, in milliseconds. */
  openTimeout: number;
}

/** What a link tells its owner. Nothing more comes after ended. */
export interface LinkOwner {
  welcomed(welcome: Welcome): void;
  received(frame: Frame): void;
  /** retryAfter in milliseconds is the hub's hint, 0 without one. */
  ended(fault: Fault, retryAfter: number): void;
}

/** Where the hub names no interval: sdk/wire/limits.go. */
const defaultPingInterval = 20_000;

/** Normal closure of RFC 6455; browsers let pages send only this one and 3000 to 4999. */
const normalClosure = 1000;

export class Link {
  private readonly socket: Socket;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private interval = defaultPingInterval;
  private heard = Date.now();
  private nonce = 0n;
  private retryAfter = 0;
  private over = false;

  constructor(
    private readonly options: LinkOptions,
    private readonly owner: LinkOwner,
  ) {
    const protocol = options.json ? ProtocolJSON : ProtocolBinary;
    this.socket = new options.socket(options.url, [protocol]);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.send({ case: "connect", value: options.connect });
    };
    this.socket.onmessage = (event) => {
      this.take(event.data);
    };
    this.socket.onclose = (event) => {
      this.end(new Fault(event.code, event.reason));
    };
    // A browser says why nowhere but in its console; onclose follows.
    this.socket.onerror = null;
    this.timer = setTimeout(() => {
      this.fail(new Fault(Code.IdleTimeout, `no Welcome within ${options.openTimeout} ms`));
    }, options.openTimeout);
  }

  /** Sends a frame. What is sent after the end is lost, as it would be in the network. */
  send(kind: Kind): void {
    if (!this.over) this.write(encodeFrame(kind, this.options.json));
  }

  write(encoded: string | Uint8Array<ArrayBuffer>): void {
    if (!this.over) this.socket.send(encoded);
  }

  /** Bytes that the network has not taken yet. */
  get buffered(): number {
    return this.socket.bufferedAmount;
  }

  /** Closes without telling the owner. */
  close(): void {
    this.stop();
    this.socket.close(normalClosure);
  }

  private take(data: unknown): void {
    if (this.over) return;
    this.heard = Date.now();
    let frame: Frame;
    try {
      frame = typeof data === "string" ? decodeJSON(data) : decodeBinary(new Uint8Array(data as ArrayBuffer));
    } catch (err) {
      // A kind that only a newer hub knows does no harm.
      if (err instanceof Fault && err.code === Code.BadFrame) return;
      this.fail(err instanceof Fault ? err : new Fault(Code.ProtocolFault, String(err)));
      return;
    }
    this.dispatch(frame);
  }

  private dispatch(frame: Frame): void {
    switch (frame.kind.case) {
      case "welcome":
        this.interval = frame.kind.value.pingIntervalMs || defaultPingInterval;
        this.beat();
        this.owner.welcomed(frame.kind.value);
        return;
      case "ping":
        this.send({ case: "pong", value: { nonce: frame.kind.value.nonce } });
        return;
      case "pong":
        return;
      case "goAway":
        this.retryAfter = frame.kind.value.retryAfterMs;
        return;
      default:
        this.owner.received(frame);
    }
  }

  /** Looks twice an interval whether anything was heard. */
  private beat(): void {
    clearTimeout(this.timer);
    const due = Date.now() + this.interval / 2;
    this.timer = setTimeout(() => {
      const now = Date.now();
      // A page that was asleep has heard nothing through its own fault: ask first.
      if (now - due > this.interval) this.heard = Math.max(this.heard, now - this.interval);
      const silent = now - this.heard;
      if (silent > 2 * this.interval) {
        this.fail(new Fault(Code.IdleTimeout, `nothing heard for ${Math.round(silent / 1000)} s`));
        return;
      }
      if (silent >= this.interval) this.send({ case: "ping", value: { nonce: ++this.nonce } });
      this.beat();
    }, this.interval / 2);
  }

  /** Ends the connection from this side. */
  private fail(fault: Fault): void {
    if (this.over) return;
    // The socket's own close may take a minute if nobody is there to answer it.
    const close = fault.code >= 3000 ? fault.code : normalClosure;
    this.socket.close(close, fault.text.slice(0, 100));
    this.end(fault);
  }

  private end(fault: Fault): void {
    if (this.over) return;
    this.stop();
    this.owner.ended(fault, this.retryAfter);
  }

  private stop(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
  }
}
