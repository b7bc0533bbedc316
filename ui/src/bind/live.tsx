/** How components get at what is live. Values go to the DOM in frames, not through state. */
import { createContext, use, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { State } from "@gpupulse/sdk";

import type { Live } from "../live/live";

export const LiveContext = createContext<Live | null>(null);

export function useLive(): Live {
  const live = use(LiveContext);
  if (!live) throw new Error("useLive outside of LiveContext");
  return live;
}

/** Rerenders when GPUs or metrics come, and never for a value. */
export function useFleet(): { live: Live; structure: number } {
  const live = useLive();
  const structure = useSyncExternalStore(live.fleet.subscribe, live.fleet.snapshot);
  return { live, structure };
}

/** The connection's state. */
export function useConnection(): State {
  const { client } = useLive();
  return useSyncExternalStore(
    (changed) => client.onState(changed),
    () => client.state,
  );
}

/** Time by the hub's clock, once a second. */
export function useNow(): number {
  const live = useLive();
  const [now, setNow] = useState(() => live.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(live.now()), 1000);
    return () => clearInterval(timer);
  }, [live]);
  return now;
}

/** A text that follows live values. read must be cheap: it runs in every frame with news. */
export function LiveText({ read, className }: { read: (now: number) => string; className?: string }) {
  const live = useLive();
  const ref = useRef<HTMLSpanElement>(null);
  useEffect(
    () =>
      live.loop.add(() => {
        const text = read(live.now());
        if (ref.current && ref.current.textContent !== text) ref.current.textContent = text;
      }),
    [live, read],
  );
  return <span ref={ref} className={className} />;
}
