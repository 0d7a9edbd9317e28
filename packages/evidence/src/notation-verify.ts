/**
 * Who made a Notary Project signature, as far as one trust root can say. The procedure is that of notaryproject/specifications
 * (trust-store-trust-policy.md, "Signature Verification"), in its strict level: {@link checkNotation} is what needs no trust (integrity),
 * {@link notationUnderRoot} what needs it (authenticity, authentic timestamp, expiry). Revocation is the trust version's.
 */
import type { Crypto } from "./crypto.ts";
import type { Digest } from "./digest.ts";
import { EvidenceError } from "./errors.ts";
import { Explanation } from "./explanation.ts";
import type { JsonObject } from "./json.ts";
import type { PublicKey } from "./keys.ts";
import { type NotationSignature, notationPredicate, parseNotation, portableSignature } from "./notation.ts";
import { NOTATION_ALGORITHMS } from "./notation-attributes.ts";
import { chainFault } from "./notation-certificates.ts";
import { type NoProof, noProof } from "./proof.ts";
import { NOTATION_PREDICATE } from "./statement.ts";
import { verifyTimestamp } from "./timestamp.ts";
import type { TrustRoot } from "./trust-root.ts";
import type { ProvenTime, Step } from "./verdict.ts";
import { type Certificate, parseCertificate } from "./x509.ts";
import { verifyChain } from "./x509-chain.ts";

/** A signature that is whole: its certificate's key made it. Whose certificate that is, nobody has vouched for yet. */
export type CheckedNotation = {
  readonly ok: true;
  readonly notation: NotationSignature;
  readonly leaf: Certificate;
  /** The rest of the chain in the envelope, in order; the root last. */
  readonly intermediates: readonly Certificate[];
  readonly steps: readonly Step[];
};

/**
 * Integrity: the certificates can be read and are fit to sign by the specification's own rules, the algorithm is the one of the key, and the
 * signature is the key's.
 */
export async function checkNotation(crypto: Crypto, notation: NotationSignature): Promise<CheckedNotation | NoProof> {
  const explanation = new Explanation();
  // 1. Certificates.
  let chain: Certificate[];
  try {
    chain = notation.certificates.map(parseCertificate);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return noProof("certificate-invalid", error.message, "certificate");
  }
  const [leaf, ...intermediates] = chain;
  if (leaf === undefined) return noProof("certificate-invalid", "There is no certificate.", "certificate");

  // 2. Algorithm: the key's, not one that the envelope would rather have.
  const { scheme, key } = NOTATION_ALGORITHMS[notation.algorithm];
  if (leaf.publicKey.material.kind !== key.kind || keyBits(leaf.publicKey) !== key.bits) {
    return noProof(
      "signature-invalid",
      `The envelope says ${notation.algorithm}, which is not the algorithm for its certificate's key.`,
      "signature",
    );
  }

  // 3. Signature.
  const signature = portableSignature(notation);
  if (signature === undefined || !(await crypto.verifyAs(leaf.publicKey, scheme, signature, notation.signedBytes))) {
    return noProof(
      "signature-invalid",
      "The certificate's key did not make this signature over this content.",
      "signature",
    );
  }
  explanation.passed("signature", `The certificate's key made the signature (${notation.algorithm}).`);

  // 4. What the specification asks of the certificates, apart from trust.
  const fault = await chainFault(crypto, chain);
  if (fault !== undefined) return noProof("certificate-invalid", fault, "certificate", explanation.steps);
  explanation.passed("certificate", "The certificates are in order and fit to sign with.");
  return { ok: true, notation, leaf, intermediates, steps: explanation.steps };
}

/** What a root says of a whole signature: nothing, or the moments that it proves, besides those of the request. */
export type NotationAnswer =
  | {
      readonly ok: true;
      /** From the leaf to the root's anchor. */
      readonly chain: readonly Certificate[];
      readonly times: readonly ProvenTime[];
      /** What is in the envelope and nothing rests on: a timestamp that the root names no authority for. */
      readonly notEvaluated: readonly "timestamps"[];
      readonly steps: readonly Step[];
    }
  | NoProof;

/**
 * Authenticity under one root of profile "x509": a path to one of its authorities that was good at a proven time, which is the time of the
 * envelope's timestamp if the root has timestamp authorities, else the earliest of `times`. The signing time that the envelope states
 * is not proof of itself, not even a signing authority's: it must lie within the certificate's validity, and proves nothing.
 *
 * `now` is the moment for which the question is asked, for the signer's expiry; without it the latest proven time stands in, so that a
 * signature known to have expired is refused, and one that may have is not.
 */
