import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Loop } from "../live/loop";
import { Painter } from "./painter";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("two charts per frame, each in its turn", () => {
  const loop = new Loop();
  const painter = new Painter(loop);
  const stop = painter.open();
  const painted: string[] = [];
  const waiting = new Set(["a", "b", "c", "d", "e"]);
  for (const name of waiting) {
    painter.add({
      due: () => waiting.has(name),
      paint: () => {
        waiting.delete(name);
        painted.push(name);
      },
    });
  }
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["a", "b"]);
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["a", "b", "c", "d"]);
  waiting.add("a");
  vi.advanceTimersToNextFrame();
  expect(painted).toEqual(["a", "b", "c", "d", "e", "a"]);
  stop();
  loop.close();
  expect(vi.getTimerCount()).toBe(0);
});
