import { afterEach, expect, test, vi } from "vitest";

import { ApiError, address, get, sentence } from "./client";
import { fetchHistory } from "./history";

afterEach(() => {
  vi.unstubAllGlobals();
});

test("addresses are escaped, lists are repeated, and what is undefined is left out", () => {
  expect(address("/api/v1/gpus/{id}/series", { id: "a/b?c" }, { metric: ["x", "y z"], step: undefined, agg: "avg" })).toBe(
    "/api/v1/gpus/a%2Fb%3Fc/series?metric=x&metric=y+z&agg=avg",
  );
});

test("a problem's detail is the sentence", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ title: "Not Found", detail: 'GPU "x" is not known' }, { status: 404 })));
  const err: unknown = await get("/api/v1/gpus/{id}", { path: { id: "x" } }).catch((e: unknown) => e);
  expect(err).toMatchObject({ status: 404 });
  expect(sentence(err)).toBe('GPU "x" is not known.');
});

test("what is no problem document still says something", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("<html>", { status: 502, statusText: "Bad Gateway" })));
  await expect(get("/api/v1/stats")).rejects.toThrow("The server answered 502 Bad Gateway.");
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed to fetch")));
  await expect(get("/api/v1/stats")).rejects.toEqual(new ApiError(0, "The server does not answer."));
});

test("an answer with a wanted status is no error", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(Response.json({ ready: false, parts: {} }, { status: 503 })));
  expect(await get("/readyz", { accept: [503] })).toEqual({ ready: false, parts: {} });
});

test("history ends where it is told, and knows what made its last step", async () => {
  const asked: URL[] = [];
  vi.stubGlobal("fetch", (url: string) => {
    const u = new URL(url, "http://x");
    asked.push(u);
    const avg = u.searchParams.get("agg") === "avg";
    const times = avg ? ["1970-01-01T00:00:55Z", "1970-01-01T00:01:00Z"] : ["1970-01-01T00:01:00Z"];
    return Promise.resolve(Response.json({ times, columns: { m: avg ? [1, 2] : [3] } }));
  });
  const until = "1970-01-01T00:01:03.25Z";
  const h = await fetchHistory("g", { span: 10_000, step: 5000 }, until, ["m"], new AbortController().signal);
  expect(h).toEqual({ times: [55_000, 60_000], average: { m: [1, 2] }, lastCount: { m: 3 }, until: 63_250 });
  expect(asked.map((u) => [u.searchParams.get("start_time"), u.searchParams.get("end_time"), u.searchParams.get("step")])).toEqual([
    ["1970-01-01T00:00:50.000Z", until, "5000ms"],
    ["1970-01-01T00:01:00.000Z", until, "5000ms"],
  ]);
});
