/** Tells the truth about the connection: whether what is shown is live, and if not since when. */
import type { State } from "@gpupulse/sdk";

import { duration } from "../format/time";
import { useConnection, useLive, useLocalTime } from "../bind/live";

/** Connected and nothing arrives for so long, in milliseconds: then nobody sends. */
const silentAfter = 10_000;
/** A reconnect within this is not worth a colour. */
const patience = 500;

interface Told {
  tone: "live" | "waiting" | "lost";
  text: string;
  title: string;
}

/** What the badge says. silence is the age of the newest reading in milliseconds, Infinity if there is none. */
export function tell(state: State, silence: number, skipped: number, now: number): Told {
  switch (state.kind) {
    case "connected": {
      const missed = skipped > 0 ? ` ${skipped} updates were skipped because this page was slow.` : "";
      if (silence > silentAfter) {
        const since = silence === Infinity ? "" : ` for ${duration(silence)}`;
        return { tone: "waiting", text: "Connected, no readings", title: `No agent has sent anything${since}.${missed}` };
      }
      return { tone: "live", text: "Live", title: `Connected to ${state.welcome.server} ${state.welcome.version}.${missed}` };
    }
    case "connecting": {
      const away = now - state.since;
      const why = state.cause ? `: ${state.cause.message}` : "";
      if (silence === Infinity && state.attempt <= 1) return { tone: "waiting", text: "Connecting", title: "Connecting to the hub" };
      const soon = state.retryAt === undefined ? "now" : `in ${duration(state.retryAt - now)}`;
      return {
        tone: away < patience ? "waiting" : "lost",
        text: `Reconnecting, lost ${duration(away)} ago`,
        title: `The connection was lost${why}. Attempt ${state.attempt} ${soon}. What you see is from before.`,
      };
    }
    case "closed":
      return {
        tone: "lost",
        text: "Lost",
        title: state.cause ? `The hub refused this page: ${state.cause.message}.` : "The connection is closed.",
      };
  }
}

export function ConnectionBadge() {
  const live = useLive();
  const state = useConnection();
  const now = useLocalTime();
  const silence = live.heard === 0 ? Infinity : live.now() - live.heard;
  const told = tell(state, silence, live.skipped, now);
  return (
    <div className={`badge ${told.tone}`} role="status" title={told.title} data-state={state.kind}>
      <span className="dot" aria-hidden="true" />
      <span className="badge-text">{told.text}</span>
      {state.kind === "connecting" && told.tone === "lost" && (
        <button type="button" className="small" onClick={() => live.client.retryNow()}>
          Retry
        </button>
      )}
    </div>
  );
}
