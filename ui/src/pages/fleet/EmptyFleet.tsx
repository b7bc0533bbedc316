/** No GPU has ever been heard of: says what to type. */
export function EmptyFleet() {
  const server = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  return (
    <section className="empty">
      <h1>No GPUs yet</h1>
      <p>The hub is running and nobody has sent a reading. Start an agent, and this page fills by itself.</p>
      <h2>A simulated fleet, to look around</h2>
      <pre>bin/gpupulse-agent --source sim --server {server}</pre>
      <h2>Readings from a CSV file</h2>
      <pre>bin/gpupulse-agent --csv telemetry.csv --server {server}</pre>
    </section>
  );
}
