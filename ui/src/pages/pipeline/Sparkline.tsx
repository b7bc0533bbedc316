const width = 120;
const height = 26;

/** The last values as a line from zero, without axes. */
export function Sparkline({ points, title }: { points: readonly number[]; title: string }) {
  const most = Math.max(1e-9, ...points);
  const step = width / Math.max(1, points.length - 1);
  const path = points.map((p, i) => `${i === 0 ? "M" : "L"}${(i * step).toFixed(1)} ${(height - 1 - (p / most) * (height - 3)).toFixed(1)}`);
  return (
    <svg className="sparkline" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={title}>
      {points.length > 1 && <path d={path.join("")} />}
    </svg>
  );
}
