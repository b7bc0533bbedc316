import { Fault } from "./codes.js";
import type { Deliver, Delivery, Dropped, Subscribed } from "./gen/frame_pb.js";
import type { Kind } from "./wire.js";

export interface SubscribeOptions {
  /** At most the newest message of each topic per so many milliseconds; 0: every message. */
  conflateMs?: number;
  /** First the newest known message of each topic that fits. */
  sendLast?: boolean;
  /** Messages that the hub may hold for this subscription; 0: the hub's default. */
  maxQueue?: number;
  /** How many messages were missed since the last time, because this end was slow. */
  onDropped?: (count: number) => void;
  /**
   * The hub has taken the subscription: at first, and after each reconnect. recovered
   * tells that nothing was missed in between, which a conflated subscription never claims.
   */
  onSubscribed?: (info: { sequence: bigint; recovered: boolean }) => void;
  /** The hub refused the subscription, perhaps only after a reconnect. It is over. */
  onRefused?: (fault: Fault) => void;
}

/** Takes what came in one frame, oldest first. It may keep the deliveries. */
export type DeliveryHandler = (deliveries: Delivery[]) => void;

/** A live interest in a filter. It outlives connections until it is closed. */
export class Subscription {
  private epoch = "";
  private last = 0n;

  constructor(
    readonly request: bigint,
    readonly filter: string,
    private readonly options: SubscribeOptions,
    private readonly handle: DeliveryHandler,
    private readonly leave: (s: Subscription) => void,
  ) {}

  /** Ends the subscription. Twice is fine. */
  close(): void {
    this.leave(this);
  }

  /** The frame that opens it on a new connection. A whole stream goes on where it ended. */
  frame(): Kind {
    const { conflateMs = 0, sendLast = false, maxQueue = 0 } = this.options;
    const resume = conflateMs === 0 && this.epoch !== "";
    return {
      case: "subscribe",
      value: {
        request: this.request,
        filter: this.filter,
        conflateMs,
        sendLast,
        maxQueue,
        epoch: resume ? this.epoch : "",
        afterSequence: resume ? this.last : 0n,
      },
    };
  }

  subscribed(s: Subscribed): void {
    if (s.epoch !== this.epoch || !s.recovered) this.last = s.sequence;
    this.epoch = s.epoch;
    this.options.onSubscribed?.({ sequence: s.sequence, recovered: s.recovered });
  }

  delivered(d: Deliver): void {
    for (const one of d.deliveries) if (one.sequence > this.last) this.last = one.sequence;
    this.handle(d.deliveries);
  }

  dropped(d: Dropped): void {
    this.options.onDropped?.(Number(d.count));
  }

  refused(fault: Fault): void {
    this.options.onRefused?.(fault);
  }
}
