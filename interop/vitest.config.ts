import { defineConfig } from "vitest/config";
import TestSummary from "../scripts/test-summary.ts";

/** `npm run interop`: real clients against a real server process. One file at a time: each starts processes of its own. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    exclude: ["operations/**", "**/node_modules/**"],
    globalSetup: ["./require-clients.ts"],
    reporters: ["default", new TestSummary()],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
