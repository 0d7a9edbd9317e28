/** in-toto Statement v0.1 and v1 (in-toto/attestation: spec/v1/statement.md, spec/v1/resource_descriptor.md). */
import { type Digest, parseDigest } from "./digest.ts";
import { EvidenceError } from "./errors.ts";
import { emptyObject, isJsonObject, type JsonObject, type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { SIMPLE_SIGNING_PREDICATE } from "./simple-signing.ts";

export const STATEMENT_V01 = "https://in-toto.io/Statement/v0.1";
export const STATEMENT_V1 = "https://in-toto.io/Statement/v1";

/**
 * Predicate type under which a signature over an artifact's bytes themselves is shown. It says "this key signed these
 * bytes" and nothing else. Reserved: a statement that claims it is refused, so the two cannot be mistaken for one another.
 */
export const MESSAGE_SIGNATURE_PREDICATE = "https://assay.dev/message-signature/v1";

/**
 * The type under which a Notary Project signature is shown: the media type of its payload, the only one there is (notaryproject:
 * signature-specification.md). Reserved like the one above.
 */
export const NOTATION_PREDICATE = "application/vnd.cncf.notary.payload.v1+json";

/** Types under which signatures of other forms are shown: a statement that claims one could be mistaken for such a signature. */
const RESERVED: readonly string[] = [MESSAGE_SIGNATURE_PREDICATE, SIMPLE_SIGNING_PREDICATE, NOTATION_PREDICATE];

/**
 * What a statement is about: by `sha256` for us; other algorithms are kept as written, and so is what the signer notes about it
 * (in-toto/attestation: spec/v1/resource_descriptor.md, "annotations"). Annotations that are no object are left out, like a member
 * that nobody knows.
 */
export type Subject = {
  readonly name?: string;
  readonly digest: Readonly<Record<string, string>>;
  readonly annotations?: JsonObject;
};

/** A statement as parsed. That somebody signed it is another matter. */
export type Statement = {
  readonly type: "v0.1" | "v1";
  readonly subjects: readonly Subject[];
  readonly predicateType: string;
  /** Empty when the statement has none, which the specification treats alike. */
  readonly predicate: JsonObject;
};

const ALGORITHM = /^[A-Za-z0-9_.-]{1,64}$/;
const PREDICATE_TYPE = /^[^\s\u0000-\u001f\u007f]+$/;
const DIGEST_VALUE_LENGTH = 512;

/**
 * Reads a statement. At least one subject, each with at least one digest; a `sha256` must be 64 lower-case hex digits.
 * Members that the specification does not know are ignored, as it demands: they are signed like all others.
 * Throws `statement-invalid`, `too-large`, and the errors of `parseJson`.
 */
export function parseStatement(bytes: Uint8Array): Statement {
  const json = parseJson(bytes, { maxBytes: LIMITS.payloadBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "statement", "statement-invalid");
  const type = statementVersion(members.string("_type", LIMITS.typeLength));
  const subjects = members.array("subject", LIMITS.subjects).map(readSubject);
  if (subjects.length === 0) throw new EvidenceError("statement-invalid", "statement.subject is empty.");
  const predicateType = members.string("predicateType", LIMITS.typeLength);
  if (!PREDICATE_TYPE.test(predicateType)) throw members.wrong("predicateType", "is not a type URI");
  if (RESERVED.includes(predicateType))
    throw members.wrong("predicateType", "is reserved for signatures of other forms");
  return { type, subjects, predicateType, predicate: readPredicate(members.get("predicate")) };
}

/** The sha256 digests among the subjects, each once, in order. */
export function subjectDigests(subjects: readonly Subject[]): Digest[] {
  const digests = new Set<Digest>();
  for (const { digest } of subjects) {
    if (digest.sha256 !== undefined) digests.add(parseDigest(`sha256:${digest.sha256}`));
  }
  return [...digests];
}

function statementVersion(type: string): "v0.1" | "v1" {
  if (type === STATEMENT_V1) return "v1";
  if (type === STATEMENT_V01) return "v0.1";
  throw new EvidenceError(
    "statement-invalid",
    `statement._type ${JSON.stringify(type.slice(0, 100))} is not supported.`,
  );
}

function readPredicate(value: JsonValue | undefined): JsonObject {
  if (value === undefined) return emptyObject();
  if (!isJsonObject(value)) {
    throw new EvidenceError("statement-invalid", "statement.predicate is not an object.");
  }
  return value;
}

function readSubject(value: JsonValue, index: number): Subject {
  const where = `statement.subject[${index}]`;
  const members = new Members(value, where, "statement-invalid");
  const name = members.optionalString("name", LIMITS.subjectNameLength);
  const set = members.get("digest");
  if (!isJsonObject(set)) throw members.wrong("digest", "is not an object");
  const digest = Object.create(null) as Record<string, string>;
  const entries = Object.entries(set);
  if (entries.length === 0) throw members.wrong("digest", "is empty");
  if (entries.length > LIMITS.digestsPerSubject) throw new EvidenceError("too-large", `${where} has too many digests.`);
  for (const [algorithm, text] of entries) {
    if (!ALGORITHM.test(algorithm) || typeof text !== "string" || text === "" || text.length > DIGEST_VALUE_LENGTH) {
      throw members.wrong("digest", "holds something other than an algorithm's digest");
    }
    if (algorithm === "sha256" && !/^[0-9a-f]{64}$/.test(text)) {
      throw members.wrong("digest", "has a sha256 that is not 64 lower-case hexadecimal digits");
    }
    digest[algorithm] = text;
  }
  const annotations = members.get("annotations");
  return {
    ...(name === undefined ? {} : { name }),
    digest,
    ...(isJsonObject(annotations) ? { annotations } : {}),
  };
}
