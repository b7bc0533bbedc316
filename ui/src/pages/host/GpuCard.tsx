import { useCallback, useEffect, useRef } from "react";
import { Link } from "wouter";

import { metricTitle } from "../../format/metrics";
import { showText } from "../../format/units";
import { memoryTotal } from "../../live/condition";
import type { Gpu } from "../../live/fleet";
import { gpuName } from "../../live/overview";
import { LiveText, useLive } from "../../bind/live";
import { StateChip } from "../../bind/StateChip";
import { useTheme } from "../../theme/theme";

const shown = ["gpu.power", "gpu.temp", "gpu.clock.sm"];

/** A GPU of a host: two bars and three numbers. */
export function GpuCard({ gpu, colour }: { gpu: Gpu; colour: number | undefined }) {
  const { fleet } = useLive();
  const { palette } = useTheme();
  const util = useCallback(() => fleet.value("gpu.util", gpu.place), [fleet, gpu]);
  const memory = useCallback(() => fleet.value("gpu.mem.used", gpu.place) / memoryTotal(fleet, gpu.place), [fleet, gpu]);
  const used = useCallback(() => showText(fleet.value("gpu.mem.used", gpu.place), "bytes"), [fleet, gpu]);
  const busy = useCallback(() => showText(fleet.value("gpu.util", gpu.place), "ratio"), [fleet, gpu]);
  return (
    <li className="card">
      <div className="card-head">
        <span className="line-sign" style={{ background: colour === undefined ? "transparent" : palette.lines[colour] }} aria-hidden="true" />
        <Link href={`/gpus/${encodeURIComponent(gpu.id)}`}>{gpuName(gpu)}</Link>
        <StateChip gpu={gpu} />
      </div>
      <Bar name={metricTitle("gpu.util")} share={util} text={busy} />
      <Bar name="Memory" share={memory} text={used} />
      <p className="card-numbers">
        {shown.map((m) => (
          <Number key={m} gpu={gpu} metric={m} />
        ))}
      </p>
    </li>
  );
}

function Number({ gpu, metric }: { gpu: Gpu; metric: string }) {
  const { fleet } = useLive();
  const read = useCallback(() => showText(fleet.value(metric, gpu.place), fleet.unit(metric)), [fleet, gpu, metric]);
  return (
    <span title={metricTitle(metric)}>
      <LiveText read={read} />
    </span>
  );
}

function Bar({ name, share, text }: { name: string; share: () => number; text: () => string }) {
  const live = useLive();
  const ref = useRef<HTMLSpanElement>(null);
  useEffect(
    () =>
      live.loop.add(() => {
        const s = share();
        // A share that is absent has no bar at all, not an empty one.
        const scale = isNaN(s) ? "0" : String(Math.round(Math.min(1, Math.max(0.004, s)) * 250) / 250);
        if (ref.current && ref.current.style.scale !== `${scale} 1`) ref.current.style.scale = `${scale} 1`;
      }),
    [live, share],
  );
  return (
    <div className="bar">
      <span>{name}</span>
      <span className="bar-track" aria-hidden="true">
        <span ref={ref} className="bar-fill" />
      </span>
      <LiveText className="bar-value" read={text} />
    </div>
  );
}
