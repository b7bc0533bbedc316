import { useEffect } from "react";

import { sentence } from "../../api/client";
import { duration } from "../../format/time";
import { plain, showText } from "../../format/units";
import { Connections, Consumers, Topics } from "./Lists";
import { Health } from "./Health";
import { Sparkline } from "./Sparkline";
import { useStats } from "./usePipeline";
import type { Stats } from "./usePipeline";

/** What flows through the hub, who takes part in it, and whether anything is stuck. */
export default function PipelinePage() {
  useEffect(() => {
    document.title = "Pipeline · gpupulse";
  }, []);
  const { data, error } = useStats();
  return (
    <article>
      <h1 className="hidden">Pipeline</h1>
      <Health />
      {error && (
        <p className="problem" role="alert">
          {sentence(error)} {data ? "What you see is from before." : ""}
        </p>
      )}
      {data && (
        <>
          <ul className="summary" aria-label="Flow">
            <Flow name="Messages in" rate={data.stats.rate_in_1s} minute={data.stats.rate_in_1m} points={data.incoming} />
            <Flow name="Messages out" rate={data.stats.rate_out_1s} minute={data.stats.rate_out_1m} points={data.outgoing} />
            <Count name="Redelivered" value={data.stats.redelivered} alarm={false} />
            <Count name="Dead letters" value={data.stats.dead_letters} alarm />
            <Count name="Dropped for slow readers" value={data.stats.dropped} alarm={false} />
          </ul>
          <Parts stats={data.stats} />
        </>
      )}
      <Consumers />
      <Connections />
      <Topics />
    </article>
  );
}

function Flow({ name, rate, minute, points }: { name: string; rate: number; minute: number; points: readonly number[] }) {
  return (
    <li>
      <div className="stat">
        <span className="stat-name">{name}</span>
        <span className="stat-value">
          <b>{plain(Math.round(rate))}</b>
          <small>/s</small>
        </span>
        <span className="stat-more">{plain(Math.round(minute))}/s over a minute</span>
        <Sparkline points={points} title={`${name} per second, last two minutes`} />
      </div>
    </li>
  );
}

function Count({ name, value, alarm }: { name: string; value: number; alarm: boolean }) {
  return (
    <li className={alarm && value > 0 ? "alarm" : undefined}>
      <div className="stat">
        <span className="stat-name">{name}</span>
        <span className="stat-value">
          <b>{plain(value)}</b>
        </span>
      </div>
    </li>
  );
}

/** The parts' own numbers come as they are: the API does not fix their fields. */
function field(part: unknown, name: string): number | undefined {
  const value = typeof part === "object" && part !== null ? (part as Record<string, unknown>)[name] : undefined;
  return typeof value === "number" ? value : undefined;
}

function text(part: unknown, name: string): string {
  const value = typeof part === "object" && part !== null ? (part as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value : "";
}

function Parts({ stats }: { stats: Stats }) {
  const { log, store, collector } = stats;
  const lastError = text(collector, "last_error");
  return (
    <div className="parts">
      <Part
        name="Log"
        rows={[
          ["Last sequence", plain(field(log, "last_sequence"))],
          ["First sequence kept", plain(field(log, "first_sequence"))],
          ["On disk", showText(field(log, "bytes"), "bytes")],
          ["Segments", plain(field(log, "segments"))],
          ["Fsync", stats.fsync],
        ]}
      />
      <Part
        name="Collector"
        rows={[
          ["Stored", plain(field(collector, "readings"))],
          ["Waiting", plain(field(collector, "waiting"))],
          ["Lag", showText(field(collector, "lag_seconds"), "seconds")],
          ["Given up", plain(field(collector, "termed"))],
          ["Failed attempts", plain(field(collector, "failures"))],
        ]}
        {...(lastError !== "" && { note: lastError })}
      />
      <Part
        name="Store"
        rows={[
          ["Readings", plain(field(store, "rows"))],
          ["Hosts", plain(field(store, "hosts"))],
          ["GPUs", plain(field(store, "gpus"))],
          ["Checkpoint", plain(field(store, "checkpoint"))],
          ["On disk", showText(field(store, "bytes"), "bytes")],
        ]}
      />
      <Part
        name="Server"
        rows={[
          ["Name", stats.server],
          ["Version", stats.version],
          ["Up for", duration(stats.uptime_seconds * 1000)],
          ["Received", showText(stats.bytes_in, "bytes")],
          ["Sent", showText(stats.bytes_out, "bytes")],
        ]}
      />
    </div>
  );
}

function Part({ name, rows, note }: { name: string; rows: readonly (readonly [string, string])[]; note?: string }) {
  return (
    <section className="card" aria-label={name}>
      <h2>{name}</h2>
      <table className="plain">
        <tbody>
          {rows.map(([title, value]) => (
            <tr key={title}>
              <th scope="row">{title}</th>
              <td className="number">{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {note !== undefined && <p className="note">Last error: {note}</p>}
    </section>
  );
}
