/**
 * The TypeScript client of a gpupulse hub, and the readings that travel through it.
 *
 *     const client = new Client("ws://127.0.0.1:8080/ws", { name: "example" });
 *     client.subscribe("gpu.>", { conflateMs: 1000, sendLast: true }, (deliveries) => {
 *       for (const d of deliveries) if (d.message) console.log(decodeReading(d.message.payload));
 *     });
 *     const [result] = await client.publish({ topic: "a.b", payload: new Uint8Array([1]) });
 *
 * The connection comes back by itself, subscriptions with it, and what was published
 * and not answered is sent again and stored once.
 */
export { Client } from "./client.js";
export type { ClientOptions, State } from "./client.js";
export { Code, Fault, codeName, reaction } from "./codes.js";
export type { Reaction } from "./codes.js";
export type { Socket, SocketConstructor } from "./link.js";
export type { Message, Result } from "./publisher.js";
export { canonical, decodeReading } from "./reading.js";
export type { Reading } from "./reading.js";
export type { DeliveryHandler, SubscribeOptions, Subscription } from "./subscription.js";
export { escapeToken, matchTopic } from "./topic.js";
export { ProtocolBinary, ProtocolJSON } from "./wire.js";
export type { Delivery, Welcome } from "./gen/frame_pb.js";
export { catalogue, metrics } from "./catalogue.gen.js";
export type { Descriptor, Kind, Metric } from "./catalogue.gen.js";
