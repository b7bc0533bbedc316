import { useSearchParams } from "wouter";

import { rangeOf, ranges, usualRange } from "./ranges";
import type { Range } from "./ranges";

/** The range that the address names. */
export function useRange(): Range {
  const [params] = useSearchParams();
  return rangeOf(params.get("range"));
}

/** Chooses the range, in the address. */
export function RangePicker() {
  const [, setParams] = useSearchParams();
  const range = useRange();
  const choose = (name: string) =>
    setParams((old) => {
      const next = new URLSearchParams(old);
      if (name === usualRange) next.delete("range");
      else next.set("range", name);
      return next;
    });
  return (
    <div className="switch" role="group" aria-label="Range">
      {ranges.map((r) => (
        <button key={r.name} type="button" aria-pressed={r.name === range.name} onClick={() => choose(r.name)}>
          {r.title}
        </button>
      ))}
    </div>
  );
}
