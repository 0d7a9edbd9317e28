import { type ArtifactSource, type Digest, LIMITS } from "@assay/evidence";
import type { BlobStore } from "../storage/blobs.ts";
import type { EvidenceForm } from "./piece.ts";

/**
 * The largest artifact whose bytes are read to judge a signature over them, in bytes. Most signatures are over the digest and need none;
 * one that needs more is refused as `bytes-needed`, and is verified by whoever has the artifact at hand.
 */
export const MAX_ARTIFACT_BYTES = LIMITS.messageBytes;

/** Where the bytes of artifacts are. */
export interface ArtifactBytes {
  readonly blobs: BlobStore;
  /**
   * The size of an artifact that the organisation holds; undefined when it holds none of that digest. That the store has the bytes is not
   * enough: they may be another tenant's, and a verdict over them would tell.
   *
   * A hook: absent, no organisation holds anything, and what needs the bytes is refused.
   */
  readonly artifactSize?: (org: string, digest: Digest) => Promise<number | undefined>;
}

/** The artifact's bytes for evidence of a form that may need them; undefined when it does not, or when they are not to be had. */
export async function artifactSource(
  { blobs, artifactSize }: ArtifactBytes,
  org: string,
  artifact: Digest,
  form: EvidenceForm,
): Promise<ArtifactSource | undefined> {
  if (form !== "message-signature" && form !== "openpgp") return undefined;
  const size = await artifactSize?.(org, artifact);
  if (size === undefined || size > MAX_ARTIFACT_BYTES) return undefined;
  return {
    size,
    async *read() {
      for await (const chunk of await blobs.read(artifact)) yield chunk as Uint8Array;
    },
  };
}
