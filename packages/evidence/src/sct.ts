/**
 * Signed certificate timestamps in a certificate (RFC 6962 §3.2, §3.3): a certificate log's promise that it has, or will soon have, seen
 * the certificate. What the log signed is the certificate without the promise, so that is rebuilt here byte for byte.
 */
import { contextTag, DerReader, derValue, TAG_SEQUENCE } from "./der.ts";
import type { Crypto } from "./crypto.ts";
import { concatBytes, equalBytes, fromHex, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import type { SignatureScheme } from "./scheme.ts";
import { fromBigInt } from "./signature.ts";
import { isWithin, type LogKey } from "./trust-root.ts";
import type { Step } from "./verdict.ts";
import type { Certificate } from "./x509.ts";
import { OID_SCT_LIST } from "./x509-extensions.ts";

/** One timestamp as written. */
export type SignedCertificateTimestamp = {
  /** SHA-256 of the log key's SPKI. */
  readonly logId: Uint8Array;
  /** ms since 1970. */
  readonly time: number;
  /** Opaque; logs of static-ct-api put their leaf index here. Signed with the rest. */
  readonly extensions: Uint8Array;
  /** Undefined for pairs of hash and algorithm that are not supported: see RFC 5246 §7.4.1.4.1. */
  readonly scheme: SignatureScheme | undefined;
  readonly signature: Uint8Array;
};

export type SctResult =
  /** `time` is the earliest that a log states. */
  | { readonly ok: true; readonly time: number; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly code: "sct-invalid"; readonly message: string; readonly steps: readonly Step[] };

/** RFC 5246 §7.4.1.4.1: hash and signature algorithm of one octet each. */
const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  "0403": "ecdsa-sha256",
  "0503": "ecdsa-sha384",
  "0603": "ecdsa-sha512",
  "0401": "rsa-pkcs1-sha256",
  "0501": "rsa-pkcs1-sha384",
  "0601": "rsa-pkcs1-sha512",
};

/**
 * Whether at least one of the logs has seen the certificate: a timestamp in it is signed by a listed log, for this certificate by this issuer,
 * at a time when the log was trusted. Timestamps of other logs are passed over. `issuer` is the next certificate of the verified chain.
 */
export async function verifySct(
  crypto: Crypto,
  request: { readonly leaf: Certificate; readonly issuer: Certificate; readonly ctlogs: readonly LogKey[] },
): Promise<SctResult> {
  const { leaf, issuer, ctlogs } = request;
  const refuse = (message: string, steps: readonly Step[]): SctResult => {
    return { ok: false, code: "sct-invalid", message, steps: [...steps, step("failed", message)] };
  };
  if (leaf.sctList === undefined) return refuse("The certificate holds no signed certificate timestamp.", []);
  let timestamps: readonly SignedCertificateTimestamp[];
  try {
    timestamps = parseSctList(leaf.sctList);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return refuse(`The certificate's timestamps cannot be read. ${error.message}`, []);
  }

  const entry = precertEntry(leaf, issuer);
  const steps: Step[] = [];
  const times: number[] = [];
  for (const timestamp of timestamps) {
    const objection = await objectionTo(crypto, timestamp, entry, ctlogs);
    const log = toHex(timestamp.logId).slice(0, 16);
    if (objection === undefined) {
      times.push(timestamp.time);
      steps.push(step("passed", `The log ${log}… signed for it at ${new Date(timestamp.time).toISOString()}.`));
    } else {
      steps.push(step("failed", `A timestamp of the log ${log}… ${objection}.`));
    }
  }
  if (times.length === 0) return refuse("No trusted certificate log has signed for the certificate.", steps);
  return { ok: true, time: Math.min(...times), steps };
}

