import { useCallback, useEffect, useMemo } from "react";
import { useSearchParams } from "wouter";

import { compareMetrics, metricTitle } from "../../format/metrics";
import { useConnection, useFleet, useLocalTime, usePlaces } from "../../bind/live";
import { TileMap } from "../../tiles/TileMap";
import { EmptyFleet } from "./EmptyFleet";
import { FleetTable } from "./FleetTable";
import { Legend } from "./Legend";
import { byHost, readQuery, select, writeQuery } from "./query";
import type { FleetQuery } from "./query";
import { SummaryLine } from "./SummaryLine";

/** The whole fleet on one page: numbers, a tile per GPU, or the same as a table. */
export function FleetPage() {
  const { live, structure } = useFleet();
  const [params, setParams] = useSearchParams();
  const query = useMemo(() => readQuery(params), [params]);
  const change = useCallback(
    (part: Partial<FleetQuery>, replace = true) => setParams((old) => writeQuery({ ...readQuery(old), ...part }), { replace }),
    [setParams],
  );
  const { search, state } = query;
  const find = useCallback((now: number) => select(live.fleet, { search, state }, now), [live, search, state]);
  const places = usePlaces(find, state !== "");
  const groups = useMemo(() => byHost(live.fleet, places), [live, places]);
  // Depends on structure: metrics come with the first readings.
  const metrics = useMemo(() => {
    const names = structure >= 0 ? [...live.fleet.units.keys()] : [];
    return names.sort(compareMetrics);
  }, [live, structure]);
  useEffect(() => {
    document.title = "Fleet · gpupulse";
  }, []);

  if (live.fleet.gpus.length === 0) return <FirstWait />;
  return (
    <>
      <h1 className="hidden">Fleet</h1>
      <SummaryLine state={query.state} choose={(state) => change({ state }, false)} />
      <div className="tools">
        <label className="field">
          <span>Colour by</span>
          <select value={query.metric} onChange={(e) => change({ metric: e.target.value })}>
            {!metrics.includes(query.metric) && <option value={query.metric}>{metricTitle(query.metric)}</option>}
            {metrics.map((m) => (
              <option key={m} value={m}>
                {metricTitle(m)}
              </option>
            ))}
          </select>
        </label>
        <input
          type="search"
          className="search"
          placeholder="Host, GPU, model, label…"
          aria-label="Search GPUs"
          value={query.search}
          onChange={(e) => change({ search: e.target.value })}
        />
        <div className="switch" role="group" aria-label="View">
          {(["tiles", "table"] as const).map((view) => (
            <button key={view} type="button" aria-pressed={query.view === view} onClick={() => change({ view }, false)}>
              {view === "tiles" ? "Tiles" : "Table"}
            </button>
          ))}
        </div>
        {query.view === "tiles" && <Legend metric={query.metric} />}
      </div>
      {places.length === 0 ? (
        <section className="empty">
          <h2>No GPU fits</h2>
          <p>
            None of the {live.fleet.gpus.length} GPUs is {query.state === "" ? "called so" : query.state}
            {query.search !== "" && query.state !== "" ? " and called so" : ""}.
          </p>
          <button type="button" onClick={() => change({ search: "", state: "" })}>
            Show all
          </button>
        </section>
      ) : query.view === "tiles" ? (
        <TileMap groups={groups} metric={query.metric} />
      ) : (
        <FleetTable places={places} query={query} change={change} />
      )}
    </>
  );
}

/** Nothing is known yet: either it is on its way or there is nothing. */
function FirstWait() {
  const connection = useConnection();
  const now = useLocalTime();
  if (connection.kind === "connected" && now - connection.since > 2500) return <EmptyFleet />;
  return (
    <section className="empty">
      <h1>Looking for GPUs</h1>
      <p>{connection.kind === "connected" ? "Connected; asking for the newest readings." : "Connecting to the hub."}</p>
    </section>
  );
}
