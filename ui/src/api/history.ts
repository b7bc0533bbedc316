/** The history of a GPU as a Timeline takes it. */
import { parseTime } from "../format/time";
import type { History } from "../live/timeline";
import { get } from "./client";
import type { Answer } from "./client";

export type GpuDetail = Answer<"/api/v1/gpus/{id}">;

/**
 * Fetches the last span of a GPU's life in steps, both in milliseconds, with all of its
 * metrics or those named. What is stored up to until is in it, and nothing after: so
 * live readings continue it without a gap and without counting one twice.
 */
export async function fetchHistory(
  id: string,
  span: { span: number; step: number },
  until: string,
  metrics: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<History> {
  const end = parseTime(until);
  const boundary = Math.floor(end / span.step) * span.step;
  const first = Math.floor((end - span.span) / span.step) * span.step;
  const ask = (agg: "avg" | "count", start: number) =>
    get("/api/v1/gpus/{id}/series", {
      path: { id },
      query: {
        start_time: new Date(start).toISOString(),
        end_time: until,
        step: `${span.step}ms`,
        agg,
        ...(metrics && { metric: [...metrics] }),
      },
      signal,
    });
  const [average, count] = await Promise.all([ask("avg", first), ask("count", boundary)]);
  const lastCount: Record<string, number> = {};
  for (const [name, values] of Object.entries(count.columns)) lastCount[name] = values.at(-1) ?? 1;
  return { times: average.times.map(parseTime), average: average.columns, lastCount, until: end };
}

/** A GPU with its latest values. */
export function fetchGpu(id: string, signal: AbortSignal): Promise<GpuDetail> {
  return get("/api/v1/gpus/{id}", { path: { id }, signal });
}
