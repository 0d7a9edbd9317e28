/**
 * The verification of evidence. {@link verify} reads as the procedure: read → key → signature → statement → subject →
 * scope and time. There is no entry point that does not name whom to trust.
 */
import { type Bundle, parseBundle } from "./bundle.ts";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestHex, digestOf, parseDigest } from "./digest.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./dsse.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { emptyObject } from "./json.ts";
import { checkedTimes, judge } from "./judgement.ts";
import { LIMITS } from "./limits.ts";
import { candidateKeys, findSigner, namedKeys } from "./signer.ts";
import { MESSAGE_SIGNATURE_PREDICATE, parseStatement, subjectDigests } from "./statement.ts";
import type { TrustVersion } from "./trust.ts";
import type { ProvenTime, RefusalCode, Refused, Verdict, Verified } from "./verdict.ts";

export type VerifyRequest = {
  /** Stored bytes of the bundle. */
  readonly bundle: Uint8Array;
  /** The artifact the evidence must be about. */
  readonly artifact: Digest;
  /**
   * The artifact's bytes. Needed only for message signatures by keys that sign something other than the SHA-256 digest:
   * Ed25519, P-384 and P-521. Without them those give `bytes-needed`.
   */
  readonly artifactBytes?: Uint8Array;
  /** Where the artifact lies, "org/name", for the scope of trust; absent = only entries of scope "**" count. */
  readonly repository?: string;
  /** Whom to trust. */
  readonly trust: TrustVersion;
  /** What proves when the evidence existed; may be empty. What the signer claims is no such proof. */
  readonly times: readonly ProvenTime[];
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
  const refuse = (code: RefusalCode, message: string, predicateType?: string): Refused => ({
    status: "refused",
    evidence,
    code,
    message,
    ...(predicateType === undefined ? {} : { predicateType }),
  });

  // 1. Read. Nothing of what is read is believed yet.
  const read = attempt(() => parseBundle(request.bundle));
  if (!read.ok) return refuse(read.code, read.message);
  const bundle = read.value;
  if (bundle.material.kind !== "publicKey") {
    return refuse("unsupported", "The bundle is signed with a certificate; this version verifies public keys only.");
  }
  if (artifactBytes !== undefined && digestOf(crypto, artifactBytes) !== artifact) {
    return refuse("subject-mismatch", `The bytes given are not those of ${artifact}.`);
  }

  // 2. Key: the trusted ones among those the bundle names.
  const names = namedKeys(bundle);
  const keys = candidateKeys(trust, names);
  if (keys.length === 0) {
    const named = names.map((name) => JSON.stringify(name.slice(0, 100))).join(" and ");
    return refuse(
      "unknown-signer",
      named === "" ? "No key is trusted." : `The bundle names the key ${named}, which is not trusted.`,
    );
  }
  if (keys.length > LIMITS.unhintedKeys) {
    return refuse("unknown-signer", `The bundle names no key, and ${keys.length} trusted ones are too many to try.`);
  }

  // 3. Signature.
  const search = await findSigner(crypto, bundle.content, keys, artifactBytes);
  switch (search.outcome) {
    case "none":
      return names.length > 0
        ? refuse("signature-invalid", "The key that the bundle names did not make this signature over this content.")
        : refuse("unknown-signer", "The bundle names no key, and no trusted key made its signature.");
    case "mismatch":
      return refuse("subject-mismatch", `The bundle is a signature over other bytes than those of ${artifact}.`);
    case "bytes-needed":
      return refuse(
        "bytes-needed",
        "This signature is over the artifact's bytes; its sha256 digest is not enough to check it.",
      );
    case "signed":
  }
  const { key } = search;

  // 4. Statement: looked into only now that it is known who made it.
  const reading = attempt(() => signedStatement(crypto, bundle, artifact, artifactBytes));
  if (!reading.ok) return refuse(reading.code, reading.message);
  const { statement, payloadDigest } = reading.value;
  const { predicateType } = statement;

  // 5. Subject.
  if (!subjectDigests(statement.subjects).includes(artifact)) {
    return refuse("subject-mismatch", `The evidence is not about ${artifact}.`, predicateType);
  }

  // 6. Scope and time: both within one entry of trust.
  const judgement = judge(trust, { keyId: key.keyId, repository, predicateType, times });
  if (judgement.outcome !== "match") return refuse(judgement.outcome, judgement.message, predicateType);
  const { entry, time, entries } = judgement;
  return {
    status: "verified",
    evidence,
    statement,
    signer: { kind: "key", keyId: key.keyId, algorithm: key.algorithm, entry: entry.id, name: entry.name, entries },
    primary: entry.primary,
    time,
    payloadDigest,
    notEvaluated: notEvaluated(bundle),
  };
}

type SignedStatement = Pick<Verified, "statement" | "payloadDigest">;

/** What a bundle with a good signature says, in the form of a statement. */
function signedStatement(
  crypto: Crypto,
  { content }: Bundle,
  artifact: Digest,
  artifactBytes: Uint8Array | undefined,
): SignedStatement {
  if (content.kind === "message") {
    // The signature was checked over the given bytes, which are the artifact's, or else over the digest stated here.
    const { messageDigest } = content;
    const hex =
      artifactBytes !== undefined || messageDigest === undefined ? digestHex(artifact) : toHex(messageDigest.digest);
    const subjects = [{ digest: { sha256: hex } }];
    return {
      statement: { predicateType: MESSAGE_SIGNATURE_PREDICATE, subjects, predicate: emptyObject() },
      payloadDigest: parseDigest(`sha256:${hex}`),
    };
  }
  const { payloadType, payload } = content.envelope;
  if (payloadType !== IN_TOTO_PAYLOAD_TYPE) {
    throw new EvidenceError(
      "bundle-unsupported",
      `The payload type ${JSON.stringify(payloadType.slice(0, 100))} is not supported.`,
    );
  }
  const { predicateType, subjects, predicate } = parseStatement(payload);
  return { statement: { predicateType, subjects, predicate }, payloadDigest: digestOf(crypto, payload) };
}

function notEvaluated(bundle: Bundle): Verified["notEvaluated"] {
  const found: ("tlogEntries" | "timestamps")[] = [];
  if (bundle.tlogEntries.length > 0) found.push("tlogEntries");
  if (bundle.timestamps.length > 0) found.push("timestamps");
  return found;
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
    return {
      ok: false,
      code: error.code === "bundle-unsupported" ? "unsupported" : "malformed",
      message: error.message,
    };
  }
}
