/** The TypeScript client of a gpupulse hub, and the readings that travel through it. */
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
