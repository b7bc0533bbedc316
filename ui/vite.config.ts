import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The server that `npm run dev` talks to. */
const server = process.env.GPUPULSE_URL ?? "http://127.0.0.1:8080";

/** What a first visit may load of JavaScript, gzipped: 200 KiB. */
const budgetBytes = 200 << 10;

/** Fails a build whose first load is over the budget. */
function budget(): Plugin {
  return {
    name: "budget",
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((c) => c.type === "chunk");
      const first = new Set(chunks.filter((c) => c.isEntry).flatMap((c) => [c.fileName, ...c.imports]));
      const bytes = chunks.filter((c) => first.has(c.fileName)).reduce((n, c) => n + gzipSync(c.code).length, 0);
      if (bytes > budgetBytes) this.error(`the first load is ${bytes} bytes of gzipped JavaScript, ${budgetBytes} are allowed`);
      this.info(`first load: ${(bytes / 1024).toFixed(1)} KiB of gzipped JavaScript`);
    },
  };
}

export default defineConfig({
  plugins: [react(), budget()],
  resolve: {
    // The SDK is taken from its sources, and what it imports from this folder, so that
    // npm ci here is all that a build needs.
    alias: { "@gpupulse/sdk": here("../sdk/js/src/index.ts") },
    dedupe: ["@bufbuild/protobuf"],
  },
  build: { target: "es2022", chunkSizeWarningLimit: 600 },
  server: {
    fs: { allow: [here("."), here("../sdk/js")] },
    proxy: {
      "/api": server,
      "/readyz": server,
      "/ws": { target: server, ws: true },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["test/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
