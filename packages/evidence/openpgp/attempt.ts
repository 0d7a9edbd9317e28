/** One signature on its way through the procedure of verify.ts: form, issuer, document, arithmetic, time, key. */
import { EvidenceError, Explanation, LIMITS, type RefusalCode, type Step } from "../src/index.ts";
import { type HashAlgorithm, hashAlgorithm } from "./algorithms.ts";
import { isSignatureOf } from "./arithmetic.ts";
import { type Certificate, type KeyPacket, mayBeOf } from "./certificate.ts";
import { verifiedCertificateOf } from "./certificate-cache.ts";
import type { Hashing, Hashings } from "./document.ts";
import { dateOf, type Fault, faultOf } from "./key-validity.ts";
import { readSignaturePacket, type SignaturePacket } from "./signature-packet.ts";
import type { VerifiedCertificate } from "./verified-certificate.ts";

const BINARY = 0x00;
const TEXT = 0x01;

/** Seconds by which the signer's clock may be ahead of that which proves the time. */
const CLOCK_SKEW = 300;

/** A clear-signed text, as far as its signatures depend on it. */
export type ClearText = {
  readonly text: Uint8Array;
  /** What of it is signed. */
  readonly canonical: Uint8Array;
  readonly hashes: readonly string[];
};

/** What a good signature says. */
export type Good = {
  readonly fingerprint: string;
  readonly signingKey: string;
  readonly created: number;
  readonly hash: string;
  readonly detail: string;
  readonly steps: readonly Step[];
};

type Candidate = { readonly certificate: Certificate; readonly key: KeyPacket };

/** A signature, and what was found out of it so far. */
export class Attempt {
  readonly #explanation = new Explanation();
  readonly #proven: number | null;
  #fault: Fault | undefined;
  /** Present as long as there is no fault. */
  #open: { signature: SignaturePacket; hash: HashAlgorithm; hashing: Hashing; candidates: Candidate[] } | undefined;

