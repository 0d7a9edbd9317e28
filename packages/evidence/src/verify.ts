/**
 * The verification of evidence. {@link verify} reads as the procedure: read → signer and signature → statement → subject → scope and
 * time. There is no entry point that does not name whom to trust.
 */
import { ArtifactHashes, type ArtifactSource, ArtifactUnread } from "./artifact-hashes.ts";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestHex, digestOf, parseDigest } from "./digest.ts";
import { EvidenceError, type EvidenceErrorCode } from "./errors.ts";
import { Explanation } from "./explanation.ts";
import { checkedTimes, judge } from "./judgement.ts";
import { LIMITS } from "./limits.ts";
import type { OpenPgpPort } from "./openpgp-port.ts";
import { type NoProof, noProof, type Proof, type ProofRequest } from "./proof.ts";
import { proveCertificate } from "./prove-certificate.ts";
import { proveKey } from "./prove-key.ts";
import { proveNotation } from "./prove-notation.ts";
import { proveOpenPgp } from "./prove-openpgp.ts";
import { type Reading, readForm } from "./reading.ts";
import { said } from "./said.ts";
import { subjectDigests } from "./statement.ts";
import type { TrustVersion } from "./trust.ts";
import type { ProvenTime, RefusalCode, Refused, Verdict } from "./verdict.ts";

export type VerifyRequest = {
  /** Stored bytes of the evidence, of any form that reading.ts knows. */
  readonly bundle: Uint8Array;
  /** The artifact the evidence must be about. */
  readonly artifact: Digest;
  /**
   * The artifact's bytes. Needed only for signatures over something other than the SHA-256 digest: message signatures by Ed25519, P-384 and
   * P-521 keys, and OpenPGP. Without them those give `bytes-needed`.
   */
  readonly artifactBytes?: Uint8Array;
  /** The same as a stream, for who does not want them in memory; read only when a signature needs it, and what it came to is not known. */
  readonly artifactSource?: ArtifactSource;
  /** Where the artifact lies, "org/name", for the scope of trust; absent = only entries of scope "**" count. */
  readonly repository?: string;
  /** Whom to trust. */
  readonly trust: TrustVersion;
  /** What proves when the evidence existed; may be empty. What the signer claims is no such proof. */
  readonly times: readonly ProvenTime[];
  /**
   * The moment for which the question is asked, ms since 1970. Only signatures that say when they end depend on it (Notary Project); without it
   * the latest proven time stands in, so that one that is known to have ended is refused.
   */
  readonly now?: number;
  /** What reads OpenPGP (`@assay/evidence/openpgp`); without it such evidence is `unsupported`. */
  readonly openpgp?: OpenPgpPort;
};

/**
 * Whether evidence is to be believed about an artifact, under a trust version. Whatever is wrong with the evidence is a
 * {@link Refused} verdict; only a faulty request throws (`trust-invalid`, `time-invalid`, `digest-invalid`).
 */
