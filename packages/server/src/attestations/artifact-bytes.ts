import { type ArtifactSource, type Digest, LIMITS, type ReadingTerms } from "@assay/evidence";
import type { BlobStore } from "../storage/blobs.ts";
import { type ArtifactReadings, artifactReadings, ReadingAllowance } from "./artifact-readings.ts";
import type { EvidenceForm } from "./piece.ts";

/**
 * The largest artifact whose bytes are read to judge a signature over them, in bytes. Most signatures are over the digest and need none;
 * one that needs more is refused as `bytes-needed`, and is verified by whoever has the artifact at hand.
 */
export const MAX_ARTIFACT_BYTES = LIMITS.messageBytes;

/**
 * Artifacts up to this many bytes are read whenever they are asked for: they cost no more than what is around it, should not wait behind
 * large ones, and would drive those out of what is remembered.
 */
const SMALL_BYTES = 1024 * 1024;

/** Where the bytes of artifacts are. */
export interface ArtifactBytes {
  readonly blobs: Pick<BlobStore, "read" | "readSmall">;
  /**
   * The size of an artifact that the organisation holds; undefined when it holds none of that digest. That the store has the bytes is not
   * enough: they may be another tenant's, and a verdict over them would tell.
   *
   * A hook: absent, no organisation holds anything, and what needs the bytes is refused.
   */
  readonly artifactSize?: (org: string, digest: Digest) => Promise<number | undefined>;
  /** The process's own where absent. */
  readonly readings?: ArtifactReadings;
}

/** What judging is given: made anew for each request, by {@link withinOneRequest}. */
export interface JudgingContext extends ArtifactBytes {
  readonly allowance: ReadingAllowance;
}

/** A context for what one request judges, however many pieces that are: what they may cost together is bounded. */
export function withinOneRequest<C extends ArtifactBytes>(context: C): C & JudgingContext {
  return { ...context, allowance: new ReadingAllowance() };
}

/** The artifact's bytes for evidence of a form that may need them; undefined when it does not, or when they are not to be had. */
export async function artifactSource(
  { blobs, artifactSize, allowance, readings = artifactReadings }: JudgingContext,
  org: string,
  artifact: Digest,
  form: EvidenceForm,
): Promise<ArtifactSource | undefined> {
  if (form !== "message-signature" && form !== "openpgp") return undefined;
  const size = await artifactSize?.(org, artifact);
  if (size === undefined || size > MAX_ARTIFACT_BYTES) return undefined;
  const allow = (bytes: number): boolean => allowance.take(bytes);
  const small: ReadingTerms = {
    recall: () => undefined,
    remember: () => undefined,
    allow,
    turn: (reading) => reading(),
  };
  const large: ReadingTerms = {
    recall: (name) => readings.recall(org, name),
    remember: (name, hashed) => readings.remember(org, name, hashed),
    allow,
    turn: (reading) => readings.turn(org, reading),
  };
  return {
    size,
    async *read() {
      for await (const chunk of await blobs.read(artifact)) yield chunk as Uint8Array;
    },
    terms: size <= SMALL_BYTES ? small : large,
  };
}
