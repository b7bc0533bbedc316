/**
 * The client of a hub: one connection that comes back by itself, and on it any number
 * of live subscriptions and published messages. Everything runs on the caller's event
 * loop; handlers are called in the order of arrival and must not block.
 */
import { Backoff } from "./backoff.js";
import { Code, Fault, reaction } from "./codes.js";
import type { Frame, Welcome } from "./gen/frame_pb.js";
import { Link } from "./link.js";
import type { SocketConstructor } from "./link.js";
import { Publisher } from "./publisher.js";
import type { Message, Result } from "./publisher.js";
import { Subscription } from "./subscription.js";
import type { DeliveryHandler, SubscribeOptions } from "./subscription.js";

export interface ClientOptions {
  /** Shown in lists of connections. */
  name?: string;
  /** Scope of message ids; a random one per client if left out. */
  publisher?: string;
  token?: string;
  /** The JSON subprotocol instead of the binary one. */
  json?: boolean;
  /** Published, unanswered messages; 4096 if left out, never over the hub's. */
  maxUnacked?: number;
  /** Messages that may wait for a connection or the window; 16384 if left out. */
  maxWaiting?: number;
  /** Waits between attempts to connect, in milliseconds; 100 and 15000 if left out. */
  minBackoff?: number;
  maxBackoff?: number;
  /** Time to open a connection and be welcomed, in milliseconds; 10000 if left out. */
  openTimeout?: number;
  /** The browser's WebSocket if left out. */
  socket?: SocketConstructor;
  /** Numbers from 0 to below 1; Math.random if left out. */
  random?: () => number;
}

/** since is in milliseconds since 1970. */
export type State =
  /** Not connected. since is when the last connection ended, or the client was made. */
  | { kind: "connecting"; since: number; attempt: number; retryAt?: number; cause?: Fault }
  | { kind: "connected"; since: number; welcome: Welcome }
  /** For good: close was called, or the hub said that coming back will not help. */
  | { kind: "closed"; since: number; cause?: Fault };

const agent = "gpupulse-js 0.1.0";

export class Client {
  private current: State = { kind: "connecting", since: Date.now(), attempt: 1 };
  private readonly listeners = new Set<(state: State) => void>();
  private readonly subscriptions = new Map<bigint, Subscription>();
  private readonly publisher: Publisher;
  private readonly backoff: Backoff;
  private readonly publisherName: string;
  private link: Link | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private requests = 0n;

  /** Starts to connect and does not wait. url is ws://… or wss://…. */
  constructor(
    readonly url: string,
    private readonly options: ClientOptions = {},
  ) {
    const { minBackoff = 100, maxBackoff = 15_000, random = Math.random } = options;
    this.backoff = new Backoff(minBackoff, maxBackoff, random);
    this.publisherName = options.publisher ?? randomName();
    this.publisher = new Publisher({
      json: options.json ?? false,
      maxUnacked: options.maxUnacked ?? 4096,
      maxWaiting: options.maxWaiting ?? 16_384,
      retryDelay: 200,
      nextRequest: () => ++this.requests,
    });
    this.open();
  }

  get state(): State {
    return this.current;
  }

  /** Calls listener at each change of the state. Returns how to stop that. */
  onState(listener: (state: State) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Opens a live subscription, now or as soon as there is a connection. */
  subscribe(filter: string, options: SubscribeOptions, handle: DeliveryHandler): Subscription {
    const s = new Subscription(++this.requests, filter, options, handle, (gone) => {
      this.unsubscribe(gone);
    });
    if (this.current.kind === "closed") return s;
    this.subscriptions.set(s.request, s);
    if (this.current.kind === "connected") this.link?.send(s.frame());
    return s;
  }

  /** Publishes; resolves when the hub has stored or refused every message. */
  publish(...messages: Message[]): Promise<Result[]> {
    if (this.current.kind === "closed") {
      return Promise.reject(this.current.cause ?? new Fault(Code.Draining, "the client is closed"));
    }
    return this.publisher.publish(messages);
  }

  /** Tries to connect now instead of later; the network may have come back. */
  retryNow(): void {
    if (this.current.kind === "connecting" && this.timer !== undefined) this.open();
  }

  /** Ends everything. Twice is fine. */
  close(): void {
    this.stop();
  }

  private open(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { token = "", name = "", json = false, openTimeout = 10_000, socket } = this.options;
    const constructor = socket ?? globalThis.WebSocket;
    const link: Link = new Link(
      { url: this.url, socket: constructor, json, openTimeout, connect: { token, name, publisher: this.publisherName, agent } },
      {
        welcomed: (welcome) => {
          this.welcomed(link, welcome);
        },
        received: (frame) => {
          this.received(frame);
        },
        ended: (fault, retryAfter) => {
          this.ended(fault, retryAfter);
        },
      },
    );
    this.link = link;
    if (this.current.kind === "connecting") {
      const { since, attempt, cause } = this.current;
      this.become({ kind: "connecting", since, attempt, ...(cause && { cause }) });
    }
  }

  private welcomed(link: Link, welcome: Welcome): void {
    this.backoff.reset();
    this.become({ kind: "connected", since: Date.now(), welcome });
    for (const s of this.subscriptions.values()) link.send(s.frame());
    this.publisher.connected(link, welcome);
  }

  private received(frame: Frame): void {
    const { kind } = frame;
    switch (kind.case) {
      case "deliver":
        this.subscriptions.get(kind.value.subscription)?.delivered(kind.value);
        return;
      case "dropped":
        this.subscriptions.get(kind.value.subscription)?.dropped(kind.value);
        return;
      case "subscribed":
        this.subscriptions.get(kind.value.request)?.subscribed(kind.value);
        return;
      case "pubAck":
        this.publisher.answered(kind.value);
        return;
      case "error":
        this.refused(kind.value.request, new Fault(kind.value.code, kind.value.text));
        return;
      default:
    }
  }

  private refused(request: bigint, fault: Fault): void {
    const s = this.subscriptions.get(request);
    if (!s) {
      this.publisher.refused(request, fault);
      return;
    }
    this.subscriptions.delete(request);
    s.refused(fault);
  }

  private ended(fault: Fault, retryAfter: number): void {
    this.link = undefined;
    this.publisher.disconnected();
    if (reaction(fault.code) === "stop") {
      this.stop(fault);
      return;
    }
    const wait = this.backoff.next(retryAfter);
    const was = this.current;
    const since = was.kind === "connecting" ? was.since : Date.now();
    const attempt = was.kind === "connecting" ? was.attempt + 1 : 1;
    this.timer = setTimeout(() => {
      this.open();
    }, wait);
    this.become({ kind: "connecting", since, attempt, retryAt: Date.now() + wait, cause: fault });
  }

  private stop(cause?: Fault): void {
    if (this.current.kind === "closed") return;
    clearTimeout(this.timer);
    this.link?.close();
    this.link = undefined;
    this.subscriptions.clear();
    this.publisher.close(cause ?? new Fault(Code.Draining, "the client is closed"));
    this.become({ kind: "closed", since: Date.now(), ...(cause && { cause }) });
  }

  private unsubscribe(s: Subscription): void {
    if (!this.subscriptions.delete(s.request)) return;
    if (this.current.kind === "connected") this.link?.send({ case: "unsubscribe", value: { request: s.request } });
  }

  private become(state: State): void {
    this.current = state;
    for (const listener of [...this.listeners]) listener(state);
  }
}

function randomName(): string {
  // Not randomUUID: browsers have that on secure origins only.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
