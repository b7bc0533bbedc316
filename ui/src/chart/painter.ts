/**
 * Shares out redraws among the charts of a page: a few per frame, in turn. uPlot draws
 * after its call returns, so only a count bounds what a frame costs.
 */
import type { Loop } from "../live/loop";

/** Charts per animation frame. */
const perFrame = 2;

export interface Paintable {
  /** Whether it would draw something else than last time. */
  due(now: number): boolean;
  paint(now: number): void;
}

export class Painter {
  private charts: Paintable[] = [];

  constructor(private readonly loop: Loop) {}

  /** Begins to paint. Returns how to stop. */
  open(): () => void {
    return this.loop.add((now) => this.frame(now));
  }

  /** Returns how to take the chart away. */
  add(chart: Paintable): () => void {
    this.charts.push(chart);
    this.loop.request();
    return () => {
      this.charts = this.charts.filter((c) => c !== chart);
    };
  }

  private frame(now: number): void {
    let painted = 0;
    for (const chart of [...this.charts]) {
      if (!chart.due(now)) continue;
      if (painted === perFrame) {
        this.loop.request();
        return;
      }
      chart.paint(now);
      painted++;
      // To the end of the line, so that none waits for ever.
      this.charts = [...this.charts.filter((c) => c !== chart), chart];
    }
  }
}
