import { member, textList } from "./json-member.ts";
import { LIMITS } from "./limits.ts";
import type { TestsRule } from "./policy.ts";
import { quote } from "./quote.ts";
import type { Objection } from "./rejection.ts";

/**
 * What stands against this predicate as a passed test run; `undefined` if nothing does.
 *
 * in-toto predicates/test-result.md v0.1: `result` and `configuration` are required, the three lists of names are optional. Beyond the
 * specification: a list that contradicts the result makes it not count, and a list of passed tests that is there but empty is no pass.
 */
export function objectionToTests(predicate: unknown, rule: TestsRule): Objection | undefined {
  const result = member(predicate, "result");
  const at = (code: Objection["code"], reason: string, path: string, observed: unknown): Objection => ({
    code,
    reason,
    path: `$.predicate${path}`,
    observed: quote(observed),
  });

  const configuration = member(predicate, "configuration");
  if (!Array.isArray(configuration)) {
    return at(
      "predicate-malformed",
      "The test result lacks the list `configuration`, which its specification requires.",
      ".configuration",
      configuration,
    );
  }
  const lists = new Map<string, readonly string[] | undefined>();
  for (const name of ["passedTests", "warnedTests", "failedTests"]) {
    const value = member(predicate, name);
    const list = value === undefined ? undefined : textList(value, LIMITS.predicateItems);
    if (value !== undefined && list === undefined) {
      return at("predicate-malformed", `\`${name}\` is not a list of test names that can be read.`, `.${name}`, value);
    }
    lists.set(name, list);
  }

  if (result === "FAILED") return at("tests-failed", "The tests failed.", ".result", result);
  if (result === "WARNED") return at("tests-warned", "The tests passed with warnings only.", ".result", result);
  if (result !== "PASSED") {
    return at(
      "result-unknown",
      `The result is ${quote(result)}, which is none of PASSED, WARNED and FAILED.`,
      ".result",
      result,
    );
  }
  for (const name of ["failedTests", "warnedTests"]) {
    const list = lists.get(name);
    if (list !== undefined && list.length > 0) {
      const verb = name === "failedTests" ? "failed" : "warned";
      return at(
        "tests-contradictory",
        `The result is PASSED, but ${list.length} test(s) are listed as ${verb}, first ${quote(list[0])}.`,
        `.${name}`,
        list,
      );
    }
  }
  const passed = lists.get("passedTests");
  if (passed !== undefined && passed.length === 0) {
    return at(
      "tests-empty",
      "The list of passed tests is empty: that nothing ran is not a pass.",
      ".passedTests",
      passed,
    );
  }
  const ran = new Set(passed);
  const missing = rule.passed.find((name) => !ran.has(name));
  if (missing !== undefined) {
    return at(
      "test-not-passed",
      `The test ${quote(missing)} is not in the list of passed tests.`,
      ".passedTests",
      passed,
    );
  }
  return undefined;
}
