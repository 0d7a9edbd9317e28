/** What a verification says. Only verify.ts makes verdicts. */
import type { Digest } from "./digest.ts";
import type { JsonObject } from "./json.ts";
import type { Subject } from "./statement.ts";

/** Why evidence was refused. Distinct states, none of which is "passed". */
export type RefusalCode =
  /** The bundle, its envelope or its statement is not what its format demands. */
  | "malformed"
  /** Well-formed, but of a kind this version does not evaluate. */
  | "unsupported"
  /** No trusted key is the one the bundle names, or none made the signature of a bundle that names none. */
  | "unknown-signer"
  /** The named, trusted key did not make this signature. */
  | "signature-invalid"
  /** The signature can be checked only with the artifact's bytes, which were not given. */
  | "bytes-needed"
  /** Truly said, but about another artifact. */
  | "subject-mismatch"
  /** Said by a trusted key about a repository or in a predicate type that is not its to speak of. */
  | "out-of-scope"
  /** The key is trusted for a time only, and nothing proves when it spoke. */
  | "time-unproven"
  /** It is proven that the key spoke, and not within the time it is trusted for. */
  | "outside-validity"
  /** A certificate cannot be read, or is not fit for what it was used for: usage, constraints, more than one name. */
  | "certificate-invalid"
  /** No path leads from the certificate to an authority of the trust version. */
  | "chain-untrusted"
  /** A certificate of the chain was not valid when the signature was made, as far as that is proven. */
  | "certificate-expired"
  /** The certificate does not prove that a trusted certificate log has seen it. */
  | "sct-invalid"
  /** A trusted log must hold the signature, and no entry of one came with it. */
  | "log-entry-missing"
  /** The log entry does not prove what it should: not in the log, or about another signature, key or content. */
  | "log-entry-invalid"
  /** A timestamp does not prove what it should. */
  | "timestamp-invalid"
  /** The signer's key was revoked. */
  | "key-revoked"
  /** The signer's key had expired when the signature was made, as far as that is proven. */
  | "key-expired"
  /** The signature rests on an algorithm that is broken: MD5, SHA-1, short RSA keys. */
  | "weak-algorithm";

/**
 * One thing that was checked, and what came of it. Together they are a verdict's explanation: what was checked, with what, and what failed.
 * `not-evaluated` is never "passed": nothing rests on it.
 */
export type Step = {
  /** What was checked, by a stable name: "signature", "certificate-chain". */
  readonly check: string;
  readonly outcome: "passed" | "failed" | "not-evaluated";
  /** One sentence for people. */
  readonly detail: string;
  /** What it was found by. */
  readonly steps?: readonly Step[];
};

/** What proves that something existed at a time. */
export type ProvenTime = {
  readonly source: "received-here" | "receipt" | "rfc3161" | "log";
  /** ms since 1970. */
  readonly time: number;
  /** What proves it, for people: "record 17". */
  readonly evidence: string;
};

/** A trust entry that means the signer. */
export type SignerEntry = {
  /** The entry's id. */
  readonly entry: string;
  readonly name: string;
  /** Whether the evidence lies within the scope and the window of this entry: only such an entry entitles. */
  readonly counts: boolean;
};

/** Said, by whom, about this artifact, when, and within what they may say. */
export type Verified = {
  readonly status: "verified";
  /** Digest of the bundle's bytes. */
  readonly evidence: Digest;
  readonly statement: {
    readonly predicateType: string;
    readonly subjects: readonly Subject[];
    readonly predicate: JsonObject;
  };
  /** Who signed, and the first trust entry under which it counts, a `primary` one before others. */
  readonly signer: {
    readonly kind: "key" | "certificate" | "openpgp";
    /**
     * What counts as one signer, whatever entries it has: a key's id, an OpenPGP fingerprint, and of a certificate the SHA-256 of its
     * issuer and subject, because its key lives for minutes.
     */
    readonly principal: string;
    /** The `keyId` of the trust entry below. */
    readonly keyId: string;
    /** The algorithm of the key that made the signature. */
    readonly algorithm: string;
    readonly entry: string;
    readonly name: string;
    /**
     * Every trust entry of the version that means this signer, in trust's order; at least the one above counts. Who asks whether somebody
     * signed looks for an entry that counts; who asks whether somebody did *not* looks at all of them.
     */
    readonly entries: readonly SignerEntry[];
    /** What the certificate says; only of signers of this kind. */
    readonly certificate?: CertificateClaims;
  };
  /** Whether that entry may set primary provenance. */
  readonly primary: boolean;
  /** The earliest proven time within the window of any entry that counts; null only if such an entry has no window and no time was given. */
  readonly time: ProvenTime | null;
  /** Digest of what is signed: the DSSE payload, or the artifact itself. With the principal, what `distinct` counts. */
  readonly payloadDigest: Digest;
  /** Material in the bundle on which nothing here rests, because this version does not evaluate it. */
  readonly notEvaluated: readonly ("tlogEntries" | "timestamps")[];
  /** Everything that was checked. */
  readonly steps: readonly Step[];
};

/** What a signer's certificate says of its holder, by its authority's word. */
export type CertificateClaims = {
  /** The OIDC issuer; null when the certificate names none. */
  readonly issuer: string | null;
  readonly subject: string;
  /** Lower-case hex SHA-256 of the certificate's DER. */
  readonly fingerprint: string;
  /** Fulcio's extensions by name, such as "sourceRepositoryUri". */
  readonly claims: Readonly<Record<string, string>>;
};

/** Not to be relied on, and why. */
export type Refused = {
  readonly status: "refused";
  readonly evidence: Digest;
  readonly code: RefusalCode;
  readonly message: string;
  /** What the evidence claims to be; present only once its signature was found good. */
  readonly predicateType?: string;
  /** Everything that was checked; the last one that failed is why. */
  readonly steps: readonly Step[];
};

export type Verdict = Verified | Refused;

/** The verdicts with each (signer, payload) kept once, the first: saying the same thing twice is saying it once. */
export function distinct<V extends Verified>(verdicts: readonly V[]): V[] {
  const seen = new Set<string>();
  return verdicts.filter(({ signer, payloadDigest }) => {
    const said = `${signer.principal} ${payloadDigest}`;
    if (seen.has(said)) return false;
    seen.add(said);
    return true;
  });
}
