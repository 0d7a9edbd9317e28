import { defineConfig } from "vitest/config";
import TestSummary from "./scripts/test-summary.ts";

const packages = ["evidence", "inventory", "policy", "server", "cli", "web"];

/** The server's tests that touch the database or blobs. */
const suitesOnPostgres = [
  "record",
  "settled",
  "check*",
  "flips",
  "scrub",
  "access*",
  "tenants",
  "registry*",
  "attestations*",
  "artifact-*",
  "trust",
  "trust-kinds",
  "gate",
  "pull-gate*",
  "adversarial*",
  "collection*",
  "retention",
  "jobs",
  "job-routes",
  "webhooks",
  "webhook-*",
  "mirrors",
  "replications*",
  "plans",
  "app",
  "hostile-requests",
  "redaction",
  "upgrade",
  "move",
  "rotate-master-key",
  "corpus",
  "backup*",
  "witness*",
  "writer-thread",
  "kills",
  "postgres-*",
];

/** `npm test`. What needs the real clients of other projects is not here: interop/vitest.config.ts. */
export default defineConfig({
  test: {
    reporters: ["default", new TestSummary()],
    // Two cores shared with others are the slowest machine the tests must pass on: these bound a hang, they measure nothing.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 15_000,
    restoreMocks: true,
    // Many tests wait for processes and clocks: two files at a time, also where there are two cores.
    maxWorkers: 2,
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [`packages/${name}/test/**/*.test.ts`],
          exclude: ["packages/server/test/postgres-*.test.ts"],
        },
      })),
      {
        // The suites that reach the database or blobs, once more on PostgreSQL and S3, and what only several hosts can show.
        extends: true as const,
        test: {
          name: "server-postgres",
          include: suitesOnPostgres.map((suite) => `packages/server/test/${suite}.test.ts`),
          env: { ASSAY_TEST_DATABASE: "postgres", ASSAY_TEST_BLOBS: "s3" },
          globalSetup: ["packages/server/test/stores-setup.ts"],
        },
      },
      { extends: true as const, test: { name: "fuzz", include: ["fuzz/*.test.ts"] } },
      { extends: true as const, test: { name: "repository", include: ["scripts/test/**/*.test.ts"] } },
    ],
  },
});
