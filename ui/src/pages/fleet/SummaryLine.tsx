import { useEffect, useMemo, useRef } from "react";

import { show, showText } from "../../format/units";
import type { Shown } from "../../format/units";
import { hotFrom, idleBelow, quietAfter, summarise } from "../../live/condition";
import type { Summary } from "../../live/condition";
import { useLive } from "../../bind/live";
import type { StateFilter } from "./query";

interface Entry {
  name: string;
  title: string;
  /** Pressing it shows only these. */
  filter?: StateFilter;
  read: (s: Summary) => Shown & { more?: string };
}

const count = (n: number): Shown => ({ text: n.toLocaleString("en"), unit: "" });

const entries: readonly Entry[] = [
  { name: "GPUs", title: "All GPUs that were ever heard of: shows them all", filter: "", read: (s) => ({ ...count(s.gpus), more: `${s.hosts.toLocaleString("en")} hosts` }) },
  { name: "Busy", title: `Utilisation of at least ${idleBelow * 100} %`, filter: "busy", read: (s) => ({ ...count(s.busy), more: share(s.busy, s.gpus) }) },
  { name: "Idle", title: `Utilisation below ${idleBelow * 100} %`, filter: "idle", read: (s) => ({ ...count(s.idle), more: share(s.idle, s.gpus) }) },
  { name: "Idle, held", title: "Idle, and yet more than 1 GiB of memory is in use", filter: "holding", read: (s) => count(s.holding) },
  { name: "Hot", title: `${hotFrom} °C or more`, filter: "hot", read: (s) => count(s.hot) },
  { name: "Quiet", title: `No reading for ${quietAfter / 1000} s`, filter: "quiet", read: (s) => count(s.quiet) },
  { name: "Power", title: "Sum over the GPUs that are not quiet", read: (s) => power(s.power) },
  { name: "Memory", title: "Device memory in use, of all that there is", read: (s) => ({ ...show(s.memoryUsed, "bytes"), more: outOf(s.memoryTotal) }) },
];

function power(watts: number): Shown {
  return watts >= 1000 ? { text: (watts / 1000).toFixed(watts >= 100_000 ? 0 : 1), unit: "kW" } : show(watts, "watts");
}

function outOf(bytes: number): string {
  return Number.isNaN(bytes) ? "" : `of ${showText(bytes, "bytes")}`;
}

function share(n: number, of: number): string {
  return of === 0 ? "" : `${Math.round((n / of) * 100)} %`;
}

/** At most so many updates a second: people read no faster. */
const pause = 250;

/** The fleet in a line of numbers; some of them are filters. */
export function SummaryLine({ state, choose }: { state: StateFilter; choose: (s: StateFilter) => void }) {
  const live = useLive();
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    let drawn = 0;
    return live.loop.add((frame) => {
      if (frame - drawn < pause || !list.current) return;
      drawn = frame;
      write(list.current, summarise(live.fleet, live.now()));
    });
  }, [live]);
  // The texts are written from outside, so React must not render these nodes again.
  const bodies = useMemo(() => entries.map((e) => <Body key={e.name} name={e.name} />), []);
  return (
    <ul className="summary" ref={list} aria-label="Summary">
      {entries.map((e, i) => (
        <li key={e.name} data-entry={e.name}>
          {e.filter === undefined ? (
            <div className="stat" title={e.title}>
              {bodies[i]}
            </div>
          ) : (
            <button
              type="button"
              className="stat"
              title={e.title}
              aria-pressed={e.filter === "" ? undefined : state === e.filter}
              onClick={() => choose(state === e.filter ? "" : (e.filter ?? ""))}
            >
              {bodies[i]}
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function Body({ name }: { name: string }) {
  return (
    <>
      <span className="stat-name">{name}</span>
      <span className="stat-value">
        <b />
        <small />
      </span>
      <span className="stat-more" />
    </>
  );
}

function write(list: HTMLUListElement, s: Summary): void {
  for (const [i, e] of entries.entries()) {
    const li = list.children[i];
    if (!li) continue;
    const shown = e.read(s);
    set(li.querySelector("b"), shown.text);
    set(li.querySelector("small"), shown.unit);
    set(li.querySelector(".stat-more"), shown.more ?? "");
    li.classList.toggle("alarm", (e.filter === "hot" || e.filter === "quiet") && shown.text !== "0");
  }
}

function set(node: Element | null, text: string): void {
  if (node && node.textContent !== text) node.textContent = text;
}
