import { create, toBinary } from "@bufbuild/protobuf";
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Router } from "wouter";
import { memoryLocation } from "wouter/memory-location";

import { FakeHub } from "../../../../sdk/js/test/fakeServer";
import { ReadingPayloadSchema } from "../../../../sdk/js/src/gen/reading_pb";
import { LiveContext } from "../../bind/live";
import { Live } from "../../live/live";
import { ThemeProvider } from "../../theme/theme";
import { FleetPage } from "./FleetPage";

const start = Date.parse("2026-01-31T12:00:00Z");
let live: Live;
let hub: FakeHub;

beforeEach(() => {
  vi.useFakeTimers({ now: start });
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ items: [], total: 0 })));
  hub = new FakeHub();
  live = new Live("ws://hub/ws", { socket: hub.socket });
});
afterEach(() => {
  cleanup();
  live.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

function show(searchPath: string) {
  const { hook, searchHook } = memoryLocation({ path: "/", searchPath });
  render(
    <Router hook={hook} searchHook={searchHook}>
      <LiveContext value={live}>
        <ThemeProvider>
          <FleetPage />
        </ThemeProvider>
      </LiveContext>
    </Router>,
  );
}

/** util is a percentage, as the source of descriptor 1 has it. */
function say(gpu: string, index: string, util: number) {
  const timeUnixNano = BigInt(Date.now()) * 1_000_000n;
  const payload = toBinary(
    ReadingPayloadSchema,
    create(ReadingPayloadSchema, { timeUnixNano, host: "node-1", gpu, labels: { index }, descriptor: [1], value: [util] }),
  );
  const subscription = hub.last.sent("subscribe")[0]?.request ?? 0n;
  const one = { sequence: 1n, attempt: 1, timeUnixNano, message: { topic: `gpu.node-1.${gpu}`, payload } };
  hub.last.say({ case: "deliver", value: { subscription, deliveries: [one] } });
}

test("an empty fleet says what to type", async () => {
  show("");
  expect(screen.getByRole("heading").textContent).toBe("Looking for GPUs");
  await pass(5000);
  expect(screen.getByRole("heading", { name: "No GPUs yet" })).toBeDefined();
  expect(screen.getByText(/gpupulse-agent --source sim --server ws:/u)).toBeDefined();
});

test("rows follow the readings; what was not measured is a dash", async () => {
  show("view=table");
  await pass(0);
  say("g1", "1", 29);
  say("g0", "0", 0);
  await pass(1000);
  // Rows come with one frame, their values with the next.
  await pass(100);
  const cells = () => screen.getAllByRole("row").slice(1).map((r) => [...r.querySelectorAll("td")].map((c) => c.textContent));
  const dash = "—";
  expect(cells().filter((c) => c.length > 0)).toEqual([
    ["node-1", "0", "idle", "0 %", dash, dash, dash, dash, "now"],
    ["node-1", "1", "busy", "29 %", dash, dash, dash, dash, "now"],
  ]);
  expect(screen.getByRole("button", { name: /^GPUs/u }).textContent).toBe("GPUs21 hosts");
  say("g0", "0", 90);
  await pass(1000);
  expect(cells().find((c) => c[1] === "0")?.[3]).toBe("90 %");
  await pass(20_000);
  expect(cells().find((c) => c[1] === "0")?.[2]).toBe("quiet");
});
