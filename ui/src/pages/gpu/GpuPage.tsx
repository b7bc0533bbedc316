import { useEffect, useMemo } from "react";
import { Link } from "wouter";

import { sentence } from "../../api/client";
import { Chart } from "../../chart/Chart";
import { RangePicker, useRange } from "../../chart/RangePicker";
import { usePainter } from "../../chart/usePainter";
import { useTimelines } from "../../chart/useTimeline";
import { compareMetrics, metricDescription, metricTitle } from "../../format/metrics";
import { dateTime } from "../../format/time";
import type { Gpu } from "../../live/fleet";
import { gpuName } from "../../live/overview";
import { useFleet } from "../../bind/live";
import { StateChip } from "../../bind/StateChip";
import { KeyFigures } from "./KeyFigures";
import { LatestValues } from "./LatestValues";
import { useGpu } from "./useGpu";

/** One GPU: what it does now, how that came about, and what is known about it. */
export default function GpuPage({ id }: { id: string }) {
  const { gpu, error } = useGpu(id);
  useEffect(() => {
    document.title = gpu ? `${gpuName(gpu)} of ${gpu.host} · gpupulse` : "GPU · gpupulse";
  }, [gpu]);
  if (error !== undefined) {
    return (
      <section className="empty" role="alert">
        <h1>This GPU cannot be shown</h1>
        <p>{sentence(error)}</p>
        <p>
          <Link href="/">Back to the fleet</Link>
        </p>
      </section>
    );
  }
  if (!gpu) return <p className="note">Asking for this GPU…</p>;
  return (
    <article>
      <nav className="crumbs" aria-label="Where this is">
        <Link href="/">Fleet</Link>
        <span aria-hidden="true">/</span>
        <Link href={`/hosts/${encodeURIComponent(gpu.host)}`}>{gpu.host}</Link>
      </nav>
      <div className="title">
        <h1>{gpuName(gpu)}</h1>
        <StateChip gpu={gpu} />
        <span className="title-more">{gpu.model}</span>
      </div>
      <KeyFigures gpu={gpu} />
      <Charts gpu={gpu} />
      <div className="pair">
        <LatestValues gpu={gpu} />
        <Labels gpu={gpu} />
      </div>
    </article>
  );
}

/** Metrics that never move say nothing as a chart until they do; these are drawn last. */
const dull = new Set(["gpu.xid", "gpu.mem.free", "gpu.mem.total", "gpu.mem.reserved", "gpu.power.limit"]);

function Charts({ gpu }: { gpu: Gpu }) {
  const { live, structure } = useFleet();
  const range = useRange();
  const painter = usePainter();
  const gpus = useMemo(() => [gpu], [gpu]);
  const { followed, error } = useTimelines(gpus, range);
  const first = followed?.[0];
  const lines = useMemo(() => first && [{ label: "value", timeline: first.timeline, colour: 0 }], [first]);
  // Depends on structure: a metric may come for the first time.
  const metrics = useMemo(() => {
    const stored = first?.timeline.metrics ?? [];
    const now = structure >= 0 ? [...live.fleet.units.keys()].filter((m) => !Number.isNaN(live.fleet.value(m, gpu.place))) : [];
    const order = (a: string, b: string) => Number(dull.has(a)) - Number(dull.has(b)) || compareMetrics(a, b);
    return [...new Set([...stored, ...now])].sort(order);
  }, [live, structure, first, gpu]);
  // Of a GPU that went quiet before the range began, what it did last is shown.
  const before = first && live.now() - first.until > range.span ? first.until : undefined;
  return (
    <section aria-label="Charts">
      <div className="tools">
        <h2>History</h2>
        <RangePicker />
        {before !== undefined && <span className="note">It is quiet: this ends with its last reading, {dateTime(before)}.</span>}
      </div>
      {error !== undefined && (
        <p className="problem" role="alert">
          {sentence(error)}
        </p>
      )}
      {!lines && error === undefined && <div className="charts waiting" aria-busy="true" />}
      {lines && (
        <div className="charts">
          {metrics.map((m) => (
            <Chart
              key={m}
              title={metricTitle(m)}
              description={metricDescription(m)}
              metric={m}
              unit={live.fleet.unit(m)}
              lines={lines}
              range={range.span}
              end={before}
              painter={painter}
            />
          ))}
        </div>
      )}
    </section>
  );
}

function Labels({ gpu }: { gpu: Gpu }) {
  const labels = Object.entries(gpu.labels).filter(([, value]) => value !== "");
  return (
    <section aria-label="Labels">
      <h2>Labels</h2>
      <table className="plain">
        <tbody>
          <tr>
            <th scope="row">id</th>
            <td className="code">{gpu.id}</td>
          </tr>
          <tr>
            <th scope="row">host</th>
            <td className="code">{gpu.host}</td>
          </tr>
          {labels.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td className="code">{value}</td>
            </tr>
          ))}
          {gpu.topic !== "" && (
            <tr>
              <th scope="row">topic</th>
              <td className="code">{gpu.topic}</td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}
