import type { ReactNode } from "react";

import { sentence } from "../../api/client";
import { ago, duration, parseTime } from "../../format/time";
import { plain, showText } from "../../format/units";
import { useNow } from "../../bind/live";
import { useConnections, useConsumers, useTopics } from "./usePipeline";

interface Column<T> {
  name: string;
  title?: string;
  /** Numbers stand at the right. */
  number?: boolean;
  show: (item: T) => ReactNode;
  alarm?: (item: T) => boolean;
}

interface Listed<T> {
  data: { items: T[]; total: number } | undefined;
  error: Error | null;
}

function List<T>({ name, query, columns, keyOf, empty }: {
  name: string;
  query: Listed<T>;
  columns: readonly Column<T>[];
  keyOf: (item: T) => string | number;
  empty: string;
}) {
  const { data, error } = query;
  return (
    <section aria-label={name}>
      <h2>
        {name} {data && <span className="note">{plain(data.total)}</span>}
      </h2>
      {error && !data && <p className="problem">{sentence(error)}</p>}
      {data?.items.length === 0 && <p className="note">{empty}</p>}
      {data && data.items.length > 0 && (
        <div className="scroll" tabIndex={0} role="group" aria-label={`${name}, a table to scroll`}>
          <table className="rows">
            <thead>
              <tr>
                {columns.map((c) => (
                  <th key={c.name} scope="col" title={c.title} className={c.number ? "number" : undefined}>
                    {c.name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {data.items.map((item) => (
                <tr key={keyOf(item)}>
                  {columns.map((c) => (
                    <td key={c.name} className={[c.number ? "number" : "", c.alarm?.(item) ? "alarm" : ""].join(" ")}>
                      {c.show(item)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && data.total > data.items.length && (
        <p className="note">
          The first {data.items.length} of {plain(data.total)}.
        </p>
      )}
    </section>
  );
}

/** From here on a consumer is behind, in seconds. */
const lagging = 10;

export function Consumers() {
  const query = useConsumers();
  return (
    <List
      name="Consumers"
      query={query}
      keyOf={(c) => c.consumer}
      empty="Nobody consumes: readings stay in the log until somebody does."
      columns={[
        { name: "Name", show: (c) => <span className="code">{c.consumer}</span> },
        { name: "Filter", show: (c) => <span className="code">{c.filter}</span> },
        { name: "Members", number: true, show: (c) => plain(c.members), alarm: (c) => c.members === 0 },
        { name: "Lag", title: "Age of the oldest message that is not answered", number: true, show: (c) => showText(c.lag_seconds, "seconds"), alarm: (c) => c.lag_seconds > lagging },
        { name: "Pending", title: "Not yet delivered", number: true, show: (c) => plain(c.pending) },
        { name: "In flight", title: "Delivered and not answered, of so many at most", number: true, show: (c) => `${plain(c.in_flight)} / ${plain(c.max_in_flight)}` },
        { name: "Acked", number: true, show: (c) => plain(c.acked) },
        { name: "Redelivered", number: true, show: (c) => plain(c.redelivered) },
        { name: "Dead letters", number: true, show: (c) => plain(c.dead_letters), alarm: (c) => c.dead_letters > 0 },
        { name: "Lost", title: "Gone from the log before they were answered", number: true, show: (c) => plain(c.lost), alarm: (c) => c.lost > 0 },
      ]}
    />
  );
}

export function Connections() {
  const query = useConnections();
  const now = useNow();
  return (
    <List
      name="Connections"
      query={query}
      keyOf={(c) => c.id}
      empty="Nobody is connected."
      columns={[
        { name: "Name", show: (c) => (c.name === "" ? "without a name" : c.name) },
        { name: "Client", show: (c) => c.client },
        { name: "From", show: (c) => <span className="code">{c.remote}</span> },
        { name: "Protocol", show: (c) => <span className="code">{c.protocol}</span> },
        { name: "For", number: true, show: (c) => duration(now - parseTime(c.since)) },
        { name: "Published", number: true, show: (c) => plain(c.published) },
        { name: "Delivered", number: true, show: (c) => plain(c.delivered) },
        { name: "Dropped", number: true, show: (c) => plain(c.dropped), alarm: (c) => c.dropped > 0 },
        { name: "Queue", title: "Waits to be sent", number: true, show: (c) => `${plain(c.queue_messages)}, ${showText(c.queue_bytes, "bytes")}` },
      ]}
    />
  );
}

export function Topics() {
  const query = useTopics();
  const now = useNow();
  return (
    <List
      name="Topics"
      query={query}
      keyOf={(t) => t.topic}
      empty="Nothing was ever published."
      columns={[
        { name: "Topic", show: (t) => <span className="code">{t.topic}</span> },
        { name: "Rate", title: "Over a minute", number: true, show: (t) => `${t.rate_1m.toFixed(1)} /s` },
        { name: "Messages", number: true, show: (t) => plain(t.messages) },
        { name: "Size", number: true, show: (t) => showText(t.bytes, "bytes") },
        { name: "Last", number: true, show: (t) => ago(now - parseTime(t.last_time)) },
        { name: "Subscribers", number: true, show: (t) => plain(t.subscribers) },
      ]}
    />
  );
}
