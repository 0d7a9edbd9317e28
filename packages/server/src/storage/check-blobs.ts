import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { type Digest, digestHex, isDigest } from "@assay/evidence";
import type { BlobStore } from "./blobs.ts";

/** A blob that is not what its name says, or not there. */
export interface BlobFinding {
  readonly kind: "blob";
  readonly where: string;
  readonly problem: string;
  readonly action: string;
}

const ACTION = "push the same content again (the digest names it), or put the blob back from a backup";

/** Reads every blob and compares it with its digest; then looks for each blob that something names. */
export async function* checkBlobs(
  blobs: BlobStore,
  named: AsyncIterable<{ readonly digest: string; readonly namedBy: string }>,
  progress: (bytes: number) => void,
): AsyncGenerator<BlobFinding> {
  const present = new Set<Digest>();
  for await (const digest of blobs.list()) {
    present.add(digest);
    const hash = createHash("sha256");
    await pipeline(await blobs.read(digest), async (source: AsyncIterable<Uint8Array>) => {
      for await (const chunk of source) {
        hash.update(chunk);
        progress(chunk.length);
      }
    });
    if (hash.digest("hex") !== digestHex(digest)) {
      yield {
        kind: "blob",
        where: digest,
        problem: "its bytes do not have this digest: it was altered",
        action: ACTION,
      };
    }
  }
  for await (const { digest, namedBy } of named) {
    if (isDigest(digest) && !present.has(digest)) {
      yield { kind: "blob", where: digest, problem: `it is missing; ${namedBy} names it`, action: ACTION };
    }
  }
}
