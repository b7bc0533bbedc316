import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Client } from "../src/client.js";
import type { ClientOptions, State } from "../src/client.js";
import type { Fault } from "../src/codes.js";
import type { Delivery } from "../src/gen/frame_pb.js";
import { FakeHub } from "./fakeServer.js";
import type { HubOptions } from "./fakeServer.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(0);

async function connect(hub: HubOptions = {}, options: ClientOptions = {}) {
  const fake = new FakeHub(hub);
  const client = new Client("ws://hub/ws", { socket: fake.socket, random: () => 0.5, ...options });
  const states: State[] = [];
  client.onState((s) => states.push(s));
  await settle();
  return { hub: fake, client, states };
}

function delivery(sequence: bigint, topic = "gpu.a.b") {
  return { sequence, attempt: 1, timeUnixNano: 1n, message: { topic, payload: new Uint8Array([1]) } };
}

describe("connection", () => {
  test.each([false, true])("introduces itself and is welcomed, json %s", async (json) => {
    const { hub, client } = await connect({}, { json, name: "page", token: "t", publisher: "p" });
    expect(hub.last.protocol).toBe(json ? "gpupulse.v1.json" : "gpupulse.v1");
    expect(hub.last.sent("connect")).toMatchObject([{ name: "page", token: "t", publisher: "p" }]);
    expect(client.state).toMatchObject({ kind: "connected", welcome: { server: "fake" } });
  });

  test("comes back with longer and longer waits, and at once when told so", async () => {
    const options: HubOptions = {};
    const { hub, client, states } = await connect(options, { minBackoff: 100, maxBackoff: 1000 });
    options.down = true;
    const lost = Date.now();
    hub.last.end(1006);
    expect(client.state).toMatchObject({ kind: "connecting", since: lost, attempt: 1, cause: { code: 1006 } });
    await vi.advanceTimersByTimeAsync(5000);
    const waits = states.flatMap((s) => (s.kind === "connecting" && s.retryAt !== undefined ? [s] : []));
    // Half of 100, 200, 400, 800 and then of the longest.
    expect(hub.attempts).toBe(1 + 4 + Math.floor((5000 - 750) / 500));
    expect(waits.at(-1)).toMatchObject({ since: lost });

    options.down = false;
    client.retryNow();
    await settle();
    expect(client.state.kind).toBe("connected");
    expect(hub.connections).toHaveLength(2);
  });

  test("waits as long as a hub asks that goes away", async () => {
    const { hub, client } = await connect({}, { minBackoff: 100 });
    hub.last.say({ case: "goAway", value: { reason: "draining", retryAfterMs: 2500 } });
    hub.last.end(4000, "draining");
    await vi.advanceTimersByTimeAsync(2500);
    expect(hub.connections).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(50);
    expect(client.state.kind).toBe("connected");
  });

  test("stays away where coming back will not help", async () => {
    const { hub, client } = await connect();
    const waiting = client.publish({ topic: "a.b", payload: new Uint8Array() });
    const refused = expect(waiting).rejects.toMatchObject({ code: 4502 });
    await settle();
    hub.last.end(4502, "the token is revoked");
    await refused;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(hub.attempts).toBe(1);
    expect(client.state).toMatchObject({ kind: "closed", cause: { code: 4502 } });
    await expect(client.publish({ topic: "a.b", payload: new Uint8Array() })).rejects.toThrow("unauthorised");
  });

  test("gives up on a hub that never says Welcome", async () => {
    const { hub, client } = await connect({ welcome: null }, { openTimeout: 1000, minBackoff: 100 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(client.state).toMatchObject({ kind: "connecting", cause: { code: 4002 } });
    expect(hub.connections[0]?.closed).toBeDefined();
    await vi.advanceTimersByTimeAsync(50);
    expect(hub.connections).toHaveLength(2);
  });

  test("asks a silent hub, and takes it for dead after two intervals", async () => {
    const { hub, client } = await connect({ welcome: { pingIntervalMs: 1000 } });
    await vi.advanceTimersByTimeAsync(1100);
    expect(hub.last.sent("ping")).toHaveLength(1);
    hub.last.say({ case: "pong", value: { nonce: 1n } });
    await vi.advanceTimersByTimeAsync(1500);
    expect(client.state.kind).toBe("connected");
    await vi.advanceTimersByTimeAsync(1100);
    expect(hub.connections[0]?.closed).toMatchObject({ code: 4002 });
    expect(hub.connections).toHaveLength(2);
  });

  test("answers pings, and lives through frames that it does not know", async () => {
    const { hub, client } = await connect({}, { json: true });
    hub.last.say({ case: "ping", value: { nonce: 77n } });
    hub.last.raw('{"somethingNewer":{}}');
    await settle();
    expect(hub.last.sent("pong")).toMatchObject([{ nonce: 77n }]);
    expect(client.state.kind).toBe("connected");
    hub.last.raw("no frame");
    expect(client.state).toMatchObject({ kind: "closed", cause: { code: 4501 } });
  });

  test("close ends it for good, twice", async () => {
    const { hub, client, states } = await connect();
    client.close();
    client.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(hub.attempts).toBe(1);
    expect(states.filter((s) => s.kind === "closed")).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("subscription", () => {
  test("gets what its number says, and opens again after a reconnect", async () => {
    const { hub, client } = await connect({}, { minBackoff: 100 });
    const got: bigint[] = [];
    const dropped: number[] = [];
    const take = (ds: Delivery[]) => got.push(...ds.map((d) => d.sequence));
    const s = client.subscribe("gpu.>", { conflateMs: 250, sendLast: true, onDropped: (n) => dropped.push(n) }, take);
    await settle();
    expect(hub.last.sent("subscribe")).toMatchObject([{ request: s.request, filter: "gpu.>", conflateMs: 250, sendLast: true }]);
    hub.last.say({ case: "subscribed", value: { request: s.request, epoch: "e-1", sequence: 5n } });
    hub.last.say({ case: "deliver", value: { subscription: s.request, deliveries: [delivery(6n), delivery(7n)] } });
    hub.last.say({ case: "deliver", value: { subscription: 99n, deliveries: [delivery(8n)] } });
    hub.last.say({ case: "dropped", value: { subscription: s.request, count: 3n } });
    expect(got).toEqual([6n, 7n]);
    expect(dropped).toEqual([3]);

    hub.last.end(1006);
    await vi.advanceTimersByTimeAsync(50);
    expect(hub.connections).toHaveLength(2);
    expect(hub.last.sent("subscribe")).toMatchObject([{ request: s.request, epoch: "", afterSequence: 0n }]);

    s.close();
    s.close();
    await settle();
    expect(hub.last.sent("unsubscribe")).toMatchObject([{ request: s.request }]);
    hub.last.say({ case: "deliver", value: { subscription: s.request, deliveries: [delivery(9n)] } });
    expect(got).toHaveLength(2);
  });

  test("a whole stream goes on after the last message that it got", async () => {
    const { hub, client } = await connect({}, { minBackoff: 100 });
    const recovered: boolean[] = [];
    const s = client.subscribe("gpu.>", { onSubscribed: (i) => recovered.push(i.recovered) }, () => undefined);
    await settle();
    hub.last.say({ case: "subscribed", value: { request: s.request, epoch: "e-1", sequence: 5n } });
    hub.last.say({ case: "deliver", value: { subscription: s.request, deliveries: [delivery(9n)] } });
    hub.last.end(4001, "slow reader");
    await vi.advanceTimersByTimeAsync(50);
    expect(hub.last.sent("subscribe")).toMatchObject([{ epoch: "e-1", afterSequence: 9n }]);
    hub.last.say({ case: "subscribed", value: { request: s.request, epoch: "e-1", sequence: 12n, recovered: true } });
    hub.last.end(1006);
    await vi.advanceTimersByTimeAsync(200);
    expect(hub.last.sent("subscribe")).toMatchObject([{ epoch: "e-1", afterSequence: 9n }]);
    expect(recovered).toEqual([false, true]);
  });

  test("a refusal ends it, and the connection stays", async () => {
    const { hub, client } = await connect();
    const refused: Fault[] = [];
    const s = client.subscribe("gpu..", { onRefused: (f) => refused.push(f) }, () => undefined);
    await settle();
    hub.last.say({ case: "error", value: { request: s.request, code: 101, text: "empty token" } });
    expect(refused).toMatchObject([{ code: 101, text: "empty token" }]);
    expect(client.state.kind).toBe("connected");
  });
});
