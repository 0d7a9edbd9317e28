/**
 * The COSE envelope of a Notary Project signature (notaryproject/specifications: signature-envelope-cose.md): a tagged COSE_Sign1
 * (RFC 9052 §4.2).
 */
import {
  type CborMap,
  type CborValue,
  cborArrayHead,
  cborBytes,
  cborText,
  isCborArray,
  isCborMap,
  isCborTagged,
  parseCbor,
} from "./cbor.ts";
import { concatBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { ATTRIBUTE, checkAttributes, type NotationAlgorithm, UNSIGNED_ATTRIBUTE } from "./notation-attributes.ts";
import type { NotationEnvelope } from "./notation-envelope.ts";
import { NOTATION_PREDICATE } from "./statement.ts";

/** CBOR tag of COSE_Sign1 (RFC 9052 §2), and the byte that every such envelope begins with. */
const COSE_SIGN1 = 18;
export const COSE_SIGN1_BYTE = 0xd2;
/** CBOR tag of seconds since 1970 (RFC 8949 §3.4.2). */
const EPOCH_TIME = 1;
/** Last second of the year 9999. */
const LAST_SECOND = 253_402_300_799;

/** Header labels (RFC 9052 §3.1, RFC 9360 §2, draft-ietf-cose-hash-envelope). */
const LABEL = { algorithm: 1, critical: 2, contentType: 3, x5chain: 33, payloadHashAlgorithm: 258 } as const;

/** RFC 9053 §2.1, RFC 8230 §2. */
const ALGORITHMS: ReadonlyMap<CborValue, NotationAlgorithm> = new Map([
  [-37, "PS256"],
  [-38, "PS384"],
  [-39, "PS512"],
  [-7, "ES256"],
  [-35, "ES384"],
  [-36, "ES512"],
]);

/**
 * Reads an envelope. Unprotected headers that are not known are refused; protected ones are ignored unless critical. Throws
 * `notation-invalid`, `notation-unsupported`, and the errors of `parseCbor`.
 */
export function parseNotationCose(bytes: Uint8Array): NotationEnvelope {
  const message = parseCbor(bytes);
  if (!isCborTagged(message) || message.tag !== COSE_SIGN1) throw invalid("it is not a tagged COSE_Sign1");
  if (!isCborArray(message.value) || message.value.length !== 4) throw invalid("a COSE_Sign1 has four parts");
  const [protectedBytes, unprotected, payload, signature] = message.value;
  if (!(protectedBytes instanceof Uint8Array)) throw invalid("the protected headers are not a byte string");
  if (unprotected === undefined || !isCborMap(unprotected)) throw invalid("the unprotected headers are not a map");
  if (!(payload instanceof Uint8Array)) throw invalid("the payload is not in the envelope");
  if (!(signature instanceof Uint8Array)) throw invalid("the signature is not a byte string");
  if (signature.length > LIMITS.signatureBytes) throw invalid("the signature is too long");

  const signed = parseCbor(protectedBytes);
  if (!isCborMap(signed)) throw invalid("the protected headers are not a map");
  // RFC 9052 §3: a label in both would be read from one by some and from the other by others.
  for (const label of unprotected.keys()) {
    if (signed.has(label)) throw invalid(`the header ${String(label).slice(0, 100)} is both signed and not`);
  }
  return {
    format: "cose",
    algorithm: readAlgorithm(signed),
    attributes: readAttributes(signed),
    signedBytes: sigStructure(protectedBytes, payload),
    signature,
    payload,
    ...readUnprotected(unprotected),
  };
}

/** Sig_structure of COSE_Sign1 (RFC 9052 §4.4), without external data. */
function sigStructure(protectedBytes: Uint8Array, payload: Uint8Array): Uint8Array {
  const nothing = new Uint8Array(0);
  return concatBytes(
    cborArrayHead(4),
    cborText("Signature1"),
    cborBytes(protectedBytes),
    cborBytes(nothing),
    cborBytes(payload),
  );
}

function readAlgorithm(signed: CborMap): NotationAlgorithm {
  const value = signed.get(LABEL.algorithm);
  if (value === undefined) throw invalid("the algorithm is missing");
  const algorithm = ALGORITHMS.get(value);
  if (algorithm === undefined)
    throw new EvidenceError("notation-unsupported", "The algorithm of the COSE envelope is not supported.");
  return algorithm;
}

function readAttributes(signed: CborMap): NotationEnvelope["attributes"] {
  if (signed.has(LABEL.payloadHashAlgorithm)) {
    throw new EvidenceError("notation-unsupported", "COSE hash envelopes are not supported.");
  }
  const type = signed.get(LABEL.contentType);
  if (typeof type !== "string") throw invalid("the content type is not text");
  if (type !== NOTATION_PREDICATE) {
    throw new EvidenceError(
      "notation-unsupported",
      `The payload type ${JSON.stringify(type.slice(0, 100))} is not supported.`,
    );
  }
  const scheme = signed.get(ATTRIBUTE.scheme);
  if (typeof scheme !== "string") throw invalid("the signing scheme is not text");
  const critical = signed.get(LABEL.critical);
  if (critical === undefined || !isCborArray(critical)) throw invalid("the list of critical headers is missing");
  return checkAttributes({
    scheme,
    signingTime: readTime(signed, ATTRIBUTE.signingTime),
    authenticSigningTime: readTime(signed, ATTRIBUTE.authenticSigningTime),
    expiry: readTime(signed, ATTRIBUTE.expiry),
    critical: critical.map((label) => {
      if (typeof label === "string") return label;
      // Those of 0 to 8 must not be listed, and none of the others with a number is known here.
      throw new EvidenceError("notation-unsupported", "A critical header with a number is not known here.");
    }),
    names: [...signed.keys()].filter((label) => typeof label === "string"),
  });
}

/** Milliseconds since 1970 of an epoch-based time in whole seconds (RFC 8949 §3.4.2). */
function readTime(signed: CborMap, name: string): number | undefined {
  if (!signed.has(name)) return undefined;
  const value = signed.get(name);
  const seconds = value !== undefined && isCborTagged(value) && value.tag === EPOCH_TIME ? value.value : undefined;
  if (typeof seconds !== "number" || seconds < 0 || seconds > LAST_SECOND) {
    throw invalid(`${name} is not a tagged time in whole seconds`);
  }
  return seconds * 1_000;
}

function readUnprotected(unprotected: CborMap): Pick<NotationEnvelope, "certificates" | "timestamp"> {
  for (const label of unprotected.keys()) {
    if (label !== LABEL.x5chain && label !== UNSIGNED_ATTRIBUTE.timestamp && label !== UNSIGNED_ATTRIBUTE.agent) {
      throw invalid(`the unprotected header ${JSON.stringify(String(label).slice(0, 100))} is not known`);
    }
  }
  const chain = unprotected.get(LABEL.x5chain);
  if (chain === undefined || !isCborArray(chain) || chain.length === 0)
    throw invalid("the certificate chain is missing");
  if (chain.length > LIMITS.materialEntries) throw invalid("the certificate chain is too long");
  const certificates = chain.map((certificate) => {
    if (certificate instanceof Uint8Array) return certificate;
    throw invalid("a certificate of the chain is not a byte string");
  });
  // Opaque, and nothing may depend on it ("Unsigned Attributes").
  if (unprotected.has(UNSIGNED_ATTRIBUTE.agent) && typeof unprotected.get(UNSIGNED_ATTRIBUTE.agent) !== "string") {
    throw invalid("the signing agent is not text");
  }
  const timestamp = unprotected.get(UNSIGNED_ATTRIBUTE.timestamp);
  if (unprotected.has(UNSIGNED_ATTRIBUTE.timestamp) && !(timestamp instanceof Uint8Array)) {
    throw invalid("the timestamp is not a byte string");
  }
  return { certificates, timestamp: timestamp instanceof Uint8Array ? timestamp : undefined };
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("notation-invalid", `COSE envelope: ${what}.`);
}