export async function notationUnderRoot(
  crypto: Crypto,
  { notation, leaf, intermediates }: CheckedNotation,
  request: { readonly root: TrustRoot; readonly times: readonly ProvenTime[]; readonly now?: number },
): Promise<NotationAnswer> {
  const { root, times } = request;
  const explanation = new Explanation();
  const refuse = (code: NoProof["code"], message: string, check: string): NoProof =>
    noProof(code, message, check, explanation.steps);
  if (root.profile !== "x509") {
    const message = "The root is Sigstore's, whose logs a Notary Project signature is not in.";
    return refuse("chain-untrusted", message, "certificate-chain");
  }

  // 1. Time.
  const stamped = await provenTimes(crypto, notation, root, explanation);
  if (!Array.isArray(stamped)) return stamped;
  const at = earliest(stamped) ?? earliest(times);
  if (at === undefined) {
    return refuse(
      "time-unproven",
      "Nothing proves when the signature was made, so its certificate cannot be judged.",
      "time",
    );
  }
  if (notation.signingTime < leaf.notBefore || notation.signingTime > leaf.notAfter) {
    const message = "The signature says it was made when its own certificate was not valid.";
    return refuse("certificate-expired", message, "signing-time");
  }

  // 2. Chain, at that time.
  const chain = await verifyChain(crypto, {
    leaf,
    intermediates,
    authorities: root.certificateAuthorities,
    time: at.time,
    // The extended key usage is optional here, and was looked at with the other rules of the specification.
    purpose: "any",
  });
  if (!chain.ok) {
    explanation.failed("certificate-chain", chain.message, chain.steps);
    return { ok: false, code: chain.code, message: chain.message, steps: explanation.steps };
  }
  explanation.passed(
    "certificate-chain",
    `The certificate was good at ${text(at.time)} (${at.evidence}).`,
    chain.steps,
  );

  // 3. Expiry: from that moment on the signer does not vouch for the artifact.
  const { expiry } = notation;
  const moment = Math.max(request.now ?? 0, ...[...times, ...stamped].map(({ time }) => time));
  if (expiry !== null && moment >= expiry) {
    return refuse("outside-validity", `The signer let the signature expire on ${text(expiry)}.`, "expiry");
  }
  explanation.passed("expiry", expiry === null ? "The signature does not expire." : `It expires on ${text(expiry)}.`);
  const notEvaluated = notation.timestamp !== undefined && stamped.length === 0 ? (["timestamps"] as const) : [];
  return { ok: true, chain: chain.chain, times: stamped, notEvaluated, steps: explanation.steps };
}

export type NotationVerification =
  | {
      readonly ok: true;
      readonly certificate: Certificate;
      readonly predicateType: typeof NOTATION_PREDICATE;
      readonly predicate: JsonObject;
      /** What the root proves of the time, besides the request's. */
      readonly times: readonly ProvenTime[];
      readonly steps: readonly Step[];
    }
  | NoProof;

/**
 * Whether the holder of a certificate under `root` signed `artifact`: all of the above from the envelope's bytes. Whether that holder is
 * somebody to believe is another question, which `verify` asks of a trust version.
 */
export async function verifyNotation(
  crypto: Crypto,
  request: {
    readonly bytes: Uint8Array;
    readonly root: TrustRoot;
    readonly times: readonly ProvenTime[];
    readonly artifact: Digest;
    readonly now?: number;
  },
): Promise<NotationVerification> {
  let notation: NotationSignature;
  try {
    notation = parseNotation(request.bytes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return noProof(error.code === "notation-unsupported" ? "unsupported" : "malformed", error.message, "form");
  }
  const checked = await checkNotation(crypto, notation);
  if (!checked.ok) return checked;
  if (notation.payload.artifactDigest !== request.artifact) {
    return noProof("subject-mismatch", `The evidence is not about ${request.artifact}.`, "subject", checked.steps);
  }
  const answer = await notationUnderRoot(crypto, checked, request);
  const steps = [...checked.steps, ...answer.steps];
  if (!answer.ok) return { ...answer, steps };
  return {
    ok: true,
    certificate: checked.leaf,
    predicateType: NOTATION_PREDICATE,
    predicate: notationPredicate(notation),
    times: answer.times,
    steps,
  };
}

/** The time of the envelope's timestamp, or no times where there is none that counts. */
async function provenTimes(
  crypto: Crypto,
  { timestamp, scheme, signature }: NotationSignature,
  root: TrustRoot,
  explanation: Explanation,
): Promise<ProvenTime[] | NoProof> {
  if (timestamp === undefined) return [];
  if (scheme !== "notary.x509") {
    explanation.notEvaluated("timestamp", `A timestamp does not belong to ${scheme}.`);
    return [];
  }
  if (root.timestampAuthorities.length === 0) {
    explanation.notEvaluated("timestamp", "There is a timestamp, and the root names no timestamp authority.");
    return [];
  }
  const result = await verifyTimestamp(crypto, timestamp, {
    message: signature,
    authorities: root.timestampAuthorities,
  });
  if (!result.ok) {
    explanation.failed("timestamp", result.message, result.steps);
    return { ok: false, code: "timestamp-invalid", message: result.message, steps: explanation.steps };
  }
  explanation.passed("timestamp", `The signature existed at ${text(result.time)}.`, result.steps);
  return [{ source: "rfc3161", time: result.time, evidence: `timestamp by ${result.authority}` }];
}

function earliest(times: readonly ProvenTime[]): ProvenTime | undefined {
  return times.toSorted((a, b) => a.time - b.time)[0];
}

/** Bits of the key: of RSA its modulus, of an elliptic curve its field. */
function keyBits({ algorithm, material }: PublicKey): number {
  if (material.kind === "rsa") return material.modulus.length * 8 - (Math.clz32(material.modulus[0] ?? 0) - 24);
  switch (algorithm) {
    case "ecdsa-p256-sha256":
      return 256;
    case "ecdsa-p384-sha384":
      return 384;
    case "ecdsa-p521-sha512":
      return 521;
    default:
      return 0;
  }
}

/** ISO 8601 where the calendar reaches; times far beyond it are legal numbers and must not throw. */
function text(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? `${time} ms` : date.toISOString();
}
