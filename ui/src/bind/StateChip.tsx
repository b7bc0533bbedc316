import { useEffect, useRef } from "react";

import { condition } from "../live/condition";
import type { Gpu } from "../live/fleet";
import { stateText } from "../live/overview";
import { useLive } from "./live";

/** A GPU's state as a word in its colour; follows it. */
export function StateChip({ gpu }: { gpu: Gpu }) {
  const live = useLive();
  const ref = useRef<HTMLSpanElement>(null);
  useEffect(
    () =>
      live.loop.add(() => {
        const node = ref.current;
        if (!node) return;
        const now = live.now();
        const text = stateText(live.fleet, gpu.place, now);
        if (node.textContent !== text) node.textContent = text;
        const state = condition(live.fleet, gpu.place, now);
        if (node.dataset.state !== state) node.dataset.state = state;
      }),
    [live, gpu],
  );
  return <span ref={ref} className="chip" />;
}
