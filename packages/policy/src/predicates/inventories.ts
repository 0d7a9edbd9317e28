/** What is inside an artifact, and what of it matters: bills of materials, scans, VEX. */
import { member, ownMembers } from "../json-member.ts";
import { items } from "./fields.ts";
import type { PredicateKind } from "./kind.ts";
import type { Shape } from "./shape.ts";

/** cosign 1 put the document under `Data`; later versions make it the predicate. */
function document(predicate: unknown): unknown {
  const data = member(predicate, "Data");
  return ownMembers(data) === undefined ? predicate : data;
}

function inDocument(check: (document: Shape) => void): (shape: Shape) => void {
  return (shape) => {
    if (shape.has("Data")) shape.object("Data", check);
    else check(shape);
  };
}

/** SPDX 2 is one object, SPDX 3 a JSON-LD graph; the type alone does not say which. */
const spdx: PredicateKind = {
  types: ["", "/v2", "/v2.2", "/v2.3", "/v3", "/v3.0", "/v3.0.1"].map(
    (version) => `https://spdx.dev/Document${version}`,
  ),
  title: "SPDX bill of materials",
  check: inDocument((bill) => {
    if (bill.has("spdxVersion")) bill.text("spdxVersion").text("name").object("creationInfo");
    else if (bill.has("@graph")) bill.scalar("@context").objects("@graph", 1);
    else bill.missing("spdxVersion", "the version of SPDX, or `@graph` of SPDX 3");
  }),
  fields: (fields, predicate) => {
    const bill = document(predicate);
    const graph = items(member(bill, "@graph"));
    const root = graph.find((element) => member(element, "type") === "SpdxDocument");
    const version = member(bill, "spdxVersion");
    fields.add("sbom.format", version === undefined ? "SPDX-3" : version);
    fields.add("sbom.name", member(bill, "name") ?? member(root, "name"));
    fields.add("sbom.id", member(bill, "documentNamespace") ?? member(root, "spdxId"));
    fields.time("sbom.created", member(bill, "creationInfo", "created"));
    fields.each("sbom.creator", member(bill, "creationInfo", "creators"));
  },
};

/** The CycloneDX schemas 1.2 to 1.7: `bomFormat` and `specVersion` are required. */
const cyclonedx: PredicateKind = {
  types: ["", "/v1.2", "/v1.3", "/v1.4", "/v1.5", "/v1.6", "/v1.7"].map((it) => `https://cyclonedx.org/bom${it}`),
  title: "CycloneDX bill of materials",
  check: inDocument((bill) =>
    bill
      .text("bomFormat", ["CycloneDX"])
      .text("specVersion")
      .optional("components", (it) => it.objects("components", 0)),
  ),
  fields: (fields, predicate) => {
    const bill = document(predicate);
    const version = member(bill, "specVersion");
    fields.add("sbom.format", typeof version === "string" ? `CycloneDX-${version}` : undefined);
    fields.add("sbom.name", member(bill, "metadata", "component", "name"));
    fields.add("sbom.purl", member(bill, "metadata", "component", "purl"));
    fields.add("sbom.id", member(bill, "serialNumber"));
    fields.time("sbom.created", member(bill, "metadata", "timestamp"));
    const tools = member(bill, "metadata", "tools");
    fields.each("sbom.creator", Array.isArray(tools) ? tools : member(tools, "components"), "name");
  },
};

/** A finding has its `id` in itself or under `vulnerability`: v0.1's text says the one, its example and v0.2 the other. */
function finding(one: Shape): void {
  if (one.has("vulnerability")) one.object("vulnerability", (inner) => inner.text("id"));
  else one.text("id");
}

/** in-toto predicates/vulns.md 0.1 and vulns_02.md 0.2. */
const vulns: PredicateKind = {
  types: ["https://in-toto.io/attestation/vulns/v0.2", "https://in-toto.io/attestation/vulns/v0.1"],
  title: "vulnerability scan",
  check: (shape) =>
    shape
      .object("scanner", (scanner) =>
        scanner
          .text("uri")
          .object("db", (db) => db.time("lastUpdate"))
          .objects("result", 0, finding),
      )
      .object("metadata", (metadata) => metadata.time("scanStartedOn").time("scanFinishedOn")),
  fields: (fields, predicate) => {
    fields.add("scanner.uri", member(predicate, "scanner", "uri"));
    fields.add("scanner.version", member(predicate, "scanner", "version"));
    fields.add("scanner.db.uri", member(predicate, "scanner", "db", "uri"));
    fields.add("scanner.db.version", member(predicate, "scanner", "db", "version"));
    fields.time("scanner.db.time", member(predicate, "scanner", "db", "lastUpdate"));
    fields.time("scan.finished", member(predicate, "metadata", "scanFinishedOn"));
    const found = member(predicate, "scanner", "result");
    if (Array.isArray(found)) fields.add("scan.findings", found.length);
    for (const one of items(found))
      fields.add("vulnerability", member(one, "vulnerability", "id") ?? member(one, "id"));
  },
};

/** cosign specs/COSIGN_VULN_ATTESTATION_SPEC.md: the scanner's own report stands under `scanner.result`, in whatever form. */
const cosignVuln: PredicateKind = {
  types: ["https://cosign.sigstore.dev/attestation/vuln/v1"],
  title: "vulnerability scan (cosign)",
  check: (shape) =>
    shape
      .object("scanner", (scanner) => {
        scanner.text("uri");
        if (!scanner.has("result")) scanner.missing("result", "the scanner's report");
      })
      .object("metadata", (metadata) => metadata.time("scanStartedOn").time("scanFinishedOn")),
  fields: (fields, predicate) => {
    fields.add("scanner.uri", member(predicate, "scanner", "uri"));
    fields.add("scanner.version", member(predicate, "scanner", "version"));
    fields.add("scanner.db.uri", member(predicate, "scanner", "db", "uri"));
    fields.add("scanner.db.version", member(predicate, "scanner", "db", "version"));
    fields.time("scanner.db.time", member(predicate, "scanner", "db", "lastUpdate"));
    fields.time("scan.finished", member(predicate, "metadata", "scanFinishedOn"));
    fields.add("invocation.id", member(predicate, "invocation", "uri"));
  },
};

/** OpenVEX 0.2.0: its namespace is the predicate type; cosign writes it without a version. */
const openvex: PredicateKind = {
  types: ["https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0", "https://openvex.dev/ns/v0.0.1"],
  title: "OpenVEX document",
  check: (shape) =>
    shape
      .text("@context")
      .text("@id")
      .text("author")
      .time("timestamp")
      .scalar("version")
      .objects("statements", 1, (statement) => {
        statement.text("status", ["not_affected", "affected", "fixed", "under_investigation"]);
        if (!statement.has("vulnerability")) statement.missing("vulnerability", "the vulnerability it is about");
      }),
  fields: (fields, predicate) => {
    fields.add("vex.id", member(predicate, "@id"));
    fields.add("vex.author", member(predicate, "author"));
    fields.time("vex.time", member(predicate, "timestamp"));
    for (const statement of items(member(predicate, "statements"))) {
      fields.add("vulnerability", member(statement, "vulnerability", "name") ?? member(statement, "vulnerability"));
      fields.add("vex.status", member(statement, "status"));
    }
  },
};

export const INVENTORY_KINDS: readonly PredicateKind[] = [spdx, cyclonedx, vulns, cosignVuln, openvex];
