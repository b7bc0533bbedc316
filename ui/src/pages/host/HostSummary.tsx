import { useCallback } from "react";

import { showText } from "../../format/units";
import { summarise } from "../../live/condition";
import type { Summary } from "../../live/condition";
import { LiveText, useLive } from "../../bind/live";

const entries: readonly { name: string; read: (s: Summary) => string; more?: (s: Summary) => string }[] = [
  { name: "GPUs", read: (s) => String(s.gpus) },
  { name: "Busy", read: (s) => String(s.busy) },
  { name: "Idle", read: (s) => String(s.idle) },
  { name: "Hot", read: (s) => String(s.hot) },
  { name: "Quiet", read: (s) => String(s.quiet) },
  { name: "Power", read: (s) => showText(s.power, "watts") },
  { name: "Memory", read: (s) => showText(s.memoryUsed, "bytes"), more: (s) => (Number.isNaN(s.memoryTotal) ? "" : `of ${showText(s.memoryTotal, "bytes")}`) },
];

/** A host in a line of numbers. */
export function HostSummary({ places }: { places: readonly number[] }) {
  return (
    <ul className="summary" aria-label="Summary">
      {entries.map((e) => (
        <Entry key={e.name} entry={e} places={places} />
      ))}
    </ul>
  );
}

function Entry({ entry, places }: { entry: (typeof entries)[number]; places: readonly number[] }) {
  const { fleet } = useLive();
  const read = useCallback((now: number) => entry.read(summarise(fleet, now, places)), [entry, fleet, places]);
  const more = useCallback((now: number) => entry.more?.(summarise(fleet, now, places)) ?? "", [entry, fleet, places]);
  return (
    <li data-entry={entry.name}>
      <div className="stat">
        <span className="stat-name">{entry.name}</span>
        <span className="stat-value">
          <b>
            <LiveText read={read} />
          </b>
        </span>
        <span className="stat-more">
          <LiveText read={more} />
        </span>
      </div>
    </li>
  );
}
