import { isJsonObject, type JsonObject } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { present } from "./artifact.ts";
import { type BuildFacts, webPage } from "./build-facts.ts";

export const PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1";
/**
 * How `externalParameters` of the provenance made here are to be read: `workflow` {repository, ref, path} is the file that
 * defined the build, as the CI names it; where the CI names none, `source` {repository, ref} is what was built.
 */
export const CI_BUILD_TYPE = "https://assay.dev/build-types/ci/v1";

/** SLSA build provenance v1 (slsa.dev/spec/v1.0/provenance) of a CI build. Errors: `builder-missing`, `source-missing`. */
export function provenancePredicate(
  build: BuildFacts,
  flags: {
    readonly builderId?: string;
    readonly buildType?: string;
    readonly startedOn?: string;
    readonly finishedOn?: string;
  },
): JsonObject {
  const builder = webPage("--builder-id", flags.builderId) ?? build.builder;
  if (builder === undefined) {
    throw usageError("builder-missing", "who built this is not known", "Give --builder-id URI, or run in a CI system.");
  }
  if (build.repositoryUrl === undefined || build.gitCommit === undefined) {
    throw usageError(
      "source-missing",
      "what this was built from is not known",
      "Give --repository-url and --git-commit, or run in a CI system.",
    );
  }
  const source = `git+${build.repositoryUrl}${build.ref === undefined ? "" : `@${build.ref}`}`;
  return {
    buildDefinition: {
      buildType: webPage("--build-type", flags.buildType) ?? CI_BUILD_TYPE,
      externalParameters:
        build.workflow === undefined
          ? { source: present({ repository: build.repositoryUrl, ref: build.ref }) }
          : { workflow: build.workflow },
      resolvedDependencies: [{ uri: source, digest: { gitCommit: build.gitCommit } }],
    },
    runDetails: {
      builder: { id: builder },
      metadata: present({
        invocationId: build.buildUrl,
        startedOn: timestamp("--started-on", flags.startedOn),
        finishedOn: timestamp("--finished-on", flags.finishedOn),
      }),
    },
  };
}

/** Refuses a predicate that is no SLSA provenance v1: without builder or build type nothing can be decided from it. */
export function checkProvenance(predicate: JsonObject, path: string): JsonObject {
  const { buildDefinition, runDetails } = predicate;
  const builder = isJsonObject(runDetails) ? runDetails.builder : undefined;
  const isProvenance =
    isJsonObject(buildDefinition) &&
    typeof buildDefinition.buildType === "string" &&
    isJsonObject(buildDefinition.externalParameters) &&
    isJsonObject(builder) &&
    typeof builder.id === "string";
  if (isProvenance) return predicate;
  throw usageError(
    "provenance-invalid",
    `${path} is no SLSA provenance v1 predicate`,
    "It needs buildDefinition.buildType, buildDefinition.externalParameters and runDetails.builder.id.",
  );
}

/** RFC 3339 in UTC, as in-toto's Timestamp demands. */
function timestamp(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw usageError(
    "time-invalid",
    `${option}: ${JSON.stringify(text)} is not a time`,
    "Write it like 2026-11-22T13:17:00Z.",
  );
}
