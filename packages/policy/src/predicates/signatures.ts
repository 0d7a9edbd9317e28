/** Statements that say little more than "signed": cosign's and notation's own payloads. */
import { MESSAGE_SIGNATURE_PREDICATE } from "@assay/evidence";
import { member } from "../json-member.ts";
import { PREDICATE_TYPE, SIMPLE_SIGNING_MEDIA_TYPE } from "../predicate-types.ts";
import type { PredicateKind } from "./kind.ts";

/** `cosign sign` of version 3: the subject is the image, the predicate may be empty. */
const cosignSign: PredicateKind = {
  types: ["https://sigstore.dev/cosign/sign/v1"],
  title: "image signature (cosign)",
  check: () => undefined,
  fields: () => undefined,
};

/** A signature over the bytes themselves. */
const messageSignature: PredicateKind = {
  types: [MESSAGE_SIGNATURE_PREDICATE],
  title: "signature over the bytes",
  check: () => undefined,
  fields: () => undefined,
};

/** `cosign attest` of anything: cosign specs/ATTESTATION_SPEC.md. */
const cosignCustom: PredicateKind = {
  types: ["https://cosign.sigstore.dev/attestation/v1"],
  title: "custom attestation (cosign)",
  check: (shape) => {
    if (!shape.has("Data")) shape.missing("Data", "what is attested");
    shape.optional("Timestamp", (it) => it.text("Timestamp"));
  },
  fields: (fields, predicate) => fields.time("signed.claimed", member(predicate, "Timestamp")),
};

/**
 * The payload of cosign's `.sig` layers: containers/image docs/atomic-signature.md, as cosign specs/SIGNATURE_SPEC.md adopts it. The format
 * has a media type and no predicate type; `@assay/evidence` shows it under one of its own.
 */
const simpleSigning: PredicateKind = {
  types: [PREDICATE_TYPE.simpleSigning, SIMPLE_SIGNING_MEDIA_TYPE],
  title: "image signature (simple signing)",
  check: (shape) =>
    shape.object("critical", (critical) =>
      critical
        .object("image", (image) => image.text("docker-manifest-digest"))
        .text("type")
        .object("identity"),
    ),
  fields: (fields, predicate) => {
    fields.add("image.reference", member(predicate, "critical", "identity", "docker-reference"));
    fields.add("signature.creator", member(predicate, "optional", "creator"));
  },
};

/** notaryproject/specifications signature-specification.md, "Payload". */
const notation: PredicateKind = {
  types: ["application/vnd.cncf.notary.payload.v1+json"],
  title: "image signature (notation)",
  check: (shape) =>
    shape.object("targetArtifact", (artifact) => artifact.text("mediaType").text("digest").scalar("size")),
  fields: (fields, predicate) => fields.add("artifact.type", member(predicate, "targetArtifact", "mediaType")),
};

export const SIGNATURE_KINDS: readonly PredicateKind[] = [
  cosignSign,
  messageSignature,
  cosignCustom,
  simpleSigning,
  notation,
];
