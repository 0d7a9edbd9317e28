import type { JsonValue } from "@assay/evidence";
import { describe, expect, it } from "vitest";
import { decide, NOW, outcome, said } from "./world.ts";

const V1 = "https://slsa.dev/provenance/v1";
const V02 = "https://slsa.dev/provenance/v0.2";
const BUILDER = "https://ci.example.com/builder@v1";
const COMMIT = "d20ace7968ba43c0219f62d71334c1095bab1602";

const rule = `
  - id: built
    provenance:
      identities: [ci]
      builders: ["${BUILDER}"]
      source: { repository: https://github.com/example/app, ref: refs/heads/main }`;
const extended = (more: string): string => `${rule}\n      ${more}`;

const workflow = {
  repository: "https://github.com/example/app",
  ref: "refs/heads/main",
  path: ".github/workflows/release.yml",
};
const dependency = (uri: string, gitCommit = COMMIT) => ({ uri, digest: { gitCommit } });
const main = dependency("git+https://github.com/example/app@refs/heads/main");

type V1Parts = {
  externalParameters?: JsonValue;
  resolvedDependencies?: JsonValue;
  id?: JsonValue;
  buildType?: JsonValue;
};
function v1({
  externalParameters = { workflow },
  resolvedDependencies = [main],
  id = BUILDER,
  buildType = "https://example.com/build/v1",
}: V1Parts = {}) {
  const predicate = {
    buildDefinition: { buildType, externalParameters, resolvedDependencies },
    runDetails: { builder: { id } },
  };
  return said({ by: "ci", type: V1, predicate });
}
const judge = (parts: V1Parts, by = rule): string[] => outcome(decide(by, [v1(parts)]));

describe("the builder", () => {
  it("must be one that the rule accepts, exactly", () => {
    expect(judge({})).toEqual(["satisfied"]);
    for (const id of [
      `${BUILDER}/`,
      `${BUILDER}2`,
      BUILDER.slice(0, -1),
      BUILDER.toUpperCase(),
      `${BUILDER}\n`,
      "https://ci.example.com/builder",
    ]) {
      expect(judge({ id })).toEqual(["unsatisfied", "builder-mismatch"]);
    }
  });

  it("is unknown if it is not named", () => {
    for (const id of [null, "", 1, [BUILDER], { id: BUILDER }])
      expect(judge({ id })).toEqual(["unknown", "builder-unknown"]);
  });

  it("is not taken from a signer whom the rule does not name", () => {
    expect(outcome(decide(rule, [{ ...v1(), signer: said({ by: "mallory" }).signer }]))).toEqual([
      "unsatisfied",
      "other-signer",
    ]);
  });

  it("is accepted only with its own signer where the rule pairs them", () => {
    const paired = `
  - id: built
    provenance:
      identities: [ci, factory]
      builders:
        - { id: "${BUILDER}", identities: [factory] }
        - https://ci.example.com/other`;
    expect(outcome(decide(paired, [v1()]))).toEqual(["unsatisfied", "builder-signer-mismatch"]);
    expect(outcome(decide(paired, [{ ...v1(), signer: said({ by: "factory" }).signer }]))).toEqual(["satisfied"]);
    expect(outcome(decide(paired, [v1({ id: "https://ci.example.com/other" })]))).toEqual(["satisfied"]);
  });
});

