import { BUNDLE_MEDIA_TYPE, type Digest } from "@assay/evidence";
import { blobOf, pushBlob } from "./blobs.ts";
import { EMPTY_BLOB, EMPTY_CONFIG } from "./file-artifact.ts";
import {
  type FetchedManifest,
  findManifest,
  INDEX_TYPE,
  MANIFEST_TYPE,
  parseManifest,
  putManifest,
  sha256,
} from "./manifests.ts";
import { protocolError, type Registry } from "./registry.ts";

/**
 * Stores a DSSE bundle beside the image it is about, the way cosign 3 does: an OCI 1.1 referrer with the bundle as its
 * only layer. Where the registry has no referrers API the tag `sha256-<hex>` lists it (distribution-spec "Referrers Tag
 * Schema"). Answers the referrer's digest. `created` is the time written into it.
 */
export async function attachBundle(
  registry: Registry,
  subject: FetchedManifest,
  bundle: Uint8Array,
  predicateType: string,
  created: Date,
): Promise<Digest> {
  const layer = { mediaType: BUNDLE_MEDIA_TYPE, size: bundle.length, digest: sha256(bundle) };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      artifactType: BUNDLE_MEDIA_TYPE,
      config: { mediaType: EMPTY_CONFIG.mediaType, size: EMPTY_CONFIG.size, digest: EMPTY_CONFIG.digest },
      layers: [layer],
      annotations: {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicateType,
        "org.opencontainers.image.created": created.toISOString().replace(/\.\d+Z$/, "Z"),
      },
      subject: { mediaType: subject.mediaType, size: subject.bytes.length, digest: subject.digest },
    }),
  );
  await pushBlob(registry, EMPTY_BLOB, () => undefined);
  await pushBlob(registry, blobOf(bundle, layer.digest), () => undefined);
  const { digest, indexed } = await putManifest(registry, undefined, MANIFEST_TYPE, manifest);
  if (!indexed) await listInFallbackTag(registry, subject.digest, { digest, size: manifest.length });
  return digest;
}

/** Adds a referrer to the index under the subject's fallback tag. Two writers at once can lose an entry: so the scheme is. */
async function listInFallbackTag(
  registry: Registry,
  subject: Digest,
  referrer: { digest: Digest; size: number },
): Promise<void> {
  const tag = subject.replace(":", "-");
  const existing = await findManifest(registry, tag);
  const listed: unknown[] = [];
  if (existing !== undefined) {
    const index = parseManifest(registry, existing.bytes);
    if (!Array.isArray(index.manifests)) throw protocolError(registry.host, `its tag ${tag} holds no index`);
    for (const entry of index.manifests as readonly unknown[]) listed.push(entry);
  }
  if (listed.some((entry) => isListed(entry, referrer.digest))) return;
  const entry = { mediaType: MANIFEST_TYPE, ...referrer, artifactType: BUNDLE_MEDIA_TYPE };
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [...listed, entry] };
  await putManifest(registry, tag, INDEX_TYPE, Buffer.from(JSON.stringify(index)));
}

function isListed(entry: unknown, digest: Digest): boolean {
  return typeof entry === "object" && entry !== null && "digest" in entry && entry.digest === digest;
}
