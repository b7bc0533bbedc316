/**
 * Messages on their way to the hub: a queue in front of a window. The hub answers a
 * batch as a whole; until then it is kept, and sent again on the next connection. Each
 * message has an id, so that the hub stores it once however often it is sent.
 */
import { Code, Fault } from "./codes.js";
import type { PubAck, Welcome } from "./gen/frame_pb.js";
import { encodeFrame } from "./wire.js";

/** A message to publish. */
export interface Message {
  topic: string;
  payload: Uint8Array;
  headers?: Record<string, string>;
  /** The publisher's own id of the message; the client numbers those without one. */
  id?: string;
  /** Store it only if the topic's newest message has this sequence, 0n if it has none; Conflict otherwise. */
  expectedSequence?: bigint;
}

/** The hub's answer to one message. fault tells why it was refused. */
export interface Result {
  sequence: bigint;
  duplicate: boolean;
  fault?: Fault;
}

interface Batch {
  request: bigint;
  messages: Message[];
  /** Positions in messages that have no final answer yet. */
  open: number[];
  results: Result[];
  resolve: (results: Result[]) => void;
  reject: (err: Error) => void;
}

/** How a publisher sends; undefined while there is no connection. */
export interface PublishLink {
  write(encoded: string | Uint8Array<ArrayBuffer>): void;
}

export interface PublisherOptions {
  json: boolean;
  /** Messages sent and not yet answered. */
  maxUnacked: number;
  /** Messages that wait here for the window or a connection. */
  maxWaiting: number;
  /** Pause before a message that the log could not take is sent again, in milliseconds. */
  retryDelay: number;
  /** The next number of a request. */
  nextRequest: () => bigint;
}

export class Publisher {
  private waiting: Batch[] = [];
  private waitingMessages = 0;
  private readonly unacked = new Map<bigint, Batch>();
  private unackedMessages = 0;
  private window: number;
  private maxFrameBytes = Infinity;
  private link: PublishLink | undefined;
  private ids = 0n;
  private pause: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: PublisherOptions) {
    this.window = options.maxUnacked;
  }

  /** Resolves when every message is answered; what was refused is in its result. */
  publish(messages: Message[]): Promise<Result[]> {
    if (messages.length === 0) return Promise.resolve([]);
    if (messages.length > this.options.maxUnacked) {
      return Promise.reject(new Fault(Code.TooMany, `${messages.length} messages at once, ${this.options.maxUnacked} are allowed`));
    }
    if (this.waitingMessages + messages.length > this.options.maxWaiting) {
      return Promise.reject(new Fault(Code.TooMany, `${this.waitingMessages} messages are waiting already`));
    }
    return new Promise((resolve, reject) => {
      const numbered = messages.map((m) => ({ ...m, id: m.id ?? `${++this.ids}` }));
      const open = numbered.map((_, i) => i);
      this.queue({ request: this.options.nextRequest(), messages: numbered, open, results: [], resolve, reject });
      this.fill();
    });
  }

  /** There is a connection: what was unanswered goes first, in its order. */
  connected(link: PublishLink, welcome: Welcome): void {
    this.link = link;
    this.window = Math.min(this.options.maxUnacked, welcome.maxUnacked || Infinity);
    this.maxFrameBytes = welcome.maxFrameBytes || Infinity;
    const again = [...this.unacked.values()];
    this.unacked.clear();
    this.unackedMessages = 0;
    this.waiting = [...again, ...this.waiting];
    for (const b of again) this.waitingMessages += b.open.length;
    this.fill();
  }

  disconnected(): void {
    this.link = undefined;
  }

  /** Gives up everything. */
  close(fault: Fault): void {
    this.disconnected();
    clearTimeout(this.pause);
    const all = [...this.unacked.values(), ...this.waiting];
    this.unacked.clear();
    this.waiting = [];
    this.waitingMessages = this.unackedMessages = 0;
    for (const b of all) b.reject(fault);
  }

  answered(ack: PubAck): void {
    const batch = this.take(ack.request);
    if (!batch) return;
    const exceptions = new Map(ack.exceptions.map((e) => [e.index, e]));
    let sequence = ack.firstSequence;
    const open: number[] = [];
    for (const [i, position] of batch.open.entries()) {
      const e = exceptions.get(i);
      if (!e) batch.results[position] = { sequence: sequence++, duplicate: false };
      else if (e.code === 0) batch.results[position] = { sequence: e.duplicateOf, duplicate: true };
      else if (e.code === Code.LogUnavailable) open.push(position);
      else batch.results[position] = { sequence: 0n, duplicate: false, fault: new Fault(e.code, e.text) };
    }
    this.finish(batch, open);
  }

  /** Reports whether the refused request was a Publish. */
  refused(request: bigint, fault: Fault): boolean {
    const batch = this.take(request);
    if (!batch) return false;
    if (fault.code === Code.LogUnavailable) this.finish(batch, batch.open);
    else {
      batch.reject(fault);
      this.fill();
    }
    return true;
  }

  private take(request: bigint): Batch | undefined {
    const batch = this.unacked.get(request);
    if (batch) {
      this.unacked.delete(request);
      this.unackedMessages -= batch.open.length;
    }
    return batch;
  }

  /** Ends a batch, or queues what the log could not take for another time. */
  private finish(batch: Batch, open: number[]): void {
    if (open.length === 0) {
      batch.resolve(batch.results);
      this.fill();
      return;
    }
    this.queue({ ...batch, request: this.options.nextRequest(), open }, true);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      this.pause = undefined;
      this.fill();
    }, this.options.retryDelay);
  }

  private queue(batch: Batch, first = false): void {
    if (first) this.waiting.unshift(batch);
    else this.waiting.push(batch);
    this.waitingMessages += batch.open.length;
  }

  private fill(): void {
    while (this.link && this.pause === undefined) {
      const batch = this.waiting[0];
      if (!batch || (this.unackedMessages > 0 && this.unackedMessages + batch.open.length > this.window)) return;
      this.waiting.shift();
      this.waitingMessages -= batch.open.length;
      this.send(this.link, batch);
    }
  }

  private send(link: PublishLink, batch: Batch): void {
    const messages = batch.messages.filter((_, i) => batch.open.includes(i));
    const encoded = encodeFrame({ case: "publish", value: { request: batch.request, messages } }, this.options.json);
    if (encoded.length > this.maxFrameBytes) {
      batch.reject(new Fault(Code.MessageTooBig, `${encoded.length} bytes in one batch, ${this.maxFrameBytes} are allowed`));
      return;
    }
    this.unacked.set(batch.request, batch);
    this.unackedMessages += batch.open.length;
    link.write(encoded);
  }
}
