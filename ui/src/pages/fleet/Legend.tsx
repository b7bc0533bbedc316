import { useCallback } from "react";

import { metricDescription, metricTitle } from "../../format/metrics";
import { showText } from "../../format/units";
import { LiveText, useLive } from "../../bind/live";
import { gradient } from "../../theme/palette";
import { useTheme } from "../../theme/theme";
import { domainOf } from "../../tiles/domain";

/** What the tiles' colours and marks mean. */
export function Legend({ metric }: { metric: string }) {
  const { fleet } = useLive();
  const { palette } = useTheme();
  const end = useCallback(
    (i: 0 | 1) => showText(domainOf(fleet, metric)[i], fleet.unit(metric)),
    [fleet, metric],
  );
  const least = useCallback(() => end(0), [end]);
  const most = useCallback(() => end(1), [end]);
  return (
    <div className="legend" title={metricDescription(metric)}>
      <span className="hidden">{`Colours show ${metricTitle(metric)} from`}</span>
      <LiveText read={least} />
      <span className="ramp" style={{ background: gradient(palette) }} aria-hidden="true" />
      <LiveText read={most} />
      <span className="mark hot">hot</span>
      <span className="mark held">idle, holds memory</span>
      <span className="mark gone">quiet</span>
    </div>
  );
}
