import { type Digest, isDigest } from "@assay/evidence";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { parseManifest } from "../registry/manifest.ts";
import { findManifest } from "../registry/queries.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import type { Bringer, Way } from "./bring.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { upstreamFailed } from "./remote.ts";
import { remoteManifest } from "./remote-reads.ts";

/**
 * Brings everything that a manifest of a mirror names: members of an index, their config and layers. What is here is passed over.
 *
 * @param beat called as it gets on; a rejection ends it.
 * @returns whether anything was brought.
 */
export async function fillManifest(
  context: {
    readonly reader: Reader;
    readonly blobs: BlobStore;
    readonly bringer: Bringer;
    /** What else comes with a manifest that was brought. */
    readonly with: (way: Way, digest: Digest) => Promise<void>;
    readonly beat: () => Promise<void>;
  },
  way: Way,
  digest: Digest,
  depth = 0,
): Promise<boolean> {
  const { reader, blobs, bringer, beat } = context;
  const { repository } = way.mirror;
  const stored = await findManifest(reader, repository, digest);
  if (stored === undefined || depth > MIRROR_LIMITS.indexDepth) {
    throw upstreamFailed(way.mirror.url, `has ${digest} in indexes that are too deep`);
  }
  const bytes = await blobs.readSmall(digest, REGISTRY_LIMITS.manifestBytes);
  let brought = false;
  for (const named of parseManifest(bytes, stored.mediaType).references) {
    await beat();
    if (named.mayBeMissing) continue;
    const { digest: of } = named;
    const child = named.kind === "child" && isDigest(of) ? of : undefined;
    if (child !== undefined && (await findManifest(reader, repository, child)) === undefined) {
      const manifest = await remoteManifest(way.remote, child);
      if (manifest === undefined) throw upstreamFailed(way.mirror.url, `does not have ${child}, which it names`);
      await bringer.manifest(way, manifest, { tag: undefined, expected: child });
      await context.with(way, child);
      brought = true;
    }
    if (child === undefined) brought = (await bringer.blob(way, of, named.size)) || brought;
    else brought = (await fillManifest(context, way, child, depth + 1)) || brought;
  }
  return brought;
}