describe("the source", () => {
  it("is read from the workflow, from a source parameter, or from the one git repository resolved", () => {
    expect(judge({ externalParameters: { workflow }, resolvedDependencies: [] })).toEqual(["satisfied"]);
    expect(
      judge({
        externalParameters: { source: "git+https://github.com/example/app@refs/heads/main" },
        resolvedDependencies: [],
      }),
    ).toEqual(["satisfied"]);
    expect(
      judge({
        externalParameters: { source: { uri: "git+https://GitHub.com/example/app.git", ref: "refs/heads/main" } },
      }),
    ).toEqual(["satisfied"]);
    expect(
      judge({
        externalParameters: {},
        resolvedDependencies: [main, { uri: "pkg:docker/node@22", digest: { sha256: "00" } }],
      }),
    ).toEqual(["satisfied"]);
  });

  it("normalises git+, .git, the host's case and port 443, and nothing else", () => {
    const from = (repository: string): string[] =>
      judge({ externalParameters: { workflow: { ...workflow, repository } }, resolvedDependencies: [] });
    for (const same of [
      "git+https://github.com/example/app",
      "https://github.com/example/app.git",
      "https://GITHUB.com:443/example/app",
    ]) {
      expect(from(same)).toEqual(["satisfied"]);
    }
    for (const other of [
      "https://github.com/example/app2",
      "https://github.com/example/ap",
      "https://github.com/example/App",
      "https://github.com/example",
      "https://github.com/example/app/sub",
      "https://github.com.evil.example/example/app",
      "https://github.com:8443/example/app",
      "https://github.com/example/app.git.git",
      "ssh://git@github.com/example/app",
    ]) {
      expect(from(other)).toEqual(["unsatisfied", "source-mismatch"]);
    }
    for (const unclear of [
      "http://github.com/example/app",
      "https://user@github.com/example/app",
      "https://github.com/example/app?x=1",
      "https://github.com/example/app#x",
      "https://github.com/example/app/",
      "https://github.com/evil/../example/app",
      "https://github.com/example/%61pp",
      "https://github.com//example/app",
      "https://github.com\\example\\app",
      "https://gіthub.com/example/app",
      " https://github.com/example/app",
      "https://github.com/example/app\n",
      "github.com/example/app",
      "",
    ]) {
      expect(from(unclear)).toEqual(["unknown", "source-unknown"]);
    }
  });

  it("is unknown if two repositories are asserted, in whichever order", () => {
    const source = "https://github.com/evil/app";
    expect(judge({ externalParameters: { workflow, source }, resolvedDependencies: [] })).toEqual([
      "unknown",
      "source-ambiguous",
    ]);
    const others = [main, dependency("git+https://github.com/evil/app@refs/heads/main")];
    expect(judge({ externalParameters: {}, resolvedDependencies: others })).toEqual(["unknown", "source-ambiguous"]);
    expect(judge({ externalParameters: {}, resolvedDependencies: others.reverse() })).toEqual([
      "unknown",
      "source-ambiguous",
    ]);
  });

  it("allows further git dependencies beside the named source", () => {
    const submodule = dependency("git+https://github.com/example/library@refs/heads/main");
    expect(judge({ resolvedDependencies: [submodule, main] })).toEqual(["satisfied"]);
  });

  it("is unknown if the builder resolved other repositories but not the named one", () => {
    expect(judge({ resolvedDependencies: [dependency("git+https://github.com/evil/app@refs/heads/main")] })).toEqual([
      "unknown",
      "source-ambiguous",
    ]);
    expect(judge({ resolvedDependencies: [dependency("git+ssh://someone@evil.example/app")] })).toEqual([
      "unknown",
      "source-ambiguous",
    ]);
  });

  it("is unknown if refs contradict each other", () => {
    expect(judge({ resolvedDependencies: [dependency("git+https://github.com/example/app@refs/heads/evil")] })).toEqual(
      ["unknown", "source-ambiguous"],
    );
    const twice = { uri: "git+https://github.com/example/app@refs/heads/evil", ref: "refs/heads/main" };
    expect(judge({ externalParameters: { source: twice }, resolvedDependencies: [] })).toEqual([
      "unknown",
      "source-ambiguous",
    ]);
  });

  it("is unknown if an address contradicts its own commit digest", () => {
    const lie = dependency(`git+https://github.com/example/app@${"0".repeat(40)}`);
    expect(judge({ resolvedDependencies: [lie] })).toEqual(["unknown", "source-ambiguous"]);
    expect(judge({ resolvedDependencies: [dependency(`git+https://github.com/example/app@${COMMIT}`)] })).toEqual([
      "satisfied",
    ]);
  });

  it("is unknown if two commits of it are named", () => {
    const source = { uri: "git+https://github.com/example/app@refs/heads/main", digest: { gitCommit: "1".repeat(40) } };
    expect(judge({ externalParameters: { source } })).toEqual(["unknown", "source-ambiguous"]);
    expect(judge({ externalParameters: { source: { ...source, digest: { gitCommit: COMMIT } } } })).toEqual([
      "satisfied",
    ]);
  });

  it("is unknown if nothing names it or what names it is malformed", () => {
    expect(judge({ externalParameters: {}, resolvedDependencies: [] })).toEqual(["unknown", "source-unknown"]);
    for (const bad of [
      null,
      1,
      [],
      [workflow],
      {},
      { repository: 1 },
      { repository: null },
      { ...workflow, ref: 1 },
      { ...workflow, ref: "" },
      { ...workflow, path: {} },
    ]) {
      expect(judge({ externalParameters: { workflow: bad } })).toEqual(["unknown", "source-unknown"]);
    }
    for (const bad of [null, {}, "x", [null], ["x"], [{ uri: 1 }]]) {
      expect(judge({ resolvedDependencies: bad })).toEqual(["unknown", "source-unknown"]);
    }
  });

  it("is unknown if too many dependencies are listed to look through", () => {
    const many = Array.from({ length: 4_097 }, () => main);
    expect(judge({ resolvedDependencies: many })).toEqual(["unknown", "source-unknown"]);
  });
});

