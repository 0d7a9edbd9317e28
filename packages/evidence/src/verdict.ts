/** What a verification says. Only verify.ts makes these. */
import type { Digest } from "./digest.ts";
import type { JsonObject } from "./json.ts";
import type { KeyAlgorithm } from "./keys.ts";
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
  | "outside-validity";

/** What proves that something existed at a time. */
export type ProvenTime = {
  readonly source: "received-here" | "receipt" | "rfc3161" | "log";
  /** ms since 1970. */
  readonly time: number;
  /** What proves it, for people: "record 17". */
  readonly evidence: string;
};

/** A trust entry that holds the signer's key. */
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
  /** The key, and the first trust entry under which it counts, a `primary` one before others. */
  readonly signer: {
    readonly kind: "key";
    readonly keyId: string;
    readonly algorithm: KeyAlgorithm;
    readonly entry: string;
    readonly name: string;
    /**
     * Every trust entry of the version that holds the key, in trust's order; at least the one above counts. Who asks whether somebody
     * signed looks for an entry that counts; who asks whether somebody did *not* looks at all of them.
     */
    readonly entries: readonly SignerEntry[];
  };
  /** Whether that entry may set primary provenance. */
  readonly primary: boolean;
  /** The earliest proven time within the window of any entry that counts; null only if such an entry has no window and no time was given. */
  readonly time: ProvenTime | null;
  /** Digest of what is signed: the DSSE payload, or the artifact itself. With the key id, what `distinct` counts. */
  readonly payloadDigest: Digest;
  /** Material in the bundle on which nothing here rests, because this version does not evaluate it. */
  readonly notEvaluated: readonly ("tlogEntries" | "timestamps")[];
};

/** Not to be relied on, and why. */
export type Refused = {
  readonly status: "refused";
  readonly evidence: Digest;
  readonly code: RefusalCode;
  readonly message: string;
  /** What the evidence claims to be; present only once its signature was found good. */
  readonly predicateType?: string;
};

export type Verdict = Verified | Refused;

/** The verdicts with each (key, payload) kept once, the first: saying the same thing twice is saying it once. */
export function distinct<V extends Verified>(verdicts: readonly V[]): V[] {
  const seen = new Set<string>();
  return verdicts.filter(({ signer, payloadDigest }) => {
    const said = `${signer.keyId} ${payloadDigest}`;
    if (seen.has(said)) return false;
    seen.add(said);
    return true;
  });
}
