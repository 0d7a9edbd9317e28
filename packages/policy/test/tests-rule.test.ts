import type { JsonValue } from "@assay/evidence";
import { expect, it } from "vitest";
import { DAY, decide, NOW, outcome, reported, said } from "./world.ts";

const TYPE = "https://in-toto.io/attestation/test-result/v0.1";
const rule = `
  - id: tests
    tests: { identities: [ci], maximumAge: 7d }`;
const run = (predicate: JsonValue, at = NOW - DAY) => said({ by: "ci", type: TYPE, predicate, at });
const judged = (predicate: JsonValue): string[] => outcome(decide(rule, [run(predicate)]));
const configuration = [{ name: "ci.yml" }];

it("counts a result of PASSED", () => {
  expect(judged({ result: "PASSED", configuration })).toEqual(["satisfied"]);
  expect(judged({ result: "PASSED", configuration, passedTests: ["a"], warnedTests: [], failedTests: [] })).toEqual([
    "satisfied",
  ]);
});

it("does not count WARNED or FAILED", () => {
  expect(judged({ result: "WARNED", configuration, passedTests: ["a"] })).toEqual(["unsatisfied", "tests-warned"]);
  expect(judged({ result: "FAILED", configuration, passedTests: ["a"] })).toEqual(["unsatisfied", "tests-failed"]);
});

it("leaves unknown what it cannot read, and never counts it", () => {
  for (const result of [
    "passed",
    "Passed",
    "PASSED ",
    "PASS",
    "SKIPPED",
    "",
    null,
    true,
    1,
    ["PASSED"],
    { PASSED: true },
  ]) {
    expect(judged({ result, configuration })).toEqual(["unknown", "result-unknown"]);
  }
  expect(judged({ configuration })).toEqual(["unknown", "result-unknown"]);
});

it("fails on a malformed payload instead of ignoring it", () => {
  for (const predicate of [
    null,
    [],
    "PASSED",
    1,
    true,
    {},
    { result: "PASSED" },
    { result: "PASSED", configuration: {} },
  ]) {
    expect(judged(predicate)).toEqual(["unknown", "predicate-malformed"]);
  }
  for (const list of [null, {}, "a", ["a", 1], [null]]) {
    expect(judged({ result: "PASSED", configuration, passedTests: list })).toEqual(["unknown", "predicate-malformed"]);
    expect(judged({ result: "PASSED", configuration, failedTests: list })).toEqual(["unknown", "predicate-malformed"]);
  }
});

it("does not count a PASSED that its own lists contradict", () => {
  expect(judged({ result: "PASSED", configuration, failedTests: ["b"] })).toEqual([
    "unsatisfied",
    "tests-contradictory",
  ]);
  expect(judged({ result: "PASSED", configuration, warnedTests: ["b"] })).toEqual([
    "unsatisfied",
    "tests-contradictory",
  ]);
});

it("does not count a run of nothing", () => {
  expect(judged({ result: "PASSED", configuration, passedTests: [] })).toEqual(["unsatisfied", "tests-empty"]);
});

it("takes only the predicate's own members", () => {
  const inherited = Object.create({ result: "PASSED", configuration }) as JsonValue;
  expect(judged(inherited)).toEqual(["unknown", "predicate-malformed"]);
});

it("asks for named tests where the rule names some", () => {
  const named = `
  - id: tests
    tests: { identities: [ci], passed: [unit, "end to end"] }`;
  const judge = (passedTests?: string[]): string[] =>
    outcome(
      decide(named, [run({ result: "PASSED", configuration, ...(passedTests === undefined ? {} : { passedTests }) })]),
    );
  expect(judge(["lint", "end to end", "unit"])).toEqual(["satisfied"]);
  expect(judge(["unit"])).toEqual(["unsatisfied", "test-not-passed"]);
  expect(judge(["unit", "end to end "])).toEqual(["unsatisfied", "test-not-passed"]);
  expect(judge()).toEqual(["unsatisfied", "test-not-passed"]);
});

it("does not let the clean result of an old run pass", () => {
  expect(outcome(decide(rule, [run({ result: "PASSED", configuration }, NOW - 8 * DAY)]))).toEqual([
    "unsatisfied",
    "too-old",
  ]);
});

it("does not count a report that nobody signed", () => {
  expect(outcome(decide(rule, [reported(TYPE)]))).toEqual(["unsatisfied", "reported"]);
});

it("is not undone by a failed run beside a passed one, because whoever could hide that run would decide", () => {
  expect(
    outcome(decide(rule, [run({ result: "PASSED", configuration }), run({ result: "FAILED", configuration })])),
  ).toEqual(["satisfied", "tests-failed"]);
});

it("names the field and the value that decided", () => {
  const [rejection] = decide(rule, [run({ result: "FAILED\u001b[31m", configuration })]).rules[0]?.rejected ?? [];
  expect(rejection).toMatchObject({ path: "$.predicate.result", observed: '"FAILED\\u001b[31m"' });
});
