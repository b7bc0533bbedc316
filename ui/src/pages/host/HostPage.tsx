import { useCallback, useEffect, useMemo, useState } from "react";
import { Link } from "wouter";

import { get, sentence } from "../../api/client";
import { Chart } from "../../chart/Chart";
import { RangePicker, useRange } from "../../chart/RangePicker";
import { usePainter } from "../../chart/usePainter";
import { useTimelines } from "../../chart/useTimeline";
import { metricDescription, metricTitle, metricUnit } from "../../format/metrics";
import { parseTime } from "../../format/time";
import type { Gpu } from "../../live/fleet";
import { gpuName } from "../../live/overview";
import { useLive, usePlaces } from "../../bind/live";
import { useTheme } from "../../theme/theme";
import { GpuCard } from "./GpuCard";
import { HostSummary } from "./HostSummary";

const charted = ["gpu.util", "gpu.mem.used", "gpu.power", "gpu.temp"];
/** More lines than there are colours nobody can tell apart. */
const maxLines = 8;

const byPosition = new Intl.Collator("en", { numeric: true });

/** One machine: its GPUs side by side, and over one another in time. */
export default function HostPage({ host }: { host: string }) {
  const { gpus, error } = useHost(host);
  useEffect(() => {
    document.title = `${host} · gpupulse`;
  }, [host]);
  const charts = useMemo(() => gpus.slice(0, maxLines), [gpus]);
  if (gpus.length === 0) {
    return error === undefined ? (
      <p className="note">Asking for this host…</p>
    ) : (
      <section className="empty" role="alert">
        <h1>This host cannot be shown</h1>
        <p>{sentence(error)}</p>
        <p>
          <Link href="/">Back to the fleet</Link>
        </p>
      </section>
    );
  }
  return (
    <article>
      <nav className="crumbs" aria-label="Where this is">
        <Link href="/">Fleet</Link>
      </nav>
      <div className="title">
        <h1>{host}</h1>
        <span className="title-more">{models(gpus)}</span>
      </div>
      <HostSummary places={gpus.map((g) => g.place)} />
      <ul className="cards" aria-label="GPUs">
        {gpus.map((g, i) => (
          <GpuCard key={g.id} gpu={g} colour={i < maxLines ? i : undefined} />
        ))}
      </ul>
      <HostCharts gpus={charts} all={gpus.length} />
    </article>
  );
}

function models(gpus: readonly Gpu[]): string {
  const counts = new Map<string, number>();
  for (const g of gpus) if (g.model !== "") counts.set(g.model, (counts.get(g.model) ?? 0) + 1);
  return [...counts].map(([model, n]) => `${n} × ${model}`).join(", ");
}

function HostCharts({ gpus, all }: { gpus: readonly Gpu[]; all: number }) {
  const { palette } = useTheme();
  const range = useRange();
  const painter = usePainter();
  const { followed, error } = useTimelines(gpus, range, charted);
  const lines = useMemo(
    () => followed?.map(({ timeline }, i) => ({ label: gpus[i] ? gpuName(gpus[i]) : "", timeline, colour: i })),
    [followed, gpus],
  );
  return (
    <section aria-label="Charts">
      <div className="tools">
        <h2>History</h2>
        <RangePicker />
        <ul className="line-names">
          {gpus.map((g, i) => (
            <li key={g.id}>
              <span className="line-sign" style={{ background: palette.lines[i] }} aria-hidden="true" />
              {gpuName(g)}
            </li>
          ))}
        </ul>
        {all > gpus.length && <span className="note">The first {gpus.length} of {all} GPUs.</span>}
      </div>
      {error !== undefined && (
        <p className="problem" role="alert">
          {sentence(error)}
        </p>
      )}
      {!lines && error === undefined && <div className="charts wide waiting" aria-busy="true" />}
      {lines && (
        <div className="charts wide">
          {charted.map((m) => (
            <Chart
              key={m}
              title={metricTitle(m)}
              description={metricDescription(m)}
              metric={m}
              unit={metricUnit(m)}
              lines={lines}
              range={range.span}
              painter={painter}
              height={210}
            />
          ))}
        </div>
      )}
    </section>
  );
}

/** The host's GPUs by position: those of the live fleet, and those that REST remembers. */
function useHost(host: string): { gpus: readonly Gpu[]; error: unknown } {
  const live = useLive();
  const [error, setError] = useState<unknown>(undefined);
  const find = useCallback(
    () =>
      live.fleet.gpus
        .filter((g) => g.host === host)
        .sort((a, b) => byPosition.compare(a.index, b.index) || byPosition.compare(a.id, b.id))
        .map((g) => g.place),
    [live, host],
  );
  const places = usePlaces(find, false);
  const gpus = useMemo(() => places.flatMap((p) => live.fleet.gpus[p] ?? []), [live, places]);
  useEffect(() => {
    const abort = new AbortController();
    get("/api/v1/hosts/{host}/gpus", { path: { host }, query: { limit: 1000 }, signal: abort.signal }).then(
      ({ items }) => {
        for (const g of items) live.fleet.list(g, parseTime(g.last_seen));
      },
      (err: unknown) => {
        if (!abort.signal.aborted) setError(err);
      },
    );
    return () => abort.abort();
  }, [live, host]);
  return { gpus, error };
}
