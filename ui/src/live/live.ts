/** The page's connection to the hub, and what flows from it into the fleet. */
import { Client, decodeReading, escapeToken } from "@gpupulse/sdk";
import type { ClientOptions, Delivery, Reading, Subscription } from "@gpupulse/sdk";

import { get } from "../api/client";
import { parseTime } from "../format/time";
import { Fleet } from "./fleet";
import type { Gpu } from "./fleet";
import { Loop } from "./loop";

/** How often the fleet's view is sent, in milliseconds: four pictures a second suffice there. */
const conflateMs = 250;
/** REST fills in what the hub no longer holds, once its last values have had time to come. */
const storedAfter = 1500;

export class Live {
  readonly fleet = new Fleet();
  readonly loop = new Loop();
  readonly client: Client;
  /** Payloads that are no readings, and updates that came too fast for this page. */
  unreadable = 0;
  skipped = 0;
  /** When the hub got the newest reading, by its clock; 0 before the first. */
  heard = 0;
  /** The hub's clock less this machine's, in milliseconds. */
  private skew = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly subscription: Subscription;

  constructor(url: string, options: ClientOptions = {}) {
    this.client = new Client(url, { name: "dashboard", ...options });
    this.subscription = this.client.subscribe(
      "gpu.>",
      { conflateMs, sendLast: true, onDropped: (n) => (this.skipped += n), onSubscribed: () => this.fill() },
      (deliveries) => this.take(deliveries),
    );
  }

  /**
   * Now by the hub's clock. Without a connection time stands still where it was lost:
   * that this page hears nothing does not mean that the GPUs say nothing.
   */
  now(): number {
    const { state } = this.client;
    return (state.kind === "connected" ? Date.now() : state.since) + this.skew;
  }

  /** Every reading of one GPU from now on, none left out as long as the hub has it. */
  follow(gpu: Gpu, options: { onReading: (r: Reading) => void; onMissed: () => void }): () => void {
    const topic = gpu.topic === "" ? `gpu.${escapeToken(gpu.host)}.${escapeToken(gpu.id)}` : gpu.topic;
    let first = true;
    const s = this.client.subscribe(
      topic,
      {
        onDropped: () => options.onMissed(),
        onSubscribed: ({ recovered }) => {
          if (!first && !recovered) options.onMissed();
          first = false;
        },
      },
      (deliveries) => {
        for (const d of deliveries) {
          const r = this.decode(d);
          if (r?.gpu === gpu.id) options.onReading(r);
        }
        this.loop.request();
      },
    );
    return () => s.close();
  }

  close(): void {
    clearTimeout(this.timer);
    this.subscription.close();
    this.client.close();
    this.loop.close();
  }

  private take(deliveries: Delivery[]): void {
    const now = Date.now();
    for (const d of deliveries) {
      const r = this.decode(d);
      if (!r) continue;
      const heard = Number(d.timeUnixNano) / 1e6;
      // A message cannot arrive before it was stored: then the hub's clock is ahead.
      this.skew = Math.max(this.skew, heard - now);
      this.heard = Math.max(this.heard, heard);
      this.fleet.apply(r, heard, d.message?.topic ?? "");
    }
    this.loop.request();
  }

  private decode(d: Delivery): Reading | undefined {
    try {
      return d.message && decodeReading(d.message.payload);
    } catch {
      this.unreadable++;
      return undefined;
    }
  }

  /** Lists the GPUs that are stored, so that those which went quiet are not forgotten. */
  private fill(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.fetchStored().catch(() => {
        // The badge tells that the server is gone; the next connection asks again.
      });
    }, storedAfter);
  }

  private async fetchStored(): Promise<void> {
    const { items } = await get("/api/v1/gpus", { query: { limit: 100_000 } });
    for (const g of items) this.fleet.list(g, parseTime(g.last_seen));
    // A source may send metrics one by one: then the newest message is not the newest of all.
    const { total } = await get("/api/v1/latest", { query: { limit: 1 } });
    if (total > this.fleet.series) {
      const latest = await get("/api/v1/latest", { query: { limit: 100_000 } });
      for (const v of latest.items) {
        if (v.value !== null) this.fleet.stored(v.gpu, v.metric, v.unit, v.value, parseTime(v.time));
      }
    }
    this.loop.request();
  }
}
