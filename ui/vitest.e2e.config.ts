import { defineConfig } from "vitest/config";

/** Real server, simulated agent, real browser: see e2e/. */
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
