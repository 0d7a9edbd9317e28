import { defineConfig } from "vitest/config";
import TestSummary from "../../scripts/test-summary.ts";

/** The operations guide, followed on machines of their own (`npm run interop`). They share nothing, so several are at work at once. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    globalSetup: ["../require-clients.ts"],
    reporters: ["default", new TestSummary()],
    maxWorkers: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
