/** What happened to an artifact on its way: in-toto's predicates about tests, releases, steps, attributes and traces. */
import { member } from "../json-member.ts";
import { PREDICATE_TYPE } from "../predicate-types.ts";
import type { PredicateKind } from "./kind.ts";

/** in-toto predicates/test-result.md 0.1. */
const testResult: PredicateKind = {
  types: [PREDICATE_TYPE.testResult],
  title: "test result",
  check: (shape) => {
    shape.text("result", ["PASSED", "WARNED", "FAILED"]).objects("configuration", 0);
    for (const list of ["passedTests", "warnedTests", "failedTests"]) shape.optional(list, (it) => it.texts(list, 0));
  },
  fields: (fields, predicate) => {
    fields.add("test.result", member(predicate, "result"));
    fields.add("test.url", member(predicate, "url"));
    fields.each("test.configuration", member(predicate, "configuration"), "name");
    fields.each("test.failed", member(predicate, "failedTests"));
  },
};

/** in-toto predicates/release.md: 0.2 renamed `releaseId` to `packageId`. npm's "publish" is its forerunner. */
const release: PredicateKind = {
  types: ["https://in-toto.io/attestation/release/v0.2", "https://in-toto.io/attestation/release/v0.1"],
  title: "release",
  check: (shape) => shape.text("purl"),
  fields: (fields, predicate) => {
    fields.add("release.purl", member(predicate, "purl"));
    fields.add("release.package", member(predicate, "packageId") ?? member(predicate, "releaseId"));
  },
};

/** npm/attestation specs/publish/v0.1. */
const publish: PredicateKind = {
  types: ["https://github.com/npm/attestation/tree/main/specs/publish/v0.1"],
  title: "npm publish",
  check: (shape) => shape.text("name").text("version").text("registry"),
  fields: (fields, predicate) => {
    fields.add("release.package", member(predicate, "name"));
    fields.add("release.version", member(predicate, "version"));
    fields.add("release.registry", member(predicate, "registry"));
  },
};

/** in-toto predicates/scai.md 0.3, and 0.2 under its older name. */
const scai: PredicateKind = {
  types: [
    "https://in-toto.io/attestation/scai/v0.3",
    "https://in-toto.io/attestation/scai/attribute-report/v0.2",
    "https://in-toto.io/attestation/scai/attribute-report",
  ],
  title: "SCAI attribute report",
  check: (shape) =>
    shape.objects("attributes", 1, (one) => one.text("attribute")).optional("producer", (it) => it.object("producer")),
  fields: (fields, predicate) => {
    fields.each("attribute", member(predicate, "attributes"), "attribute");
    fields.add("producer", member(predicate, "producer", "uri") ?? member(predicate, "producer", "name"));
  },
};

/** in-toto predicates/link.md 0.3; before it `materials` was a map. */
const link: PredicateKind = {
  types: [
    "https://in-toto.io/attestation/link/v0.3",
    "https://in-toto.io/Link/v1",
    "https://in-toto.io/Link/v0.2",
    "https://in-toto.io/Link/v0.1",
  ],
  title: "in-toto link",
  check: (shape) =>
    shape
      .text("name")
      .optional("byproducts", (it) => it.object("byproducts"))
      .optional("environment", (it) => it.object("environment")),
  fields: (fields, predicate) => {
    fields.add("step", member(predicate, "name"));
  },
};

/** in-toto predicates/runtime-trace.md. */
const runtimeTrace: PredicateKind = {
  types: ["https://in-toto.io/attestation/runtime-trace/v0.1", "https://in-toto.io/attestation/runtime-trace/v0.2"],
  title: "runtime trace",
  check: (shape) =>
    shape
      .object("monitor", (monitor) => monitor.text("type"))
      .object("monitoredProcess", (process) => process.text("hostID").text("type").text("event"))
      .object("monitorLog", (log) => {
        const lists = ["process", "network", "fileAccess"].filter((list) => log.has(list));
        for (const list of lists) log.objects(list, 0);
        if (lists.length === 0) log.missing("process", "a list (or `network`, or `fileAccess`)");
      }),
  fields: (fields, predicate) => {
    fields.add("monitor.type", member(predicate, "monitor", "type"));
    fields.add("host.id", member(predicate, "monitoredProcess", "hostID"));
    fields.add("buildType", member(predicate, "monitoredProcess", "type"));
    fields.add("invocation.id", member(predicate, "monitoredProcess", "event"));
    fields.time("build.started", member(predicate, "metadata", "buildStartedOn"));
    fields.time("build.finished", member(predicate, "metadata", "buildFinishedOn"));
  },
};

/** in-toto predicates/reference.md 0.1. */
const reference: PredicateKind = {
  types: ["https://in-toto.io/attestation/reference/v0.1"],
  title: "reference to documents",
  check: (shape) =>
    shape
      .object("attester", (attester) => attester.text("id"))
      .objects("references", 1, (one) => one.text("downloadLocation").text("mediaType")),
  fields: (fields, predicate) => {
    fields.add("attester.id", member(predicate, "attester", "id"));
    fields.each("reference.location", member(predicate, "references"), "downloadLocation");
    fields.each("reference.digest", member(predicate, "references"), "digest", "sha256");
    fields.each("reference.type", member(predicate, "references"), "mediaType");
  },
};

export const STEP_KINDS: readonly PredicateKind[] = [testResult, release, publish, scai, link, runtimeTrace, reference];
