/** What the ways to find out who signed have in common: keys, certificates, OpenPGP and Notary signatures all end in a {@link Proof}. */
import type { ArtifactHashes } from "./artifact-hashes.ts";
import type { Crypto } from "./crypto.ts";
import type { Digest } from "./digest.ts";
import type { OpenPgpPort } from "./openpgp-port.ts";
import type { TrustEntry, TrustVersion } from "./trust.ts";
import type { ProvenTime, RefusalCode, Step, Verified } from "./verdict.ts";

/** What every way is given. */
export type ProofRequest = {
  readonly crypto: Crypto;
  readonly artifact: Digest;
  /** The artifact's bytes in memory; their digest is `artifact`. */
  readonly artifactBytes: Uint8Array | undefined;
  /** Else the hashes of the artifact, from somebody who has its bytes. */
  readonly artifactHashes: ArtifactHashes | undefined;
  readonly trust: TrustVersion;
  /** What proves when the evidence existed, earliest first. */
  readonly times: readonly ProvenTime[];
  /** The moment for which the question is asked, ms since 1970. */
  readonly now: number | undefined;
  readonly openpgp: OpenPgpPort | undefined;
};

/** Who signed, and what: found out without asking yet whether they may. */
export type Proof = {
  readonly ok: true;
  readonly signer: Pick<Verified["signer"], "kind" | "principal" | "algorithm" | "certificate">;
  /** Whether a trust entry means this signer. */
  readonly isMeant: (entry: TrustEntry) => boolean;
  /** What proves, for this entry, when the signature existed: earliest first. */
  readonly timesFor: (entry: TrustEntry) => readonly ProvenTime[];
  /** Material of the bundle on which nothing rests. */
  readonly notEvaluated: Verified["notEvaluated"];
  readonly steps: readonly Step[];
};

/** Why it is not known who signed. */
export type NoProof = {
  readonly ok: false;
  readonly code: RefusalCode;
  readonly message: string;
  readonly steps: readonly Step[];
};

/** A step that went well. */
export function passed(check: string, detail: string): Step {
  return { check, outcome: "passed", detail };
}

/** Earliest first, as {@link Proof.timesFor} promises. */
export function byTime(times: readonly ProvenTime[]): ProvenTime[] {
  return times.toSorted((a, b) => a.time - b.time);
}

/** Not known who signed: the check that failed, after the steps before it. */
export function noProof(code: RefusalCode, message: string, check: string, steps: readonly Step[] = []): NoProof {
  return { ok: false, code, message, steps: [...steps, { check, outcome: "failed", detail: message }] };
}
