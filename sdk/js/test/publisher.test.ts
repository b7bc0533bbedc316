import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Client } from "../src/client.js";
import type { ClientOptions } from "../src/client.js";
import { FakeHub } from "./fakeServer.js";
import type { HubOptions } from "./fakeServer.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(0);
const message = (topic: string) => ({ topic, payload: new Uint8Array([1]) });

async function connect(hub: HubOptions = {}, options: ClientOptions = {}) {
  const fake = new FakeHub(hub);
  const client = new Client("ws://hub/ws", { socket: fake.socket, random: () => 0.5, ...options });
  await settle();
  return { hub: fake, client };
}

test("every message gets its own answer", async () => {
  const { hub, client } = await connect();
  const results = client.publish(message("a.1"), message("a.2"), message("a..3"), message("a.4"));
  await settle();
  const [sent] = hub.last.sent("publish");
  expect(sent?.messages.map((m) => m.id)).toEqual(["1", "2", "3", "4"]);
  hub.last.say({
    case: "pubAck",
    value: {
      request: sent?.request ?? 0n, firstSequence: 1000n, count: 4,
      exceptions: [{ index: 1, duplicateOf: 17n }, { index: 2, code: 101, text: "empty token" }],
    },
  });
  expect(await results).toMatchObject([
    { sequence: 1000n, duplicate: false },
    { sequence: 17n, duplicate: true },
    { fault: { code: 101, text: "empty token" } },
    { sequence: 1001n, duplicate: false },
  ]);
});

test("what was not answered goes again with the same ids, before what is new", async () => {
  const { hub, client } = await connect({}, { minBackoff: 100 });
  void client.publish(message("a.1"));
  void client.publish(message("a.2"));
  await settle();
  hub.last.end(1006);
  void client.publish(message("a.3"));
  await vi.advanceTimersByTimeAsync(50);
  const again = hub.last.sent("publish").flatMap((p) => p.messages);
  expect(again.map((m) => [m.topic, m.id])).toEqual([["a.1", "1"], ["a.2", "2"], ["a.3", "3"]]);
});

test("the window holds back, and the queue before it is bounded", async () => {
  const { hub, client } = await connect({ welcome: { maxUnacked: 2 } }, { maxWaiting: 3 });
  for (let i = 0; i < 5; i++) void client.publish(message(`a.${i}`));
  await expect(client.publish(message("a.5"))).rejects.toMatchObject({ code: 104 });
  await settle();
  expect(hub.last.sent("publish")).toHaveLength(2);
  hub.last.say({ case: "pubAck", value: { request: hub.last.sent("publish")[0]?.request ?? 0n, firstSequence: 1n, count: 1 } });
  await settle();
  expect(hub.last.sent("publish")).toHaveLength(3);
});

test("what the log could not take goes again later", async () => {
  const { hub, client } = await connect();
  const results = client.publish(message("a.1"), message("a.2"));
  await settle();
  const value = { request: hub.last.sent("publish")[0]?.request ?? 0n, firstSequence: 8n, count: 2 };
  hub.last.say({ case: "pubAck", value: { ...value, exceptions: [{ index: 0, code: 108, text: "disk full" }] } });
  await vi.advanceTimersByTimeAsync(1000);
  const second = hub.last.sent("publish")[1];
  expect(second?.messages.map((m) => m.id)).toEqual(["1"]);
  hub.last.say({ case: "error", value: { request: second?.request ?? 0n, code: 108, text: "disk full" } });
  await vi.advanceTimersByTimeAsync(1000);
  const third = hub.last.sent("publish")[2];
  hub.last.say({ case: "pubAck", value: { request: third?.request ?? 0n, firstSequence: 9n, count: 1 } });
  expect(await results).toMatchObject([{ sequence: 9n }, { sequence: 8n }]);
});

test("a batch that no frame can hold is refused here", async () => {
  const { client } = await connect({ welcome: { maxFrameBytes: 1000 } });
  await expect(client.publish({ topic: "a.b", payload: new Uint8Array(1000) })).rejects.toMatchObject({ code: 102 });
});

test("a refused request fails its batch only", async () => {
  const { hub, client } = await connect();
  const refused = expect(client.publish(message("a.1"))).rejects.toMatchObject({ code: 103 });
  await settle();
  hub.last.say({ case: "error", value: { request: hub.last.sent("publish")[0]?.request ?? 0n, code: 103, text: "not yours" } });
  await refused;
  expect(client.state.kind).toBe("connected");
});
