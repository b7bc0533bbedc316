/** The state of the pipeline's parts, asked for every two seconds while the page is seen. */
import { useQuery } from "@tanstack/react-query";

import { get } from "../../api/client";
import type { Answer } from "../../api/client";

const interval = 2000;
/** Points of the rates' small charts: two minutes. */
const remembered = 60;
/** Rows of a list: what is beyond is counted and not shown. */
export const listed = 200;

export type Stats = Answer<"/api/v1/stats">;
export type Consumer = Answer<"/api/v1/consumers">["items"][number];
export type Topic = Answer<"/api/v1/topics">["items"][number];
export type Connection = Answer<"/api/v1/connections">["items"][number];
export type Readiness = Answer<"/readyz">;

/** Rates of the last asks, oldest first. */
export interface Rates {
  incoming: readonly number[];
  outgoing: readonly number[];
}

interface StatsAndRates extends Rates {
  stats: Stats;
}

export function useStats() {
  return useQuery({
    queryKey: ["stats"],
    queryFn: async ({ signal, client, queryKey }): Promise<StatsAndRates> => {
      const stats = await get("/api/v1/stats", { signal });
      const before = client.getQueryData<StatsAndRates>(queryKey);
      const longer = (old: readonly number[] | undefined, x: number) => [...(old ?? []), x].slice(-remembered);
      return { stats, incoming: longer(before?.incoming, stats.rate_in_1s), outgoing: longer(before?.outgoing, stats.rate_out_1s) };
    },
    refetchInterval: interval,
    retry: false,
  });
}

export function useReadiness() {
  return useQuery({
    queryKey: ["readyz"],
    // 503 is an answer too: it tells which part is not ready.
    queryFn: ({ signal }) => get("/readyz", { signal, accept: [503] }),
    refetchInterval: interval,
    retry: false,
  });
}

export function useConsumers() {
  return useQuery({
    queryKey: ["consumers"],
    queryFn: ({ signal }) => get("/api/v1/consumers", { query: { limit: listed }, signal }),
    refetchInterval: interval,
    retry: false,
  });
}

export function useConnections() {
  return useQuery({
    queryKey: ["connections"],
    queryFn: ({ signal }) => get("/api/v1/connections", { query: { limit: listed }, signal }),
    refetchInterval: interval,
    retry: false,
  });
}

export function useTopics() {
  return useQuery({
    queryKey: ["topics"],
    queryFn: ({ signal }) => get("/api/v1/topics", { query: { limit: listed }, signal }),
    refetchInterval: interval,
    retry: false,
  });
}
