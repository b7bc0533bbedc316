/** The dashboard in a real browser, on a real server with a simulated fleet. */
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { Pipeline, chromiumPath, missing } from "./processes";

const lacking = missing();
if (lacking !== "") console.warn(`UI browser tests SKIPPED: missing ${lacking}`);

if (lacking !== "" && process.env.CI === "true") {
  test("everything that these tests need is here", () => expect.unreachable(`missing ${lacking}`));
}

describe.skipIf(lacking !== "")("dashboard", () => {
  let pipeline: Pipeline;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: string[];

  beforeAll(async () => {
    pipeline = await Pipeline.start();
    browser = await chromium.launch({
      executablePath: chromiumPath ?? "",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
  });
  afterAll(async () => {
    await browser.close();
    await pipeline.close();
  });
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1280, height: 800 }, baseURL: pipeline.url });
    page = await context.newPage();
    faults = [];
    page.on("pageerror", (err) => faults.push(err.message));
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual([]);
  });

  const badge = () => page.locator(".badge");
  const entry = (name: string) => page.locator(`[data-entry="${name}"] b`);
  const until = (text: string | RegExp, where = badge()) => where.filter({ hasText: text }).waitFor({ timeout: 20_000 });
  const tile = () => page.locator(".tile-link");

  /** The pixels of the tiles, as a text to be compared. */
  const picture = () => page.locator(".tiles canvas").evaluate((c) => (c as HTMLCanvasElement).toDataURL());

  async function changes(read: () => Promise<string>, within = 10_000): Promise<void> {
    const before = await read();
    await expect.poll(read, { timeout: within, interval: 200 }).not.toBe(before);
  }

  test("an empty fleet says what to type, and fills by itself", async () => {
    await page.goto("/");
    await page.getByRole("heading", { name: "No GPUs yet" }).waitFor({ timeout: 15_000 });
    await page.getByText(`--source sim --server ws://${new URL(pipeline.url).host}/ws`).waitFor();
    pipeline.startAgent("--sim-hosts", "3");
    await until("Live");
    await until("24", entry("GPUs"));
  });

  test("tiles move, and a tile leads to its GPU and back", async () => {
    await page.goto("/?metric=gpu.power");
    await until("24", entry("GPUs"));
    await changes(picture);
    await tile().focus();
    const first = await tile().getAttribute("aria-label");
    expect(first).toMatch(/^GPU 0 of sim-node-001: Power \d+ W, /u);
    await page.keyboard.press("ArrowRight");
    expect(await tile().getAttribute("aria-label")).toMatch(/^GPU 1 of sim-node-001: /u);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "GPU 1" }).waitFor();
    await page.locator('.chart[data-metric="gpu.power"] canvas').waitFor();
    await page.goBack();
    await tile().waitFor();
    expect(new URL(page.url()).search).toBe("?metric=gpu.power");
    const box = await page.locator(".tiles canvas").boundingBox();
    await page.mouse.click((box?.x ?? 0) + 20, (box?.y ?? 0) + 40);
    await page.getByRole("heading", { name: "GPU 0" }).waitFor();
  });

  test("what is live is what REST says", async () => {
    const { items } = (await (await fetch(`${pipeline.url}/api/v1/gpus?limit=1`)).json()) as { items: { id: string }[] };
    const id = items[0]?.id ?? "";
    await page.goto(`/gpus/${id}`);
    const shown = page.locator('[data-latest="gpu.energy"], [data-latest="gpu.power"]').first();
    await shown.waitFor();
    // With nobody sending, the last value has to be the same in both.
    await pipeline.stopAgents();
    const latest = async () => {
      const g = (await (await fetch(`${pipeline.url}/api/v1/gpus/${id}`)).json()) as { latest: Record<string, { value: number }> };
      return g.latest;
    };
    await expect
      .poll(async () => {
        const rest = await latest();
        const text = async (m: string) => Number((await page.locator(`[data-latest="${m}"]`).innerText()).replace(/[^\d.]/gu, ""));
        return [
          (await text("gpu.power")) - Math.round(rest["gpu.power"]?.value ?? NaN),
          (await text("gpu.temp")) - (rest["gpu.temp"]?.value ?? NaN),
          (await text("gpu.util")) - Math.round((rest["gpu.util"]?.value ?? NaN) * 100),
          (await text("gpu.clock.sm")) - (rest["gpu.clock.sm"]?.value ?? NaN) / 1e6,
        ];
      }, { timeout: 10_000 })
      .toEqual([0, 0, 0, 0]);
    pipeline.startAgent("--sim-hosts", "3");
  });

  test("quiet GPUs are seen at once", async () => {
    await page.goto("/");
    await until("Live");
    await pipeline.stopAgents();
    await until("24", entry("Quiet"));
    await until(/^[1-9]\d* hosts$|^3 hosts$/u, page.locator('[data-entry="GPUs"] .stat-more'));
    await page.locator('[data-entry="Quiet"] button').click();
    expect(new URL(page.url()).search).toBe("?state=quiet");
    expect(await tile().getAttribute("aria-label")).toContain("quiet");
    await until("Connected, no readings");
    pipeline.startAgent("--sim-hosts", "3");
    await until("0", entry("Quiet"));
    await page.getByText("No GPU fits").waitFor();
  });

  test("a server that restarts: the badge tells it, and the data goes on", async () => {
    await page.goto("/");
    await until("Live");
    await pipeline.stopServer();
    await until(/^Reconnecting, lost \d+ s ago/u);
    await pipeline.startServer();
    await until("Live");
    await changes(picture);
    expect(await entry("GPUs").innerText()).toBe("24");
  });

  test("charts go on through a restart of the server", async () => {
    // A GPU that works: its power is never the same for long.
    await page.goto("/?state=busy");
    await tile().focus();
    await page.keyboard.press("Enter");
    const readout = page.locator('[data-readout="gpu.power"]');
    await until(/\d+ W/u, readout);
    await pipeline.stopServer();
    await until(/^Reconnecting/u);
    await pipeline.startServer();
    await until("Live");
    await changes(() => readout.innerText(), 20_000);
  });

  test("search, table and range are in the address", async () => {
    await page.goto("/?q=node-002&view=table&sort=-gpu.power");
    await until("24", entry("GPUs"));
    const rows = page.locator("table.rows tbody tr:not([aria-hidden])");
    await expect.poll(() => rows.count()).toBe(8);
    await page.getByRole("button", { name: "Temperature" }).click();
    expect(new URL(page.url()).searchParams.get("sort")).toBe("-gpu.temp");
    await rows.first().getByRole("link").first().click();
    await page.getByRole("heading", { name: "sim-node-002" }).waitFor();
    await page.getByRole("button", { name: "5 min", exact: true }).click();
    expect(new URL(page.url()).search).toBe("?range=5m");
    await page.reload();
    await page.getByRole("button", { name: "5 min", exact: true, pressed: true }).waitFor();
    await page.locator(".chart canvas").nth(3).waitFor();
  });

  test("the pipeline page has true numbers", async () => {
    await page.goto("/pipeline");
    await page.getByText("Every part is ready.").waitFor();
    const consumers = page.getByRole("region", { name: "Consumers" });
    await consumers.getByText("store").waitFor();
    await until("24", page.getByRole("region", { name: "Topics" }).locator("h2 .note"));
    await page.getByRole("cell", { name: "dashboard" }).first().waitFor();
  });

  test("a GPU that nobody knows, and a page that is not there, say so", async () => {
    await page.goto("/gpus/nobody%2Fknows");
    await page.getByText("is not known").waitFor();
    await page.goto("/nothing/here");
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  });

  test.each(["dark", "light"] as const)("no page has a fault of accessibility, %s", async (colorScheme) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.goto("/");
    await until("24", entry("GPUs"));
    await tile().focus();
    const gpu = (await tile().getAttribute("href")) ?? "";
    for (const path of ["/", "/?view=table", "/hosts/sim-node-001", gpu, "/pipeline"]) {
      await page.goto(path);
      await until("Live");
      await page.locator(".summary").waitFor();
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map((v) => `${path}: ${v.id}: ${v.nodes[0]?.html ?? ""}`)).toEqual([]);
    }
  });

  test("a phone's width is enough for every page", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto("/");
    await until("24", entry("GPUs"));
    await tile().focus();
    const gpu = (await tile().getAttribute("href")) ?? "";
    for (const path of ["/", "/?view=table", "/hosts/sim-node-001", gpu, "/pipeline"]) {
      await page.goto(path);
      await until("Live");
      await page.locator(".summary").waitFor();
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(over, path).toBeLessThanOrEqual(0);
    }
  });
});
