/**
 * What cosign 2 signs for an image: a small JSON document that names it (containers/image: docs/containers-signature.5.md, "atomic container
 * signature"). It says "somebody signed the manifest with this digest" and nothing of what is in it.
 */
import { type Digest, parseDigest } from "./digest.ts";
import { EvidenceError } from "./errors.ts";
import { isJsonObject, type JsonObject, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";

/**
 * Predicate type under which such a signature is shown. The format has none: this name is ours, in the manner of the one for message
 * signatures, and likewise reserved, so that no statement can claim to be one.
 */
export const SIMPLE_SIGNING_PREDICATE = "https://assay.dev/cosign/simple-signing/v1";

/** The `type` that cosign writes; other tools' signatures of this form mean other things by it. */
const TYPE = "cosign container image signature";

/** What the document says. */
export type SimpleSigning = {
  /** The image's manifest: the one thing that it binds. */
  readonly digest: Digest;
  /** The name under which the image was signed, as claimed: never compared with anything, because images move. */
  readonly reference: string;
  /** The whole document, with the annotations that the signer added (`cosign sign -a`) in `optional`: what is shown as predicate. */
  readonly predicate: JsonObject;
};

/**
 * Reads the document. Members besides those of the format are refused, in `critical` as the format demands, elsewhere as everywhere here.
 * Throws `statement-invalid`, `digest-invalid`, `too-large` and the errors of `parseJson`.
 */
export function parseSimpleSigning(payload: Uint8Array): SimpleSigning {
  const json = parseJson(payload, { maxBytes: LIMITS.simpleSigningBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "payload", "statement-invalid").only(["critical", "optional"]);
  const critical = members.object("critical").only(["identity", "image", "type"]);
  if (critical.string("type", LIMITS.typeLength) !== TYPE)
    throw critical.wrong("type", `is not ${JSON.stringify(TYPE)}`);
  const reference = critical
    .object("identity")
    .only(["docker-reference"])
    .string("docker-reference", LIMITS.subjectNameLength);
  const image = critical.object("image").only(["docker-manifest-digest"]);
  const digest = parseDigest(image.string("docker-manifest-digest", LIMITS.typeLength));
  if (members.has("optional") && members.get("optional") !== null) members.object("optional");
  if (!isJsonObject(json)) throw new EvidenceError("statement-invalid", "The payload is not an object.");
  return { digest, reference, predicate: json };
}
