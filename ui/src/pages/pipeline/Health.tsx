import { sentence } from "../../api/client";
import { useReadiness } from "./usePipeline";

/** Whether each part does its work, and if not why. */
export function Health() {
  const { data, error } = useReadiness();
  const parts = Object.entries(data?.parts ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const bad = parts.filter(([, p]) => !p.ready);
  let verdict = "Asking…";
  if (error) verdict = sentence(error);
  else if (data) verdict = bad.length === 0 ? "Every part is ready." : `Not ready: ${bad.map(([name]) => name).join(", ")}.`;
  return (
    <section className="health" aria-label="Health" role="status" data-ready={error ? "no" : data ? (data.ready ? "yes" : "no") : "unknown"}>
      <strong>{verdict}</strong>
      {!error && (
        <ul>
          {parts.map(([name, p]) => (
            <li key={name} data-ready={p.ready}>
              <span aria-hidden="true">{p.ready ? "✓" : "✕"}</span> {name}
              {!p.ready && p.reason !== undefined && `: ${p.reason}`}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
