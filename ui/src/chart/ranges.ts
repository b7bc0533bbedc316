/** The spans that one can choose, and the steps in which each is shown. Milliseconds. */

export interface Range {
  name: string;
  title: string;
  span: number;
  step: number;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

/** Steps give 300 to 900 points: more than that a chart of usual width cannot show. */
export const ranges: readonly Range[] = [
  { name: "5m", title: "5 min", span: 5 * minute, step: second },
  { name: "15m", title: "15 min", span: 15 * minute, step: second },
  { name: "1h", title: "1 h", span: hour, step: 5 * second },
  { name: "6h", title: "6 h", span: 6 * hour, step: 30 * second },
  { name: "24h", title: "24 h", span: 24 * hour, step: 2 * minute },
  { name: "7d", title: "7 d", span: 168 * hour, step: 15 * minute },
];

export const usualRange = "15m";

export function rangeOf(name: string | null): Range {
  const found = ranges.find((r) => r.name === name) ?? ranges.find((r) => r.name === usualRange);
  if (!found) throw new Error("there are no ranges");
  return found;
}
