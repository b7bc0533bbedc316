/** How components get at what is live. Values go to the DOM in frames, not through state. */
import { createContext, use, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
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
  return useSecond(useCallback(() => live.now(), [live]));
}

/** Time by this machine's clock, once a second. */
export function useLocalTime(): number {
  return useSecond(Date.now);
}

function useSecond(read: () => number): number {
  const [now, setNow] = useState(read);
  useEffect(() => {
    const timer = setInterval(() => setNow(read()), 1000);
    return () => clearInterval(timer);
  }, [read]);
  return now;
}

/**
 * Places of GPUs, as find has them: looked for again when GPUs come and, if the answer
 * follows values, each second. The array stays the same while its content does.
 */
export function usePlaces(find: (now: number) => readonly number[], followsValues: boolean): readonly number[] {
  const live = useLive();
  const [places, setPlaces] = useState(() => find(live.now()));
  useEffect(() => {
    let seen = "";
    return live.loop.add(() => {
      const now = live.now();
      const key = `${live.fleet.structure} ${followsValues ? Math.floor(now / 1000) : ""}`;
      if (key === seen) return;
      seen = key;
      const found = find(now);
      setPlaces((old) => (old.length === found.length && old.every((p, i) => p === found[i]) ? old : found));
    });
  }, [live, find, followsValues]);
  return places;
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
