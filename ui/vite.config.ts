import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The server that `npm run dev` talks to. */
const server = process.env.GPUPULSE_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  resolve: {
    // The SDK is taken from its sources, and what it imports from this folder, so that
    // npm ci here is all that a build needs.
    alias: { "@gpupulse/sdk": here("../sdk/js/src/index.ts") },
    dedupe: ["@bufbuild/protobuf"],
  },
  build: { target: "es2022", chunkSizeWarningLimit: 400 },
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
