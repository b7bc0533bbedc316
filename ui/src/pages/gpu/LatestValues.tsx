import { useCallback, useMemo } from "react";

import { compareMetrics, metricDescription, metricTitle } from "../../format/metrics";
import { dateTime, duration } from "../../format/time";
import { showText } from "../../format/units";
import type { Gpu } from "../../live/fleet";
import { LiveText, useFleet, useLive } from "../../bind/live";

/** Every metric that the GPU has ever told, with its newest value. */
export function LatestValues({ gpu }: { gpu: Gpu }) {
  const { live, structure } = useFleet();
  const metrics = useMemo(() => {
    const all = structure >= 0 ? [...live.fleet.units.keys()] : [];
    return all.filter((m) => !Number.isNaN(live.fleet.value(m, gpu.place))).sort(compareMetrics);
  }, [live, structure, gpu]);
  const measured = useCallback(
    (now: number) => {
      const at = live.fleet.measured(gpu.place);
      return at === 0 ? "" : `measured ${dateTime(at)}, ${duration(now - at)} ago`;
    },
    [live, gpu],
  );
  return (
    <section aria-label="Latest values">
      <h2>
        Latest values <LiveText className="note" read={measured} />
      </h2>
      <table className="plain">
        <tbody>
          {metrics.map((m) => (
            <tr key={m}>
              <th scope="row" title={metricDescription(m)}>
                {metricTitle(m)} <span className="code faint">{m}</span>
              </th>
              <td className="number">
                <Value gpu={gpu} metric={m} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Value({ gpu, metric }: { gpu: Gpu; metric: string }) {
  const { fleet } = useLive();
  const read = useCallback(() => showText(fleet.value(metric, gpu.place), fleet.unit(metric)), [fleet, gpu, metric]);
  return (
    <span data-latest={metric}>
      <LiveText read={read} />
    </span>
  );
}
