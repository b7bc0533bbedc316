/**
 * Why the hub refused a request or closed a connection. A code's range says what
 * a client does next:
 *
 *   100-199    the request was refused; the connection stays
 *   4000-4499  the connection is closed; come back, after the hint if there was one
 *   4500-4999  the connection is closed; coming back the same way will not help
 */
export const Code = {
  BadFrame: 100,
  BadTopic: 101,
  MessageTooBig: 102,
  NotAllowed: 103,
  TooMany: 104,
  NotFound: 105,
  Conflict: 106,
  BadRequest: 107,
  LogUnavailable: 108,
  Internal: 109,
  Draining: 4000,
  SlowReader: 4001,
  IdleTimeout: 4002,
  TooBusy: 4003,
  FrameTooBig: 4500,
  ProtocolFault: 4501,
  Unauthorised: 4502,
  WrongVersion: 4503,
} as const;

const names: ReadonlyMap<number, string> = new Map([
  [Code.BadFrame, "bad frame"],
  [Code.BadTopic, "bad topic"],
  [Code.MessageTooBig, "message too big"],
  [Code.NotAllowed, "not allowed"],
  [Code.TooMany, "too many"],
  [Code.NotFound, "not found"],
  [Code.Conflict, "conflict"],
  [Code.BadRequest, "bad request"],
  [Code.LogUnavailable, "log unavailable"],
  [Code.Internal, "internal error"],
  [Code.Draining, "draining"],
  [Code.SlowReader, "slow reader"],
  [Code.IdleTimeout, "idle timeout"],
  [Code.TooBusy, "too busy"],
  [Code.FrameTooBig, "frame too big"],
  [Code.ProtocolFault, "protocol fault"],
  [Code.Unauthorised, "unauthorised"],
  [Code.WrongVersion, "wrong version"],
]);

/** The code's name in English. */
export function codeName(code: number): string {
  return names.get(code) ?? `code ${code}`;
}

/** What a client does about a code. */
export type Reaction = "refused" | "reconnect" | "stop";

/**
 * The reaction to a code. Whatever is not ours, such as 1006 of a connection that
 * broke, is a reason to come back.
 */
export function reaction(code: number): Reaction {
  if (code >= 100 && code < 200) return "refused";
  return code >= 4500 && code < 5000 ? "stop" : "reconnect";
}

/** A refusal by the hub, or by this client in the hub's terms. */
export class Fault extends Error {
  override readonly name = "Fault";

  constructor(
    readonly code: number,
    readonly text: string,
  ) {
    super(text === "" ? codeName(code) : `${codeName(code)}: ${text}`);
  }
}
