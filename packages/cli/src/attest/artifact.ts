import type { JsonObject } from "@assay/evidence";
import { usageError } from "../errors.ts";
import type { BuildFacts } from "./build-facts.ts";
import type { AttestedSubject } from "./subject.ts";

/** "This artifact was made, in this build, from this commit": the statement `assay attest artifact` makes. */
export const ARTIFACT_PREDICATE = "https://assay.dev/attestation/artifact/v1";

/** The step of a flow that a statement belongs to. */
export type FlowStep = { readonly flow?: string; readonly trail?: string; readonly name?: string };

/** The predicate; what is not known is left out. */
export function artifactPredicate(
  subject: AttestedSubject,
  build: BuildFacts,
  step: FlowStep,
  repository: string | undefined,
  annotations: ReadonlyMap<string, string>,
): JsonObject {
  return present({
    artifactType: subject.artifactType,
    filename: subject.filename,
    ...flowStep(step),
    buildUrl: build.buildUrl,
    commitUrl: build.commitUrl,
    gitCommit: build.gitCommit,
    repositoryUrl: build.repositoryUrl,
    ref: build.ref,
    ci: build.ci,
    repository,
    structure: subject.structure,
    annotations: annotations.size === 0 ? undefined : Object.fromEntries(annotations),
  });
}

// Kosli's grammar of names, so that flows can be moved between the two.
const FLOW_NAME = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$/;
const STEP_NAME = /^[A-Za-z0-9_-]{1,254}(?:\.[A-Za-z0-9_,-]{1,254})?$/;

/** Checks flow, trail and name. Errors: `flow-name-invalid`, `trail-without-flow`. */
export function flowStep({ flow, trail, name }: FlowStep): FlowStep {
  for (const [option, text] of [
    ["--flow", flow],
    ["--trail", trail],
  ] as const) {
    if (text !== undefined && !FLOW_NAME.test(text)) {
      throw usageError(
        "flow-name-invalid",
        `${option}: ${JSON.stringify(text)} is not a name`,
        "Begin with a letter or digit; then letters, digits and . _ ~ -",
      );
    }
  }
  if (name !== undefined && !STEP_NAME.test(name)) {
    throw usageError(
      "flow-name-invalid",
      `--name: ${JSON.stringify(name)} is not a name`,
      "Use letters, digits, _ and -, or ARTIFACT.ATTESTATION.",
    );
  }
  if (trail !== undefined && flow === undefined) {
    throw usageError("trail-without-flow", "--trail needs --flow", "A trail belongs to a flow: name both.");
  }
  return {
    ...(flow === undefined ? {} : { flow }),
    ...(trail === undefined ? {} : { trail }),
    ...(name === undefined ? {} : { name }),
  };
}

/** Without the members that are undefined. */
export function present(members: { readonly [key: string]: JsonObject[string] | undefined }): JsonObject {
  const kept: Record<string, JsonObject[string]> = {};
  for (const [key, value] of Object.entries(members)) if (value !== undefined) kept[key] = value;
  return kept;
}