describe("the ref", () => {
  const withRef = (ref: string): V1Parts => ({
    externalParameters: { workflow: { ...workflow, ref } },
    resolvedDependencies: [],
  });

  it("is compared exactly and in full", () => {
    for (const ref of [
      "refs/heads/main2",
      "refs/heads/mai",
      "main",
      "refs/tags/main",
      "refs/heads/main ",
      "REFS/heads/main",
      COMMIT,
    ]) {
      expect(judge(withRef(ref))).toEqual(["unsatisfied", "ref-mismatch"]);
    }
  });

  it("is unknown if the provenance does not say", () => {
    expect(
      judge({ externalParameters: { workflow: { repository: workflow.repository } }, resolvedDependencies: [] }),
    ).toEqual(["unknown", "ref-unknown"]);
  });

  it("may be one of several, or any", () => {
    const several = rule.replace("ref: refs/heads/main", "ref: [refs/heads/main, refs/heads/release]");
    expect(judge(withRef("refs/heads/release"), several)).toEqual(["satisfied"]);
    expect(judge(withRef("refs/heads/other"), several)).toEqual(["unsatisfied", "ref-mismatch"]);
    expect(judge(withRef("refs/heads/other"), rule.replace(", ref: refs/heads/main", ""))).toEqual(["satisfied"]);
  });
});

describe("the defining file, build type and parameters", () => {
  it("must be the path that the rule names", () => {
    const path = rule.replace("main }", "main, path: .github/workflows/release.yml }");
    expect(judge({}, path)).toEqual(["satisfied"]);
    expect(
      judge({ externalParameters: { workflow: { ...workflow, path: ".github/workflows/test.yml" } } }, path),
    ).toEqual(["unsatisfied", "path-mismatch"]);
    expect(judge({ externalParameters: {} }, path)).toEqual(["unknown", "path-unknown"]);
  });

  it("must be a build type that the rule names", () => {
    expect(judge({}, extended('buildTypes: ["https://example.com/build/v1"]'))).toEqual(["satisfied"]);
    expect(
      judge({ buildType: "https://example.com/build/v2" }, extended('buildTypes: ["https://example.com/build/v1"]')),
    ).toEqual(["unsatisfied", "build-type-mismatch"]);
    expect(judge({ buildType: null }, extended('buildTypes: ["https://example.com/build/v1"]'))).toEqual([
      "unknown",
      "build-type-unknown",
    ]);
  });

  it("must have no external parameter beyond those that the rule names", () => {
    const named = extended("externalParameters: [workflow]");
    expect(judge({}, named)).toEqual(["satisfied"]);
    expect(judge({ externalParameters: { workflow, inputs: { debug: true } } }, named)).toEqual([
      "unsatisfied",
      "parameter-unexpected",
    ]);
    expect(judge({ externalParameters: { workflow, "": 1 } }, named)).toEqual(["unsatisfied", "parameter-unexpected"]);
    for (const externalParameters of [null, [], "workflow"])
      expect(judge({ externalParameters }, named)).toEqual(["unknown", "parameters-unknown"]);
    expect(judge({}, extended("externalParameters: []"))).toEqual(["unsatisfied", "parameter-unexpected"]);
  });
});