export async function verify(crypto: Crypto, request: VerifyRequest): Promise<Verdict> {
  const { trust, artifactBytes, repository } = request;
  const artifact = parseDigest(request.artifact);
  const times = checkedTimes(request.times);
  const evidence = digestOf(crypto, request.bundle);
  const explanation = new Explanation();
  const refused = (code: RefusalCode, message: string, predicateType?: string): Refused => ({
    status: "refused",
    evidence,
    code,
    message,
    ...(predicateType === undefined ? {} : { predicateType }),
    steps: explanation.steps,
  });
  const refuse = (check: string, code: RefusalCode, message: string, predicateType?: string): Refused => {
    explanation.failed(check, message);
    return refused(code, message, predicateType);
  };

  // 1. Read. Nothing of what is read is believed yet.
  const read = attempt(() => readForm(crypto, request.bundle));
  if (!read.ok) return refuse("form", read.code, read.message);
  const reading = read.value;
  explanation.passed("form", FORMS[reading.form]);
  if (artifactBytes !== undefined && digestOf(crypto, artifactBytes) !== artifact) {
    return refuse("subject", "subject-mismatch", `The bytes given are not those of ${artifact}.`);
  }
  if (reading.subject !== undefined && reading.subject !== artifact) {
    return refuse("subject", "subject-mismatch", `The evidence is not about ${artifact}.`);
  }

  // 2. Who signed, and whether they made this signature.
  const proof = await prove(reading, {
    crypto,
    artifact,
    artifactBytes,
    artifactHashes: hashesFor(crypto, artifact, reading, request.artifactSource),
    trust,
    times,
    now: request.now,
    openpgp: request.openpgp,
  }).catch(unread);
  explanation.add(proof.steps);
  if (!proof.ok) return refused(proof.code, proof.message);

  // 3. Statement: looked into only now that it is known who made it.
  const content = attempt(() => said(crypto, reading));
  if (!content.ok) return refuse("statement", content.code, content.message);
  const { predicateType, predicate } = content.value;
  // A signature over bytes was checked over the given ones, which are the artifact's, or else over the digest that it states.
  const subjects = content.value.subjects ?? [{ digest: { sha256: digestHex(artifact) } }];
  explanation.passed("statement", `What is signed can be read: ${predicateType}.`);

  // 4. Subject.
  if (!subjectDigests(subjects).includes(artifact)) {
    return refuse("subject", "subject-mismatch", `The evidence is not about ${artifact}.`, predicateType);
  }
  explanation.passed("subject", `It is about ${artifact}.`);

  // 5. Scope and time: both within one entry of trust.
  const { isMeant, timesFor, signer } = proof;
  const judgement = judge(trust, { isMeant, timesFor, repository, predicateType });
  if (judgement.outcome !== "match") return refuse("trust", judgement.outcome, judgement.message, predicateType);
  const { entry, time, entries } = judgement;
  explanation.passed(
    "trust",
    `Trust version ${trust.version} believes ${JSON.stringify(entry.name)} (${entry.id}) about this.`,
  );
  return {
    status: "verified",
    evidence,
    statement: { predicateType, subjects, predicate },
    signer: { ...signer, keyId: entry.keyId, entry: entry.id, name: entry.name, entries },
    primary: entry.primary,
    time,
    payloadDigest: content.value.payloadDigest ?? artifact,
    notEvaluated: proof.notEvaluated,
    steps: explanation.steps,
  };
}

const FORMS: Readonly<Record<Reading["form"], string>> = {
  bundle: "It is a Sigstore bundle.",
  envelope: "It is a DSSE envelope.",
  cosign: "It is a signature as cosign 2 stores it in a registry.",
  "blob-signature": "It is a bare signature over the artifact's bytes.",
  openpgp: "It is an OpenPGP signature.",
  notation: "It is a Notary Project signature.",
};

function prove(reading: Reading, request: ProofRequest): Promise<Proof | NoProof> {
  switch (reading.form) {
    case "openpgp":
      return proveOpenPgp(reading.signed, request);
    case "notation":
      return proveNotation(reading.notation, request);
    default: {
      const { material } = reading.bundle;
      return material.kind === "publicKey"
        ? proveKey(reading.bundle, request)
        : proveCertificate(reading.bundle, material.certificates, request);
    }
  }
}

/** The artifact's hashes, for a signature that its digest cannot decide; undefined when nobody has the bytes or they are too many. */
function hashesFor(crypto: Crypto, artifact: Digest, reading: Reading, source: ArtifactSource | undefined) {
  if (source === undefined || (reading.form !== "openpgp" && source.size > LIMITS.messageBytes)) return undefined;
  return new ArtifactHashes(crypto, artifact, source);
}

/** What an artifact that was not read, or is not the one it was said to be, comes to. */
function unread(error: unknown): NoProof {
  if (!(error instanceof ArtifactUnread)) throw error;
  return noProof(error.code, error.message, error.code === "subject-mismatch" ? "subject" : "signature");
}

type Attempt<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: RefusalCode; readonly message: string };

/** Turns a reader's typed error into a refusal; any other error is a fault of ours and goes on. */
function attempt<T>(read: () => T): Attempt<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { ok: false, code: refusalOf(error.code), message: error.message };
  }
}

/** The refusal that a reader's error comes to. */
function refusalOf(code: EvidenceErrorCode): RefusalCode {
  return code.endsWith("-unsupported") ? "unsupported" : "malformed";
}
