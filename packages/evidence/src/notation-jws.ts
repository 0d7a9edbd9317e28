/**
 * The JWS envelope of a Notary Project signature (notaryproject/specifications: signature-envelope-jws.md): the flattened JSON
 * serialization of RFC 7515 §7.2.2.
 */
import { fromBase64, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import {
  ATTRIBUTE,
  checkAttributes,
  NOTATION_ALGORITHMS,
  type NotationAlgorithm,
  UNSIGNED_ATTRIBUTE,
} from "./notation-attributes.ts";
import type { NotationEnvelope } from "./notation-envelope.ts";
import { NOTATION_PREDICATE } from "./statement.ts";

/** Header parameters of RFC 7515 that may stand in the protected header; they are never listed as critical. */
const REGISTERED = ["alg", "cty", "crit"];

/**
 * Reads an envelope. Members that are not signed and not known are refused; signed ones are ignored unless critical. Throws
 * `notation-invalid`, `notation-unsupported`, `too-large`, and the errors of `parseJson`.
 */
export function parseNotationJws(bytes: Uint8Array): NotationEnvelope {
  const json = parseJson(bytes, { maxBytes: LIMITS.notationBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "envelope", "notation-invalid").only([
    "payload",
    "protected",
    "header",
    "signature",
  ]);
  const protectedText = members.string("protected", LIMITS.notationBytes);
  const payloadText = members.string("payload", LIMITS.notationBytes);
  const header = members.object("header").only(["x5c", UNSIGNED_ATTRIBUTE.timestamp, UNSIGNED_ATTRIBUTE.agent]);
  // Opaque, and nothing may depend on it ("Unsigned Attributes").
  header.optionalString(UNSIGNED_ATTRIBUTE.agent, LIMITS.typeLength);
  const { algorithm, attributes } = readProtected(base64Url(protectedText, "protected"));
  return {
    format: "jws",
    certificates: readChain(header),
    algorithm,
    // RFC 7515 §5.1: the texts as they stand are what is signed.
    signedBytes: utf8Encode(`${protectedText}.${payloadText}`),
    signature: base64Url(members.string("signature", 2 * LIMITS.signatureBytes), "signature"),
    payload: base64Url(payloadText, "payload"),
    attributes,
    timestamp: header.has(UNSIGNED_ATTRIBUTE.timestamp)
      ? header.bytes(UNSIGNED_ATTRIBUTE.timestamp, LIMITS.timestampBytes)
      : undefined,
  };
}

function readProtected(bytes: Uint8Array): Pick<NotationEnvelope, "algorithm" | "attributes"> {
  const json = parseJson(bytes, { maxBytes: LIMITS.notationBytes, maxDepth: LIMITS.jsonDepth });
  const header = new Members(json, "protected", "notation-invalid");
  const algorithm = header.string("alg", 100);
  if (!isAlgorithm(algorithm)) {
    throw new EvidenceError("notation-unsupported", `The algorithm ${JSON.stringify(algorithm)} is not supported.`);
  }
  const type = header.string("cty", LIMITS.typeLength);
  if (type !== NOTATION_PREDICATE) {
    throw new EvidenceError(
      "notation-unsupported",
      `The payload type ${JSON.stringify(type.slice(0, 100))} is not supported.`,
    );
  }
  const time = (name: string): number | undefined =>
    header.has(name) ? rfc3339(header.string(name, 100), name) : undefined;
  const attributes = checkAttributes({
    scheme: header.string(ATTRIBUTE.scheme, LIMITS.typeLength),
    signingTime: time(ATTRIBUTE.signingTime),
    authenticSigningTime: time(ATTRIBUTE.authenticSigningTime),
    expiry: time(ATTRIBUTE.expiry),
    critical: header.strings("crit", LIMITS.materialEntries, LIMITS.typeLength),
    names: memberNames(json).filter((name) => !REGISTERED.includes(name)),
  });
  return { algorithm, attributes };
}

/** Names of a parsed JSON object, which `Members` has made sure of. */
function memberNames(json: JsonValue): string[] {
  return typeof json === "object" && json !== null ? Object.keys(json) : [];
}

function isAlgorithm(name: string): name is NotationAlgorithm {
  return Object.hasOwn(NOTATION_ALGORITHMS, name);
}

/** RFC 7515 §4.1.6: standard base64 of DER. */
function readChain(header: Members): Uint8Array[] {
  const texts = header.strings("x5c", LIMITS.materialEntries, LIMITS.notationBytes);
  if (texts.length === 0) throw header.wrong("x5c", "is empty");
  return texts.map((text) => {
    try {
      return fromBase64(text);
    } catch (cause) {
      throw new EvidenceError("notation-invalid", "envelope.header.x5c is not standard, padded base64.", { cause });
    }
  });
}

/** Base64url without padding (RFC 7515 §2) in its one canonical spelling: nothing may be altered unnoticed. */
function base64Url(text: string, name: string): Uint8Array {
  try {
    if (/[^A-Za-z0-9_-]/.test(text)) throw new EvidenceError("encoding-invalid", "Not the base64url alphabet.");
    const standard = text.replaceAll("-", "+").replaceAll("_", "/");
    return fromBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, "="));
  } catch (cause) {
    throw new EvidenceError("notation-invalid", `envelope.${name} is not base64url without padding.`, { cause });
  }
}

const RFC_3339 = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))$/;

/** Milliseconds since 1970 of an RFC 3339 §5.6 date and time; finer fractions are cut off. */
function rfc3339(text: string, name: string): number {
  const [, date = "", clock = "", fraction = "", sign, hours = "0", minutes = "0"] = RFC_3339.exec(text) ?? [];
  const local = Date.parse(`${date}T${clock}.${fraction.slice(0, 3).padEnd(3, "0")}Z`);
  // A date that the calendar does not have comes back as another one, or as none.
  if (Number.isNaN(local) || !new Date(local).toISOString().startsWith(`${date}T${clock}`)) {
    throw new EvidenceError("notation-invalid", `protected.${name} is not an RFC 3339 date and time.`);
  }
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  if (Number(hours) > 23 || Number(minutes) > 59) {
    throw new EvidenceError("notation-invalid", `protected.${name} has an impossible offset.`);
  }
  return sign === "-" ? local + offset : local - offset;
}