  constructor(
    body: Uint8Array,
    certificates: readonly Certificate[],
    proven: number | null,
    clear: ClearText | undefined,
    hashings: Hashings,
  ) {
    this.#proven = proven;
    let signature: SignaturePacket;
    try {
      signature = readSignaturePacket(body);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#fault = this.#fail(
        "signature-packet",
        error.code === "openpgp-unsupported" ? "unsupported" : "malformed",
        error.message,
      );
      return;
    }
    const hash = hashAlgorithm(signature.hash);
    this.#fault = this.#formFault(signature, hash, clear);
    if (this.#fault !== undefined || hash === undefined) return;
    const candidates = candidatesFor(signature, certificates);
    if (candidates.length === 0) {
      this.#fault = this.#fail(
        "issuer",
        "unknown-signer",
        `No certificate given holds the key ${issuerOf(signature)}.`,
      );
      return;
    }
    this.#explanation.passed("issuer", `The signature names ${issuerOf(signature)}.`);
    const hashing = hashings.of(hash, signature.salt, signature.type === TEXT && clear === undefined);
    if (hashing === undefined) {
      const message = `The signatures demand that the document be hashed in more than ${LIMITS.openPgpHashings} ways.`;
      this.#fault = this.#fail("document", "unsupported", message);
      return;
    }
    this.#open = { signature, hash, hashing, candidates };
  }

  get steps(): readonly Step[] {
    return this.#explanation.steps;
  }

  async judge(): Promise<Good | Fault> {
    const open = this.#open;
    if (open === undefined)
      return this.#fault ?? this.#fail("signature-packet", "malformed", "The signature was not read.");
    const { signature, hash, hashing, candidates } = open;
    const { hashed } = hashing;
    if (hashed === undefined) throw new TypeError("a signature was judged before its document was hashed");
    if (!hashed.isFit) {
      return this.#fail(
        "document",
        "unsupported",
        "The document is signed as a text and has a carriage return inside a line.",
      );
    }
    const hasher = hashed.hasher.clone();
    hasher.update(signature.trailer);
    const digest = hasher.digest();
    let fault: Fault | undefined;
    for (const { certificate, key } of candidates) {
      const verified = await verifiedCertificateOf(certificate, key.fingerprint);
      const material =
        key === certificate.primary
          ? verified?.material
          : verified?.subkeys.find((subkey) => subkey.key.fingerprint === key.fingerprint)?.material;
      if (verified === undefined || material === undefined) {
        fault ??= this.#fail("issuer", "unsupported", `The key ${key.fingerprint} is of a kind that is not supported.`);
        continue;
      }
      if (!(await isSignatureOf(material, signature, digest))) continue;
      this.#explanation.passed(
        "arithmetic",
        `The key ${key.fingerprint} made the signature over the document, by ${hash.name}.`,
      );
      // Another certificate may hold the same key by better right: anybody can put another's subkey into a certificate of theirs.
      const against = this.#timeFault(signature, key) ?? this.#keyFault(verified, key, signature);
      if (against !== undefined) {
        fault = against;
        continue;
      }
      const { fingerprint } = certificate.primary;
      return {
        fingerprint,
        signingKey: key.fingerprint,
        created: signature.created * 1000,
        hash: hash.name,
        detail: `Made by the key ${key.fingerprint} of the certificate openpgp:${fingerprint}.`,
        steps: this.steps,
      };
    }
    return (
      fault ??
      this.#fail(
        "arithmetic",
        "signature-invalid",
        "The key that the signature names did not make it over this document.",
      )
    );
  }

  /** What is wrong with a signature whatever document and key it is of. */
  #formFault(
    signature: SignaturePacket,
    hash: HashAlgorithm | undefined,
    clear: ClearText | undefined,
  ): Fault | undefined {
    const { version, type, critical } = signature;
    if (type !== BINARY && type !== TEXT) {
      return this.#fail(
        "signature-type",
        "unsupported",
        `A signature of type 0x${type.toString(16).padStart(2, "0")} is not one of a document.`,
      );
    }
    if (clear !== undefined && type !== TEXT) {
      return this.#fail("signature-type", "malformed", "The signature of a clear-signed text is not one of a text.");
    }
    if (hash === undefined)
      return this.#fail("algorithm", "unsupported", `The hash algorithm ${signature.hash} is not known.`);
    if (hash.fit !== "documents") {
      return this.#fail("algorithm", "weak-algorithm", `The signature rests on ${hash.name}, which is broken.`);
    }
    if (version === 6 && signature.salt.length !== hash.salt) {
      return this.#fail("signature-packet", "malformed", "The signature's salt is not as long as its hash demands.");
    }
    if (clear !== undefined && clear.hashes.length > 0 && !clear.hashes.includes(hash.name)) {
      return this.#fail(
        "hash-header",
        "malformed",
        `The clear-signed text announces other hashes than its signature's, ${hash.name}.`,
      );
    }
    if (critical !== null) {
      return this.#fail("signature-packet", "unsupported", `The signature holds ${critical}, which is not understood.`);
    }
    const kind = type === TEXT ? "as a text (line endings are not covered)" : "as bytes";
    this.#explanation.passed("signature-packet", `Version ${version}, over the document ${kind}, by ${hash.name}.`);
    return undefined;
  }

  /** What stands against the signature's own times. */
  #timeFault({ created, expires }: SignaturePacket, key: KeyPacket): Fault | undefined {
    const proven = this.#proven;
    if (created < key.created) {
      return this.#fail("time", "signature-invalid", "The signature says that it is older than its key.");
    }
    if (proven !== null && created > proven + CLOCK_SKEW) {
      return this.#fail(
        "time",
        "signature-invalid",
        `The signature says that it was made on ${dateOf(created)}, and is proven to be older.`,
      );
    }
    if (expires !== null) {
      const end = created + expires;
      if (proven === null) {
        return this.#fail(
          "time",
          "time-unproven",
          `The signature expires on ${dateOf(end)}, and nothing proves when it was made.`,
        );
      }
      if (proven >= end) {
        return this.#fail(
          "time",
          "outside-validity",
          `The signature expired on ${dateOf(end)}, and is not proven to be older.`,
        );
      }
    }
    this.#explanation.passed(
      "time",
      proven === null
        ? `The signature says that it was made on ${dateOf(created)}; no time is proven.`
        : `The signature existed on ${dateOf(Math.floor(proven))}.`,
    );
    return undefined;
  }

  #keyFault(verified: VerifiedCertificate, key: KeyPacket, signature: SignaturePacket): Fault | undefined {
    const fault = faultOf(verified, key.fingerprint, { proven: this.#proven, claimed: signature.created });
    if (fault !== undefined) return this.#fail("signing-key", fault.code, fault.message);
    this.#explanation.passed(
      "signing-key",
      "The key was bound to the certificate, for signing, and neither expired nor revoked.",
    );
    return undefined;
  }

  #fail(check: string, code: RefusalCode, message: string): Fault {
    this.#explanation.failed(check, message);
    return { code, message };
  }
}

/** Keys that may have made the signature. One that names nobody is tried with all keys, of few certificates. */
function candidatesFor(signature: SignaturePacket, certificates: readonly Certificate[]): Candidate[] {
  const found: Candidate[] = [];
  for (const certificate of certificates) {
    for (const key of [certificate.primary, ...certificate.subkeys.map((subkey) => subkey.key)]) {
      if (mayBeOf(signature, key)) found.push({ certificate, key });
    }
  }
  return found.length > LIMITS.openPgpCandidates ? [] : found;
}

function issuerOf({ issuerFingerprints, issuerIds }: SignaturePacket): string {
  return [...issuerFingerprints, ...issuerIds][0] ?? "of nobody";
}
