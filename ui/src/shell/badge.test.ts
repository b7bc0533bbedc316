import { create } from "@bufbuild/protobuf";
import { Fault } from "@gpupulse/sdk";
import { expect, test } from "vitest";

import { WelcomeSchema } from "../../../sdk/js/src/gen/frame_pb";
import { tell } from "./ConnectionBadge";

const now = 1_000_000;
const welcome = create(WelcomeSchema, { server: "hub-1", version: "1.2" });
const connected = { kind: "connected", since: now - 60_000, welcome } as const;

test("live only while readings come", () => {
  expect(tell(connected, 900, 0, now)).toMatchObject({ tone: "live", text: "Live", title: "Connected to hub-1 1.2." });
  expect(tell(connected, 900, 7, now).title).toContain("7 updates were skipped");
  expect(tell(connected, 30_000, 0, now)).toMatchObject({ tone: "waiting", text: "Connected, no readings" });
  expect(tell(connected, Infinity, 0, now).text).toBe("Connected, no readings");
});

test("a lost connection says since when, why and what happens", () => {
  const cause = new Fault(4000, "restart");
  const lost = { kind: "connecting", since: now - 12_000, attempt: 3, retryAt: now + 4000, cause } as const;
  expect(tell(lost, 12_500, 0, now)).toEqual({
    tone: "lost",
    text: "Reconnecting, lost 12 s ago",
    title: "The connection was lost: draining: restart. Attempt 3 in 4 s. What you see is from before.",
  });
  expect(tell({ kind: "connecting", since: now, attempt: 1 }, Infinity, 0, now)).toMatchObject({ tone: "waiting", text: "Connecting" });
  expect(tell({ kind: "closed", since: now, cause: new Fault(4502, "") }, 1, 0, now)).toMatchObject({ tone: "lost", text: "Lost" });
});
