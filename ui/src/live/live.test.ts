import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { FakeHub } from "../../../sdk/js/test/fakeServer";
import { ReadingPayloadSchema } from "../../../sdk/js/src/gen/reading_pb";
import { Live } from "./live";

const start = Date.parse("2026-01-31T12:00:00Z");

beforeEach(() => {
  vi.useFakeTimers({ now: start });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = () => vi.advanceTimersByTimeAsync(0);

function delivery(sequence: bigint, gpu: string, util: number, at: number) {
  const time = BigInt(at) * 1_000_000n;
  const payload = toBinary(
    ReadingPayloadSchema,
    create(ReadingPayloadSchema, { timeUnixNano: time, host: "h", gpu, descriptor: [1], value: [util], labels: { index: "0" } }),
  );
  return { sequence, attempt: 1, timeUnixNano: time, message: { topic: `gpu.h.${gpu}`, payload } };
}

/** A server that remembers one GPU besides those that speak. */
function stubRest() {
  const answers: Record<string, unknown> = {
    "/api/v1/gpus": { items: [{ id: "gone", host: "h", index: 3, model: "M", labels: { index: "3" }, last_seen: "2026-01-30T12:00:00Z" }] },
    "/api/v1/latest": { items: [{ host: "h", gpu: "gone", metric: "gpu.temp", value: 40, unit: "celsius", time: "2026-01-30T12:00:00Z" }], total: 2 },
  };
  vi.stubGlobal("fetch", (url: string) => Promise.resolve(Response.json(answers[url.split("?")[0] ?? ""])));
}

test("readings reach the fleet, and GPUs that went quiet are not forgotten", async () => {
  stubRest();
  const hub = new FakeHub();
  const live = new Live("ws://hub/ws", { socket: hub.socket });
  await settle();
  const [sub] = hub.last.sent("subscribe");
  expect(sub).toMatchObject({ filter: "gpu.>", conflateMs: 250, sendLast: true });
  const subscription = sub?.request ?? 0n;
  hub.last.say({ case: "subscribed", value: { request: subscription, epoch: "e", sequence: 1n } });
  hub.last.say({ case: "deliver", value: { subscription, deliveries: [delivery(1n, "g", 29, start)] } });
  hub.last.say({ case: "deliver", value: { subscription, deliveries: [{ ...delivery(2n, "x", 1, start), message: { topic: "gpu.x", payload: new Uint8Array([255]) } }] } });
  expect(live.fleet.gpus).toMatchObject([{ id: "g", host: "h", topic: "gpu.h.g" }]);
  expect(live.fleet.value("gpu.util", 0)).toBe(0.29);
  expect(live.unreadable).toBe(1);

  await vi.advanceTimersByTimeAsync(2000);
  expect(live.fleet.gpus).toMatchObject([{ id: "g" }, { id: "gone", index: "3" }]);
  expect(live.fleet.value("gpu.temp", 1)).toBe(40);
  expect(live.fleet.heard(1)).toBe(Date.parse("2026-01-30T12:00:00Z"));
  live.close();
});

test("time is the hub's where its clock is ahead", async () => {
  const hub = new FakeHub();
  const live = new Live("ws://hub/ws", { socket: hub.socket });
  await settle();
  const subscription = hub.last.sent("subscribe")[0]?.request ?? 0n;
  hub.last.say({ case: "deliver", value: { subscription, deliveries: [delivery(1n, "g", 1, start + 60_000)] } });
  expect(live.now()).toBe(start + 60_000);
  live.close();
});

test("without a connection time stands still, and nobody goes quiet", async () => {
  const hub = new FakeHub();
  const live = new Live("ws://hub/ws", { socket: hub.socket });
  await settle();
  hub.options.down = true;
  await vi.advanceTimersByTimeAsync(1000);
  hub.last.end(1006);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(live.now()).toBe(start + 1000);
  hub.options.down = false;
  live.client.retryNow();
  await settle();
  expect(live.now()).toBe(start + 61_000);
  live.close();
});

test("following a GPU gives every reading, and tells what was missed", async () => {
  const hub = new FakeHub();
  const live = new Live("ws://hub/ws", { socket: hub.socket, minBackoff: 100, random: () => 0 });
  await settle();
  const seen: number[] = [];
  const missed = vi.fn();
  const gpu = { place: 0, id: "g.1", host: "h", index: "", model: "", labels: {}, topic: "" };
  const stop = live.follow(gpu, { onReading: (r) => seen.push(r.values[0] ?? NaN), onMissed: missed });
  await settle();
  const sub = hub.last.sent("subscribe")[1];
  expect(sub).toMatchObject({ filter: "gpu.h.g%2E1", conflateMs: 0 });
  const subscription = sub?.request ?? 0n;
  hub.last.say({ case: "subscribed", value: { request: subscription, epoch: "e", sequence: 1n } });
  hub.last.say({ case: "deliver", value: { subscription, deliveries: [delivery(2n, "g.1", 10, start), delivery(3n, "g.1", 20, start)] } });
  expect(seen).toEqual([0.1, 0.2]);
  expect(missed).not.toHaveBeenCalled();

  hub.last.end(1006);
  await vi.advanceTimersByTimeAsync(10);
  hub.last.say({ case: "subscribed", value: { request: subscription, epoch: "e", sequence: 9n, recovered: true } });
  expect(missed).not.toHaveBeenCalled();
  hub.last.end(1006);
  await vi.advanceTimersByTimeAsync(10);
  hub.last.say({ case: "subscribed", value: { request: subscription, epoch: "another", sequence: 1n } });
  expect(missed).toHaveBeenCalledTimes(1);
  hub.last.say({ case: "dropped", value: { subscription, count: 5n } });
  expect(missed).toHaveBeenCalledTimes(2);
  stop();
  live.close();
});
