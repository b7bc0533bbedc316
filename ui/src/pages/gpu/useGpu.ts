import { useEffect, useState } from "react";

import { ApiError } from "../../api/client";
import { fetchGpu } from "../../api/history";
import { parseTime } from "../../format/time";
import type { Gpu } from "../../live/fleet";
import { useFleet } from "../../bind/live";

/** The GPU of an address: from the fleet if it is there, or else from REST. */
export function useGpu(id: string): { gpu: Gpu | undefined; error: unknown } {
  const { live, structure } = useFleet();
  const [error, setError] = useState<unknown>(undefined);
  const place = structure >= 0 ? live.fleet.place(id) : undefined;
  const known = place !== undefined;
  useEffect(() => {
    if (known) return;
    const abort = new AbortController();
    fetchGpu(id, abort.signal).then(
      (g) => {
        live.fleet.list(g, parseTime(g.last_seen));
        for (const [metric, v] of Object.entries(g.latest)) {
          if (v.value !== null) live.fleet.stored(g.id, metric, v.unit, v.value, parseTime(v.time));
        }
      },
      (err: unknown) => {
        // A server that is away comes back, and with it the live fleet.
        if (!abort.signal.aborted && err instanceof ApiError && err.status !== 0) setError(err);
      },
    );
    return () => abort.abort();
  }, [live, id, known]);
  return { gpu: place === undefined ? undefined : live.fleet.gpus[place], error: known ? undefined : error };
}
