import { defineConfig } from "vitest/config";
import TestSummary from "./scripts/test-summary.ts";

const packages = ["evidence", "inventory", "policy", "server", "cli", "web"];

/** `npm test`. What needs the real clients of other projects is not here: interop/vitest.config.ts. */
export default defineConfig({
  test: {
    reporters: ["default", new TestSummary()],
    // Two cores shared with others are the slowest machine the tests must pass on: these bound a hang, they measure nothing.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 15_000,
    restoreMocks: true,
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: { name, include: [`packages/${name}/test/**/*.test.ts`] },
      })),
      { extends: true as const, test: { name: "repository", include: ["scripts/test/**/*.test.ts"] } },
    ],
  },
});
