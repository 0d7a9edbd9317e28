import { SaxesParser } from "saxes";
import { CliError, Exit } from "../errors.ts";

/** The tests in JUnit XML reports, by outcome; names are "class.test", in the order of the reports. */
export type TestRun = { readonly passed: string[]; readonly failed: string[]; readonly skipped: string[] };

const MAX_BYTES = 64 << 20;
const MAX_DEPTH = 64;
const MAX_TESTS = 200_000;
const MAX_NAME = 1000;

type Case = { name: string; outcome: "passed" | "failed" | "skipped" };
type Suite = { name: string; declared: number; counted: number };

/**
 * Reads one JUnit XML report (testsuites, testsuite, testcase with failure, error or skipped). Strict: malformed XML, a
 * DOCTYPE, undeclared entities or another root are refused, and a suite that declares more failures than its test cases
 * show counts as failed. `path` is for messages. Errors: `junit-invalid` (exit 2).
 */
export function parseJunit(xml: Uint8Array, path: string): TestRun {
  const invalid = (why: string, cause?: unknown): CliError =>
    new CliError("junit-invalid", `${path} is not a JUnit report: ${why}`, {
      exit: Exit.usage,
      hint: "Give the XML file your test runner wrote.",
      cause,
    });
  if (xml.length > MAX_BYTES) throw invalid(`it is larger than ${MAX_BYTES >> 20} MiB`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(xml);
  } catch (error) {
    throw invalid("it is not UTF-8", error);
  }
  const run: TestRun = { passed: [], failed: [], skipped: [] };
  const open: string[] = [];
  const suites: Suite[] = [];
  let current: Case | undefined;

  const parser = new SaxesParser({ xmlns: false, position: true });
  parser.on("error", (error) => {
    throw invalid(error.message, error);
  });
  // No entity but the five of XML itself is ever expanded; a DOCTYPE could define more, and nothing honest needs one.
  parser.on("doctype", () => {
    throw invalid("it has a DOCTYPE");
  });
  parser.on("xmldecl", ({ encoding }) => {
    if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) throw invalid(`its encoding is ${encoding}, not UTF-8`);
  });
  parser.on("opentag", ({ name, attributes }) => {
    const parent = open.at(-1);
    open.push(name);
    if (open.length > MAX_DEPTH) throw invalid("it is nested too deeply");
    if (parent === undefined && name !== "testsuites" && name !== "testsuite") throw invalid(`its root is <${name}>`);
    if (name === "testsuite" && (parent === undefined || parent === "testsuites" || parent === "testsuite")) {
      suites.push({
        name: attributes.name ?? "",
        declared: count(attributes.failures) + count(attributes.errors),
        counted: 0,
      });
    } else if (name === "testcase" && parent === "testsuite") {
      current = { name: testName(attributes), outcome: "passed" };
    } else if (current !== undefined && parent === "testcase") {
      if (name === "failure" || name === "error" || name === "rerunFailure" || name === "rerunError")
        current.outcome = "failed";
      else if (name === "skipped" && current.outcome === "passed") current.outcome = "skipped";
    }
  });
  parser.on("closetag", ({ name }) => {
    open.pop();
    if (name === "testcase" && current !== undefined && open.at(-1) === "testsuite") {
      run[current.outcome].push(current.name);
      if (current.outcome === "failed") for (const suite of suites) suite.counted += 1;
      current = undefined;
      if (run.passed.length + run.failed.length + run.skipped.length > MAX_TESTS)
        throw invalid(`it has more than ${MAX_TESTS} tests`);
    } else if (name === "testsuite") {
      const suite = suites.pop();
      if (suite !== undefined && suite.declared > suite.counted) {
        run.failed.push(
          `${suite.name} (${suite.declared - suite.counted} more by the suite's own count)`.slice(0, MAX_NAME),
        );
      }
    }
  });
  parser.write(text).close();
  return run;

  function count(attribute: string | undefined): number {
    if (attribute === undefined || attribute === "") return 0;
    if (!/^\d{1,9}$/.test(attribute)) throw invalid(`a count is ${JSON.stringify(attribute)}`);
    return Number(attribute);
  }

  function testName(attributes: Record<string, string>): string {
    const name = attributes.name ?? "";
    if (name === "") throw invalid("a test case has no name");
    const owner = attributes.classname ?? "";
    return (owner === "" ? name : `${owner}.${name}`).slice(0, MAX_NAME);
  }
}
