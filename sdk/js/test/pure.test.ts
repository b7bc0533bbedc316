import { expect, test } from "vitest";

import { Backoff } from "../src/backoff.js";
import { Code, codeName, reaction } from "../src/codes.js";
import { escapeToken, matchTopic } from "../src/topic.js";

test("waits grow to the longest and begin again after a reset", () => {
  const b = new Backoff(100, 1000, () => 0.999);
  expect([1, 2, 3, 4, 5, 6].map(() => Math.round(b.next()))).toEqual([100, 200, 400, 799, 999, 999]);
  b.reset();
  expect(b.next(5000)).toBeCloseTo(5099.9);
  expect(new Backoff(100, 1000, () => 0).next()).toBe(0);
});

test("a code's range is its reaction", () => {
  const by = (r: string) => Object.values(Code).filter((c) => reaction(c) === r);
  expect(by("refused")).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
  expect(by("reconnect")).toEqual([4000, 4001, 4002, 4003]);
  expect(by("stop")).toEqual([4500, 4501, 4502, 4503]);
  expect(reaction(1006)).toBe("reconnect");
  expect(codeName(4002)).toBe("idle timeout");
  expect(codeName(4999)).toBe("code 4999");
});

test("topics", () => {
  expect(escapeToken("node.a b*>%é")).toBe("node%2Ea%20b%2A%3E%25é");
  expect(matchTopic("gpu.>", "gpu.a.b")).toBe(true);
  expect(matchTopic("gpu.>", "gpu")).toBe(false);
  expect(matchTopic("gpu.*.b", "gpu.a.b")).toBe(true);
  expect(matchTopic("gpu.*", "gpu.a.b")).toBe(false);
  expect(matchTopic("gpu.a.b", "gpu.a")).toBe(false);
  expect(matchTopic(">", "$dead.x")).toBe(false);
  expect(matchTopic("$dead.>", "$dead.x")).toBe(true);
});
