/** SLSA build provenance in all its versions. */
import { member } from "../json-member.ts";
import { PREDICATE_TYPE } from "../predicate-types.ts";
import { parseSourceUri } from "../repository-url.ts";
import { type Fields, items } from "./fields.ts";
import type { PredicateKind } from "./kind.ts";

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** https://slsa.dev/spec/v1.2/build-provenance ; 1.0 to 1.2 share the type. */
const v1: PredicateKind = {
  types: [PREDICATE_TYPE.provenanceV1],
  title: "SLSA provenance v1",
  check: (shape) =>
    shape
      .object("buildDefinition", (definition) =>
        definition
          .text("buildType")
          .object("externalParameters")
          .optional("internalParameters", (it) => it.object("internalParameters"))
          .optional("resolvedDependencies", (it) => it.objects("resolvedDependencies", 0)),
      )
      .object("runDetails", (details) =>
        details
          .object("builder", (builder) => builder.text("id"))
          .optional("metadata", (it) =>
            it.object("metadata", (metadata) => {
              for (const time of ["startedOn", "finishedOn"]) metadata.optional(time, (at) => at.time(time));
            }),
          )
          .optional("byproducts", (it) => it.objects("byproducts", 0)),
      ),
  fields: (fields, predicate) => {
    fields.add("builder.id", member(predicate, "runDetails", "builder", "id"));
    fields.add("buildType", member(predicate, "buildDefinition", "buildType"));
    const parameters = member(predicate, "buildDefinition", "externalParameters");
    const resolved = member(predicate, "buildDefinition", "resolvedDependencies");
    addSource(fields, [member(parameters, "workflow"), member(parameters, "source")], resolved);
    fields.add(
      "runner.environment",
      member(predicate, "buildDefinition", "internalParameters", "github", "runner_environment"),
    );
    fields.add("invocation.id", member(predicate, "runDetails", "metadata", "invocationId"));
    fields.time("build.started", member(predicate, "runDetails", "metadata", "startedOn"));
    fields.time("build.finished", member(predicate, "runDetails", "metadata", "finishedOn"));
  },
};

/** https://slsa.dev/provenance/v0.2 : all but builder and build type may be left out. */
const v02: PredicateKind = {
  types: [PREDICATE_TYPE.provenanceV02],
  title: "SLSA provenance v0.2",
  check: (shape) =>
    shape
      .object("builder", (builder) => builder.text("id"))
      .text("buildType")
      .optional("invocation", (it) =>
        it.object("invocation", (invocation) =>
          invocation.optional("configSource", (inner) => inner.object("configSource")),
        ),
      )
      .optional("materials", (it) => it.objects("materials", 0)),
  fields: (fields, predicate) => {
    fields.add("builder.id", member(predicate, "builder", "id"));
    fields.add("buildType", member(predicate, "buildType"));
    addSource(fields, [member(predicate, "invocation", "configSource")], member(predicate, "materials"));
    fields.add("invocation.id", member(predicate, "metadata", "buildInvocationId"));
    fields.add("invocation.id", member(predicate, "metadata", "buildInvocationID"));
    fields.time("build.started", member(predicate, "metadata", "buildStartedOn"));
    fields.time("build.finished", member(predicate, "metadata", "buildFinishedOn"));
  },
};

/** https://slsa.dev/provenance/v0.1 , first published as in-toto's. The recipe's source is the material that it points to by number. */
const v01: PredicateKind = {
  types: ["https://in-toto.io/Provenance/v0.1", "https://slsa.dev/provenance/v0.1"],
  title: "provenance v0.1",
  check: (shape) =>
    shape
      .object("builder", (builder) => builder.text("id"))
      .object("recipe", (recipe) => recipe.text("type"))
      .optional("materials", (it) => it.objects("materials", 0)),
  fields: (fields, predicate) => {
    fields.add("builder.id", member(predicate, "builder", "id"));
    fields.add("buildType", member(predicate, "recipe", "type"));
    const materials = member(predicate, "materials");
    const at = member(predicate, "recipe", "definedInMaterial");
    const defined = typeof at === "number" ? items(materials)[at] : undefined;
    addSource(fields, [defined], materials);
    fields.add("invocation.id", member(predicate, "metadata", "buildInvocationId"));
    fields.time("build.started", member(predicate, "metadata", "buildStartedOn"));
    fields.time("build.finished", member(predicate, "metadata", "buildFinishedOn"));
  },
};

export const PROVENANCE_KINDS: readonly PredicateKind[] = [v1, v02, v01];

/**
 * The sources that provenance names, for finding it: unlike a rule, which must know the one source, an index may hold them all.
 * Repositories in their canonical form; one that has none is added as `source.uri`.
 */
function addSource(fields: Fields, named: readonly unknown[], resolved: unknown): void {
  const repositories = new Set<string>();
  for (const source of named) {
    const address = typeof source === "string" ? source : (member(source, "repository") ?? member(source, "uri"));
    const repository = addAddress(fields, address);
    if (repository !== undefined) repositories.add(repository);
    fields.add("source.ref", member(source, "ref"));
    fields.add("source.path", member(source, "path") ?? member(source, "entryPoint"));
    addCommit(fields, source);
  }
  for (const entry of items(resolved)) {
    const uri = member(entry, "uri");
    if (typeof uri !== "string" || (!uri.startsWith("git+") && member(entry, "digest", "gitCommit") === undefined))
      continue;
    const parsed = parseSourceUri(uri);
    // Beside a named source, other repositories are dependencies.
    if (repositories.size > 0 && (parsed === undefined || !repositories.has(parsed.repository))) continue;
    addAddress(fields, uri);
    addCommit(fields, entry);
  }
}

function addAddress(fields: Fields, address: unknown): string | undefined {
  if (typeof address !== "string") return undefined;
  const parsed = parseSourceUri(address);
  if (parsed === undefined) {
    fields.add("source.uri", address);
    return undefined;
  }
  fields.add("source.repository", parsed.repository);
  if (parsed.revision !== undefined)
    fields.add(COMMIT.test(parsed.revision) ? "source.digest" : "source.ref", parsed.revision);
  return parsed.repository;
}

/** The git commit in a descriptor's digests. Before v1 it was called `sha1`. */
function addCommit(fields: Fields, descriptor: unknown): void {
  const commit = member(descriptor, "digest", "gitCommit") ?? member(descriptor, "digest", "sha1");
  if (typeof commit === "string" && COMMIT.test(commit)) fields.add("source.digest", commit);
}
