/** A real server and a simulated agent, on a free port and a folder of their own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const bin = (name: string) => process.env[`E2E_${name.toUpperCase()}`] ?? fileURLToPath(new URL(`../../bin/gpupulse-${name}`, import.meta.url));

/** Where Chromium may be, the most wanted first. */
const browsers = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome-stable", "/usr/bin/google-chrome"];

export const chromiumPath = browsers.find((path) => path !== undefined && path !== "" && existsSync(path));

/** What these tests need and this machine does not have; "" if it has all. */
export function missing(): string {
  const gone = [bin("server"), bin("agent")].filter((path) => !existsSync(path));
  if (chromiumPath === undefined) gone.unshift("Chromium (set CHROMIUM to its path)");
  return gone.join(", ");
}

/** How long a process may take to end by itself, in milliseconds: the promise is ten seconds. */
const endWithin = 12_000;
/** How long the server may take until it is ready, in milliseconds. */
const readyWithin = 20_000;

export class Pipeline {
  private server: ChildProcess | undefined;
  private agents: ChildProcess[] = [];
  private output = "";

  private constructor(
    private readonly folder: string,
    private readonly port: number,
  ) {}

  static async start(): Promise<Pipeline> {
    const p = new Pipeline(mkdtempSync(join(tmpdir(), "gpupulse-e2e-")), await freePort());
    await p.startServer();
    return p;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts the server, again with the same data and port, and waits until it is ready. */
  async startServer(): Promise<void> {
    this.server = this.spawn("server", ["--listen", `127.0.0.1:${this.port}`, "--data-dir", join(this.folder, "data")]);
    const deadline = Date.now() + readyWithin;
    while (Date.now() < deadline && this.server.exitCode === null) {
      const ready = await fetch(`${this.url}/readyz`).then((r) => r.ok, () => false);
      if (ready) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`the server is not ready:\n${this.output}`);
  }

  stopServer(): Promise<void> {
    return end(this.server);
  }

  /** Starts a simulated fleet. */
  startAgent(...args: string[]): void {
    this.agents.push(this.spawn("agent", ["--server", `ws://127.0.0.1:${this.port}/ws`, "--source", "sim", ...args]));
  }

  async stopAgents(): Promise<void> {
    await Promise.all(this.agents.map(end));
    this.agents = [];
  }

  async close(): Promise<void> {
    await this.stopAgents();
    await this.stopServer();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private spawn(name: string, args: string[]): ChildProcess {
    const child = spawn(bin(name), args, { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (text: Buffer) => {
      this.output = (this.output + text.toString()).slice(-8000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    return child;
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), endWithin);
  await ended;
  clearTimeout(timer);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const s = createServer();
    s.once("error", reject);
    s.listen(0, "127.0.0.1", () => {
      const address = s.address();
      s.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}