describe("SLSA v0.2", () => {
  const configSource = {
    uri: "git+https://github.com/example/app@refs/heads/main",
    digest: { sha1: COMMIT },
    entryPoint: ".github/workflows/release.yml",
  };
  const old = (invocation: JsonValue, materials: JsonValue = [{ uri: configSource.uri, digest: { sha1: COMMIT } }]) =>
    said({ by: "ci", type: V02, predicate: { builder: { id: BUILDER }, buildType: "x:y", invocation, materials } });

  it("is read from builder, configSource and materials", () => {
    expect(outcome(decide(rule, [old({ configSource })]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule, [old({})]))).toEqual(["satisfied"]);
    expect(
      outcome(decide(rule.replace("main }", "main, path: .github/workflows/release.yml }"), [old({ configSource })])),
    ).toEqual(["satisfied"]);
  });

  it("is held to the same strictness", () => {
    expect(
      outcome(
        decide(rule, [old({ configSource }, [{ uri: "git+https://github.com/evil/app", digest: { sha1: COMMIT } }])]),
      ),
    ).toEqual(["unknown", "source-ambiguous"]);
    expect(outcome(decide(rule, [old({ configSource: { uri: "x" } })]))).toEqual(["unknown", "source-unknown"]);
    expect(outcome(decide(extended("externalParameters: []"), [old({ configSource, parameters: { a: 1 } })]))).toEqual([
      "unsatisfied",
      "parameter-unexpected",
    ]);
  });

  it("is not read by the other version's fields", () => {
    expect(outcome(decide(rule, [{ ...v1(), statement: { ...v1().statement, predicateType: V02 } }]))).toEqual([
      "unknown",
      "builder-unknown",
    ]);
    expect(
      outcome(
        decide(rule, [
          { ...old({ configSource }), statement: { ...old({ configSource }).statement, predicateType: V1 } },
        ]),
      ),
    ).toEqual(["unknown", "builder-unknown"]);
  });
});

it("reads no other provenance type", () => {
  const candidate = { ...v1(), statement: { ...v1().statement, predicateType: "https://slsa.dev/provenance/v1.1" } };
  expect(outcome(decide(rule, [candidate]))).toEqual(["unsatisfied", "other-predicate-type"]);
});

it("leaves any malformed predicate unknown", () => {
  for (const predicate of [null, [], "", 1, true, {}, { buildDefinition: null, runDetails: [] }]) {
    expect(outcome(decide(rule, [said({ by: "ci", type: V1, predicate })]))).toEqual(["unknown", "builder-unknown"]);
  }
});

it("says what was found, what was expected and where", () => {
  const decision = decide(
    rule,
    [v1({ externalParameters: { workflow: { ...workflow, ref: "refs/heads/evil" } }, resolvedDependencies: [] })],
    { time: NOW },
  );
  expect(decision.rules[0]?.rejected[0]).toMatchObject({
    reason: 'It was built from "refs/heads/evil", not from "refs/heads/main".',
    path: "$.predicate.buildDefinition.externalParameters.workflow.ref",
    observed: '"refs/heads/evil"',
  });
});
