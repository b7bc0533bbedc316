import { useCallback } from "react";

import { metricTitle } from "../../format/metrics";
import { show, showText } from "../../format/units";
import { memoryTotal } from "../../live/condition";
import type { Gpu } from "../../live/fleet";
import { LiveText, useLive } from "../../bind/live";

const figures = ["gpu.util", "gpu.mem.used", "gpu.power", "gpu.temp", "gpu.clock.sm"];

/** The five numbers that one looks at first. */
export function KeyFigures({ gpu }: { gpu: Gpu }) {
  return (
    <ul className="summary" aria-label="Now">
      {figures.map((m) => (
        <li key={m} data-entry={m}>
          <div className="stat">
            <span className="stat-name">{metricTitle(m)}</span>
            <Figure gpu={gpu} metric={m} />
          </div>
        </li>
      ))}
    </ul>
  );
}

function Figure({ gpu, metric }: { gpu: Gpu; metric: string }) {
  const { fleet } = useLive();
  const shown = useCallback(() => show(fleet.value(metric, gpu.place), fleet.unit(metric)), [fleet, gpu, metric]);
  const text = useCallback(() => shown().text, [shown]);
  const unit = useCallback(() => shown().unit, [shown]);
  const more = useCallback(() => {
    const limit = metric === "gpu.mem.used" ? memoryTotal(fleet, gpu.place) : metric === "gpu.power" ? fleet.value("gpu.power.limit", gpu.place) : NaN;
    return Number.isNaN(limit) ? "" : `of ${showText(limit, fleet.unit(metric))}`;
  }, [fleet, gpu, metric]);
  return (
    <>
      <span className="stat-value">
        <b>
          <LiveText read={text} />
        </b>
        <small>
          <LiveText read={unit} />
        </small>
      </span>
      <span className="stat-more">
        <LiveText read={more} />
      </span>
    </>
  );
}
