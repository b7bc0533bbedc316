/** Timelines of GPUs for a page: history, then live, again from the start where something was missed. */
import { useEffect, useState } from "react";

import { fetchGpu, fetchHistory } from "../api/history";
import type { Gpu } from "../live/fleet";
import type { Live } from "../live/live";
import { useLive } from "../bind/live";
import { Timeline } from "../live/timeline";
import type { Range } from "./ranges";

/** Once history is there, what the store got meanwhile has arrived: look for a hole once. */
const healAfter = 3000;

export interface Followed {
  timeline: Timeline;
  /** When the GPU last spoke before the page was opened, in milliseconds. */
  until: number;
}

/** The timelines of GPUs, in their order; undefined until the first history has come. */
export function useTimelines(
  gpus: readonly Gpu[],
  range: Range,
  metrics?: readonly string[],
): { followed: readonly Followed[] | undefined; error: unknown } {
  const live = useLive();
  const [state, setState] = useState<{ of: unknown; followed?: readonly Followed[]; error?: unknown }>({ of: undefined });
  useEffect(() => {
    const all = gpus.map((gpu) => new Follower(live, gpu, range, metrics));
    let gone = false;
    Promise.all(all.map((f) => f.load())).then(
      () => {
        if (!gone) setState({ of: range, followed: all.map(({ timeline, until }) => ({ timeline, until })) });
      },
      (error: unknown) => {
        if (!gone) setState({ of: range, error });
      },
    );
    return () => {
      gone = true;
      for (const f of all) f.close();
    };
  }, [live, gpus, range, metrics]);
  return { followed: state.followed, error: state.error };
}

/** Keeps one timeline whole. */
class Follower {
  readonly timeline: Timeline;
  until = 0;
  private readonly stop: () => void;
  private readonly abort = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly live: Live,
    private readonly gpu: Gpu,
    private readonly range: Range,
    private readonly metrics: readonly string[] | undefined,
  ) {
    this.timeline = new Timeline(range.step, range.span);
    // First to listen, then to ask: what comes in between waits in the timeline.
    this.stop = live.follow(gpu, {
      onReading: (r) => this.timeline.add(r.time, r.metrics.map((m) => m.name), r.values),
      onMissed: () => {
        this.timeline.reload();
        this.again();
      },
    });
  }

  async load(): Promise<void> {
    const { signal } = this.abort;
    const { last_seen: until } = await fetchGpu(this.gpu.id, signal);
    const history = await fetchHistory(this.gpu.id, this.range, until, this.metrics, signal);
    this.until = history.until;
    const before = this.timeline.firstWaiting();
    this.timeline.load(history);
    this.live.loop.request();
    // What was on its way to the store when it was asked is in neither of the two.
    if (before - history.until > 2 * this.range.step) this.again();
  }

  close(): void {
    clearTimeout(this.timer);
    this.abort.abort();
    this.stop();
  }

  private again(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timeline.reload();
      this.load().catch(() => {
        if (!this.abort.signal.aborted) this.again();
      });
    }, healAfter);
  }
}
