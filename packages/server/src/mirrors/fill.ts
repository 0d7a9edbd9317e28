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

/** What a mirror is filled with. */
export interface FillContext {
  readonly reader: Reader;
  readonly blobs: BlobStore;
  readonly bringer: Bringer;
  /** What else comes with a manifest that was brought. */
  readonly with: (way: Way, digest: Digest) => Promise<void>;
  /** Called as it gets on; a rejection ends it. */
  readonly beat: () => Promise<void>;
}

/**
 * Brings everything that a manifest of a mirror names: members of an index, their config and layers. What is here is passed over.
 *
 * @returns whether anything was brought.
 * @throws ServerError `upstream-failed` for indexes that are too deep, or name too much.
 */
export function fillManifest(context: FillContext, way: Way, digest: Digest): Promise<boolean> {
  return fillOne(context, way, { digest, depth: 0 }, new Set([digest]));
}

/** @param seen INVARIANT: each manifest is gone through once, however many indexes list it: those in each other could make a few into millions. */
async function fillOne(
  context: FillContext,
  way: Way,
  { digest, depth }: { readonly digest: Digest; readonly depth: number },
  seen: Set<string>,
): Promise<boolean> {
  const { reader, blobs, bringer, beat } = context;
  const { repository } = way.mirror;
  const stored = await findManifest(reader, repository, digest);
  if (stored === undefined || depth > MIRROR_LIMITS.indexDepth) {
    throw upstreamFailed(way.mirror.url, `has ${digest} in indexes that are too deep`);
  }
  if (seen.size > MIRROR_LIMITS.filledManifests) {
    throw upstreamFailed(way.mirror.url, `names more than ${MIRROR_LIMITS.filledManifests} manifests in one`);
  }
  const bytes = await blobs.readSmall(digest, REGISTRY_LIMITS.manifestBytes);
  let brought = false;
  for (const named of parseManifest(bytes, stored.mediaType).references) {
    await beat();
    const { digest: of } = named;
    const child = named.kind === "child" && isDigest(of) ? of : undefined;
    if (named.mayBeMissing || (child !== undefined && seen.has(child))) continue;
    if (child === undefined) {
      brought = (await bringer.blob(way, of, named.size)) || brought;
      continue;
    }
    seen.add(child);
    if ((await findManifest(reader, repository, child)) === undefined) {
      const manifest = await remoteManifest(way.remote, child);
      if (manifest === undefined) throw upstreamFailed(way.mirror.url, `does not have ${child}, which it names`);
      await bringer.manifest(way, manifest, { tag: undefined, expected: child });
      await context.with(way, child);
      brought = true;
    }
    brought = (await fillOne(context, way, { digest: child, depth: depth + 1 }, seen)) || brought;
  }
  return brought;
}
