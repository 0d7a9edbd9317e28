/**
 * Timestamps of RFC 3161: the word of an authority that some bytes existed at a time. {@link verifyTimestamp} reads as the procedure:
 * token → imprint → signer's certificate → signature → chain.
 */
import { booleanValue, oidText, smallNumber, TAG_GENERALIZED_TIME, timeValue } from "./asn1.ts";
import { parseSignedData, readHash, type SignedData } from "./cms.ts";
import type { Crypto } from "./crypto.ts";
import { contextTag, DerReader, TAG_BOOLEAN, TAG_INTEGER, TAG_OCTET_STRING, TAG_OID, TAG_SEQUENCE } from "./der.ts";
import { equalBytes, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { Explanation } from "./explanation.ts";
import { LIMITS } from "./limits.ts";
import { HASHES } from "./noblecrypto.ts";
import type { HashName } from "./scheme.ts";
import { type SignerBinding, readSignerBinding } from "./timestamp-signer.ts";
import { type Authority, isWithin } from "./trust-root.ts";
import type { Step } from "./verdict.ts";
import { type Certificate, parseCertificate } from "./x509.ts";
import { certificatesOf, verifyChain } from "./x509-chain.ts";

/** id-ct-TSTInfo (RFC 3161 §2.4.2). */
const OID_TST_INFO = "1.2.840.113549.1.9.16.1.4";

/** TSTInfo (RFC 3161 §2.4.2), as far as anything is made of it. */
export type TimestampInfo = {
  /** Dotted object identifier of the authority's policy. */
  readonly policy: string;
  readonly hash: HashName;
  /** The hash of what was stamped. */
  readonly imprint: Uint8Array;
  /** Lower-case hex of the token's number, as DER writes it (two's complement). */
  readonly serial: string;
  /** ms since 1970; finer fractions are cut off. */
  readonly time: number;
  /** How far off the time may be, to either side, in microseconds; null when the authority does not say. Shown, never counted with. */
  readonly accuracy: number | null;
  /** Whether the authority's tokens can be ordered by their times alone. Shown, never counted with. */
  readonly ordering: boolean;
};

/** A token as parsed. Nothing in it is verified. */
export type Timestamp = { readonly signed: SignedData; readonly info: TimestampInfo };

/**
 * Reads a TimeStampResp that grants, or the bare TimeStampToken in it (RFC 3161 §2.4.2). Throws `timestamp-invalid`, `der-invalid`,
 * `too-large`.
 */
export function parseTimestamp(bytes: Uint8Array): Timestamp {
  if (bytes.length > LIMITS.timestampBytes) {
    throw new EvidenceError("too-large", `A timestamp has at most ${LIMITS.timestampBytes} bytes.`);
  }
  const signed = parseSignedData(tokenOf(bytes));
  if (signed.contentType !== OID_TST_INFO) throw invalid("what is signed is no timestamp");
  return { signed, info: readInfo(signed.content) };
}

/** The token: of a response its second part, else the bytes themselves. A token begins with an OID, a response with a status. */
function tokenOf(bytes: Uint8Array): Uint8Array {
  const outer = new DerReader(bytes);
  const body = outer.sequence();
  outer.end();
  if (body.tag === TAG_OID) return bytes;
  const status = body.sequence();
  const code = smallNumber(status.readUnsigned());
  // 0 is granted, 1 granted with modifications; then words for people, and no failure.
  if (code > 1) throw invalid(`the authority refused: status ${code}`);
  status.optional(TAG_SEQUENCE);
  status.end();
  const token = body.readEncoded(TAG_SEQUENCE);
  body.end();
  return token;
}

function readInfo(content: Uint8Array): TimestampInfo {
  const outer = new DerReader(content);
  const body = outer.sequence();
  outer.end();
  if (smallNumber(body.readUnsigned()) !== 1) throw invalid("TSTInfo is not of version 1");
  const policy = oidText(body.read(TAG_OID));
  const messageImprint = body.sequence();
  const hash = readHash(messageImprint.readEncoded(TAG_SEQUENCE));
  const imprint = messageImprint.read(TAG_OCTET_STRING);
  messageImprint.end();
  if (imprint.length !== HASHES[hash].outputLen) throw invalid("the imprint is not as long as its hash");
  // The specification asks for no sign, and Sigstore's own test authority has made negative ones.
  const serial = toHex(body.read(TAG_INTEGER));
  if (serial === "") throw invalid("its number is empty");
  const time = timeValue(TAG_GENERALIZED_TIME, body.read(TAG_GENERALIZED_TIME), { fraction: true });
  const accuracy = readAccuracy(body.optionalSequence(TAG_SEQUENCE));
  const ordering = body.optional(TAG_BOOLEAN);
  // The nonce is for who asked; the name of the authority is hint only (§2.4.2).
  body.optional(TAG_INTEGER);
  body.optional(contextTag(0, true));
  readExtensions(body.optionalSequence(contextTag(1, true)));
  body.end();
  return { policy, hash, imprint, serial, time, accuracy, ordering: ordering !== undefined && booleanValue(ordering) };
}

/** Accuracy in microseconds: each part may be missing, millis and micros are 1 to 999. */
function readAccuracy(body: DerReader | undefined): number | null {
  if (body === undefined) return null;
  const seconds = body.tag === TAG_INTEGER ? smallNumber(body.readUnsigned()) : 0;
  const part = (number: number): number => {
    const contents = body.optional(contextTag(number, false));
    if (contents === undefined) return 0;
    const value = contents.length <= 2 ? contents.reduce((sum, byte) => sum * 256 + byte, 0) : 0;
    if (value < 1 || value > 999) throw invalid("a part of the accuracy is not 1 to 999");
    return value;
  };
  const millis = part(0);
  const micros = part(1);
  body.end();
  return seconds * 1_000_000 + millis * 1_000 + micros;
}

/** Extensions (RFC 5280 §4.2): none is known here, so none may be critical. */
function readExtensions(list: DerReader | undefined): void {
  while (list !== undefined && !list.done) {
    const extension = list.sequence();
    extension.read(TAG_OID);
    const critical = extension.optional(TAG_BOOLEAN);
    if (critical !== undefined && booleanValue(critical)) throw invalid("it has a critical extension");
    extension.read(TAG_OCTET_STRING);
    extension.end();
  }
}

/** What came of a timestamp: the time it proves, and whose word that is. Times in ms since 1970. */
export type TimestampResult =
  | { readonly ok: true; readonly time: number; readonly authority: string; readonly steps: readonly Step[] }
  | {
      readonly ok: false;
      readonly message: string;
      /** It is a timestamp of this message, and no listed authority stands behind it: perhaps one that is not listed does. */
      readonly isForeign: boolean;
      readonly steps: readonly Step[];
    };

type Failure = Extract<TimestampResult, { ok: false }>;

/**
 * Whether an authority says that `message` existed at a time: a TimeStampResp or TimeStampToken over the message's SHA-256, SHA-384 or SHA-512, by
 * a certificate for timestamping alone (critical extended key usage, RFC 3161 §2.3) that was valid at that time under one of `authorities`,
 * in whose own window it lies. The certificates may be in the token, or be the authority's.
 *
 * The nonce is no concern of who was not the one to ask; accuracy and ordering are shown in the steps and not counted with.
 * Never throws on account of the token.
 */
export async function verifyTimestamp(
  crypto: Crypto,
  token: Uint8Array,
  request: { readonly message: Uint8Array; readonly authorities: readonly Authority[] },
): Promise<TimestampResult> {
  const explanation = new Explanation();
  const fail = (check: string, message: string): Failure => {
    explanation.failed(check, message);
    return { ok: false, message, isForeign: check === "timestamp-authority", steps: explanation.steps };
  };

  // 1. Token.
  let timestamp: Timestamp;
  let binding: SignerBinding;
  try {
    timestamp = parseTimestamp(token);
    binding = readSignerBinding(timestamp.signed.signer.attributes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail("timestamp-form", error.message);
  }
  const { signed, info } = timestamp;
  explanation.passed("timestamp-form", `It is a timestamp of ${isoText(info.time)}, ${qualityText(info)}.`);

  // 2. Imprint: it is about this message, and what is signed is about it.
  if (!equalBytes(HASHES[info.hash](request.message), info.imprint)) {
    return fail("timestamp-imprint", "The timestamp is about something else than what it came with.");
  }
  if (!equalBytes(HASHES[signed.signer.hash](signed.content), signed.signer.messageDigest)) {
    return fail("timestamp-imprint", "What the authority signed is not the timestamp that came with it.");
  }
  explanation.passed("timestamp-imprint", `It is about this message (${info.hash}).`);

  // 3. Authority: one of those that count at that time. The first that stands behind it is enough.
  const authorities = request.authorities.filter((authority) => isWithin(authority, info.time));
  if (authorities.length === 0) {
    return fail("timestamp-authority", "No timestamp authority is trusted for the time that it states.");
  }
  let closest: Attempt | undefined;
  const carried = readable(signed.certificates);
  for (const authority of authorities) {
    const attempt = await underAuthority(crypto, timestamp, { binding, carried, authority });
    if (attempt.ok) {
      explanation.passed("timestamp-authority", `The timestamp is by ${attempt.name}.`, attempt.steps);
      return { ok: true, time: info.time, authority: attempt.name, steps: explanation.steps };
    }
    if (closest === undefined || attempt.steps.length > closest.steps.length) closest = attempt;
  }
  const message = closest?.ok === false ? closest.message : "No timestamp authority stands behind it.";
  explanation.failed("timestamp-authority", message, closest?.steps);
  return { ok: false, message, isForeign: true, steps: explanation.steps };
}

/** More steps are a closer miss: they are taken in one order. */
type Attempt =
  | { readonly ok: true; readonly name: string; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly message: string; readonly steps: readonly Step[] };

async function underAuthority(
  crypto: Crypto,
  { signed, info }: Timestamp,
  {
    binding,
    carried,
    authority,
  }: { readonly binding: SignerBinding; readonly carried: readonly Certificate[]; readonly authority: Authority },
): Promise<Attempt> {
  const explanation = new Explanation();
  const fail = (check: string, message: string): Attempt => {
    explanation.failed(check, message);
    return { ok: false, message, steps: explanation.steps };
  };

  // a. The certificate: named by the signer, and meant by the signed attribute. What else the token carries is only a way to the root.
  const { signer } = signed;
  const own = certificatesOf(authority);
  const pinned = own.find((certificate) => !certificate.isCa);
  const leaf = [...own, ...carried].find((certificate) => isNamed(signer.id, certificate));
  if (leaf === undefined) {
    return fail(
      "timestamp-certificate",
      "The certificate of the timestamp's signer is neither in it nor in the trust root.",
    );
  }
  if (pinned !== undefined && pinned.fingerprint !== leaf.fingerprint) {
    return fail("timestamp-certificate", "The timestamp is not signed with the certificate that the trust root names.");
  }
  const bound = binding.binds(leaf, pinned !== undefined);
  if (!bound.ok) return fail("timestamp-certificate", bound.message);
  explanation.passed(
    "timestamp-certificate",
    `It is signed with the certificate of ${leaf.subjectText}. ${bound.detail}`,
  );

  // b. The signature over the attributes, which hold the digest of the timestamp.
  if (!(await crypto.verifyAs(leaf.publicKey, signer.scheme, signer.signature, signer.signedBytes))) {
    return fail("timestamp-signature", "The certificate's key did not make the timestamp's signature.");
  }
  explanation.passed("timestamp-signature", `The certificate's key made the signature (${signer.scheme}).`);

  // c. The chain, at the time that is stated: an authority that is gone today may well have been there then.
  const chain = await verifyChain(crypto, {
    leaf,
    intermediates: carried,
    authorities: [authority],
    time: info.time,
    purpose: "timestamping",
  });
  if (!chain.ok) {
    explanation.failed("timestamp-chain", chain.message, chain.steps);
    return { ok: false, message: chain.message, steps: explanation.steps };
  }
  explanation.passed("timestamp-chain", "The certificate was good for timestamps at that time.", chain.steps);
  return { ok: true, name: authority.uri === "" ? leaf.subjectText : authority.uri, steps: explanation.steps };
}

/** The certificates that can be read; no path leads over any other, so that they may be left out. */
function readable(ders: readonly Uint8Array[]): Certificate[] {
  return ders.flatMap((der) => {
    try {
      return [parseCertificate(der)];
    } catch (error) {
      if (error instanceof EvidenceError) return [];
      throw error;
    }
  });
}

/** Whether this is the certificate that the signer names (RFC 5652 §5.3). */
function isNamed(id: SignedData["signer"]["id"], certificate: Certificate): boolean {
  if (id.kind === "key-id") {
    return certificate.subjectKeyId !== undefined && equalBytes(certificate.subjectKeyId, id.keyId);
  }
  return certificate.serial === id.serial && equalBytes(certificate.issuer, id.issuer);
}

function qualityText({ accuracy, ordering, policy }: TimestampInfo): string {
  const quality = accuracy === null ? "of unstated accuracy" : `accurate to ${accuracy / 1_000} ms`;
  return `${quality}, ${ordering ? "ordered, " : ""}under the policy ${policy}`;
}

/** ISO 8601; the reader of times has made sure of the calendar. */
function isoText(time: number): string {
  return new Date(time).toISOString();
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("timestamp-invalid", `Timestamp: ${what}.`);
}
