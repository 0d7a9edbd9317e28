/** What the ways to find out who signed have in common: keys, certificates, OpenPGP and Notary signatures all end in a {@link Proof}. */
import type { Crypto } from "./crypto.ts";
import type { Digest } from "./digest.ts";
import type { OpenPgpPort } from "./openpgp-port.ts";
import type { TrustEntry, TrustVersion } from "./trust.ts";
import type { ProvenTime, RefusalCode, Step, Verified } from "./verdict.ts";

/** The artifact's bytes, as far as somebody has them. */
export type ArtifactSource = {
  /** Bytes. */
  readonly size: number;
  /** The bytes from the start, each time it is called. */
  read(): AsyncIterable<Uint8Array>;
};

/** What every way is given. */
export type ProofRequest = {
  readonly crypto: Crypto;
  readonly artifact: Digest;
  /** The artifact's bytes in memory; their digest is `artifact`. */
  readonly artifactBytes: Uint8Array | undefined;
  readonly artifactSource: ArtifactSource | undefined;
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

export function noProof(code: RefusalCode, message: string, check: string, steps: readonly Step[] = []): NoProof {
  return { ok: false, code, message, steps: [...steps, { check, outcome: "failed", detail: message }] };
}
