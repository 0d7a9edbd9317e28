import type { JsonObject } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { quantity } from "../table.ts";
import { present } from "./artifact.ts";
import type { BuildFacts } from "./build-facts.ts";
import type { TestRun } from "./junit.ts";

export const TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1";
export type TestResult = "PASSED" | "WARNED" | "FAILED";

/** A report the result was read from. */
export type TestReport = { readonly name: string; readonly sha256: string; readonly run: TestRun };

/**
 * in-toto test result v0.1 (in-toto/attestation: spec/predicates/test-result.md). `stated` is the user's own word; with
 * reports the result is what they show, and a stated pass over a failed report is refused. No test is no pass.
 * Errors: `tests-missing`, `result-contradicted`.
 */
export function testResultPredicate(
  stated: TestResult | undefined,
  reports: readonly TestReport[],
  build: BuildFacts,
  url: string | undefined,
): JsonObject {
  const passed = reports.flatMap(({ run }) => run.passed);
  const failed = reports.flatMap(({ run }) => run.failed);
  const skipped = reports.flatMap(({ run }) => run.skipped);
  if (reports.length > 0 && passed.length + failed.length === 0) {
    throw usageError(
      "tests-missing",
      "the reports hold no test that ran",
      "Check that the files are those of this run.",
    );
  }
  if (stated === undefined && reports.length === 0) {
    throw usageError(
      "tests-missing",
      "no result to attest",
      "Give --junit FILE..., or --result PASSED, WARNED or FAILED.",
    );
  }
  const shown = failed.length > 0 ? "FAILED" : "PASSED";
  if (stated !== undefined && stated !== "FAILED" && reports.length > 0 && shown === "FAILED") {
    throw usageError(
      "result-contradicted",
      `--result ${stated}, but ${quantity(failed.length, "test")} failed`,
      "Leave out --result: the reports say it.",
    );
  }
  return present({
    result: stated ?? shown,
    // What was tested with: the source the tests come from, where it is known.
    configuration:
      build.repositoryUrl === undefined || build.gitCommit === undefined
        ? []
        : [
            {
              uri: `git+${build.repositoryUrl}${build.ref === undefined ? "" : `@${build.ref}`}`,
              digest: { gitCommit: build.gitCommit },
            },
          ],
    url: url ?? build.buildUrl,
    passedTests: reports.length === 0 ? undefined : passed,
    failedTests: reports.length === 0 ? undefined : failed,
    skippedTests: skipped.length === 0 ? undefined : skipped,
    reports: reports.length === 0 ? undefined : reports.map(({ name, sha256 }) => ({ name, digest: { sha256 } })),
  });
}