/** Reads a SignedCertificateTimestampList: at least one, whole, of version 1. Throws `certificate-invalid`. */
export function parseSctList(bytes: Uint8Array): readonly SignedCertificateTimestamp[] {
  const outer = new TlsReader(bytes);
  const list = new TlsReader(outer.vector());
  outer.end();
  const timestamps: SignedCertificateTimestamp[] = [];
  do {
    if (timestamps.length >= LIMITS.certificateTimestamps) throw invalid("there are too many");
    timestamps.push(readSct(new TlsReader(list.vector())));
  } while (!list.done);
  return timestamps;
}

function readSct(reader: TlsReader): SignedCertificateTimestamp {
  if (reader.take(1)[0] !== 0) throw invalid("one is not of version 1");
  const logId = reader.take(32);
  const time = Number.parseInt(toHex(reader.take(8)), 16);
  // The last moment that a Date can hold.
  if (time > 8_640_000_000_000_000) throw invalid("one has a time beyond the calendar");
  const extensions = reader.vector();
  const algorithms = toHex(reader.take(2));
  const signature = reader.vector();
  reader.end();
  const scheme = Object.hasOwn(SCHEMES, algorithms) ? SCHEMES[algorithms] : undefined;
  return { logId, time, extensions, scheme, signature };
}

async function objectionTo(
  crypto: Crypto,
  timestamp: SignedCertificateTimestamp,
  entry: Uint8Array,
  ctlogs: readonly LogKey[],
): Promise<string | undefined> {
  const { scheme } = timestamp;
  const known = ctlogs.filter(({ logId }) => equalBytes(logId, timestamp.logId));
  if (known.length === 0) return "is of a log that is not trusted";
  const valid = known.filter((log) => isWithin(log, timestamp.time));
  if (valid.length === 0) return "is of a time when that log is not trusted";
  if (scheme === undefined) return "is signed with an algorithm that is not supported";
  const signed = signedData(timestamp, entry);
  for (const { publicKey } of valid) {
    if (await crypto.verifyAs(publicKey, scheme, timestamp.signature, signed)) return undefined;
  }
  return "is not signed by that log for this certificate";
}

/** RFC 6962 §3.2: version 1, certificate_timestamp, time, precert_entry, the entry, extensions. */
function signedData({ time, extensions }: SignedCertificateTimestamp, entry: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(0, 0),
    fromBigInt(BigInt(time), 8),
    Uint8Array.of(0, 1),
    entry,
    fromBigInt(BigInt(extensions.length), 2),
    extensions,
  );
}

/** PreCert: the hash of the issuer's key, and the TBSCertificate without the list of timestamps (RFC 6962 §3.2). */
function precertEntry(leaf: Certificate, issuer: Certificate): Uint8Array {
  const tbs = withoutSctList(leaf);
  return concatBytes(fromHex(issuer.publicKey.keyId), fromBigInt(BigInt(tbs.length), 3), tbs);
}

function withoutSctList({ tbs, extensions }: Certificate): Uint8Array {
  const kept = [...extensions].filter(([oid]) => oid !== OID_SCT_LIST).map(([, { encoded }]) => encoded);
  const fields: Uint8Array[] = [];
  const body = new DerReader(tbs).sequence();
  while (!body.done) {
    const { tag, encoded } = body.next();
    fields.push(tag === TAG_EXTENSIONS ? derValue(TAG_EXTENSIONS, derValue(TAG_SEQUENCE, ...kept)) : encoded);
  }
  return derValue(TAG_SEQUENCE, ...fields);
}

const TAG_EXTENSIONS = contextTag(3, true);

/** TLS's presentation language (RFC 5246 §4), as much as RFC 6962 uses of it. */
class TlsReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw invalid("one is cut off");
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** Bytes behind their length in two octets. */
  vector(): Uint8Array {
    const [high = 0, low = 0] = this.take(2);
    return this.take(high * 256 + low);
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  end(): void {
    if (!this.done) throw invalid("something follows one");
  }
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("certificate-invalid", `Of the signed certificate timestamps, ${what}.`);
}

function step(outcome: Step["outcome"], detail: string): Step {
  return { check: "certificate-timestamp", outcome, detail };
}
