import { useCallback } from "react";

import { compareMetrics, metricTitle } from "../format/metrics";
import { duration } from "../format/time";
import { showText } from "../format/units";
import { condition } from "../live/condition";
import type { Gpu } from "../live/fleet";
import { LiveText, useLive } from "../bind/live";
import type { Box } from "./layout";

const width = 232;

/** The most asked for values of the GPU under the pointer, and the one that colours. */
export function Tip({ gpu, box, width: room, metric }: { gpu: Gpu; box: Box; width: number; metric: string }) {
  const { fleet } = useLive();
  const names = [...new Set([metric, "gpu.util", "gpu.mem.used", "gpu.power", "gpu.temp"])]
    .filter((n) => fleet.units.has(n))
    .sort(compareMetrics);
  const left = Math.max(0, Math.min(box.x + box.width / 2 - width / 2, room - width));
  const state = useCallback(
    (now: number) => {
      const c = condition(fleet, gpu.place, now);
      return c === "quiet" ? `quiet for ${duration(now - fleet.heard(gpu.place))}` : c === "unknown" ? "" : c;
    },
    [fleet, gpu],
  );
  return (
    <div className="tip" style={{ left, top: box.y + box.height + 8, width }} aria-hidden="true">
      <strong>
        {gpu.host} · GPU {gpu.index}
      </strong>
      <span className="tip-model">{gpu.model}</span>
      <LiveText className="tip-state" read={state} />
      <dl>
        {names.map((n) => (
          <TipValue key={n} gpu={gpu} name={n} />
        ))}
      </dl>
    </div>
  );
}

function TipValue({ gpu, name }: { gpu: Gpu; name: string }) {
  const { fleet } = useLive();
  const read = useCallback(() => showText(fleet.value(name, gpu.place), fleet.unit(name)), [fleet, gpu, name]);
  return (
    <>
      <dt>{metricTitle(name)}</dt>
      <dd>
        <LiveText read={read} />
      </dd>
    </>
  );
}
