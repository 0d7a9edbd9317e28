import { createHash } from "node:crypto";
import { type Digest, isDigest, type JsonObject, isJsonObject, parseDigest, parseJson } from "@assay/evidence";
import { CliError, Exit } from "../errors.ts";
import { protocolError, type Registry, registryError } from "./registry.ts";

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const ACCEPT = [
  INDEX_TYPE,
  MANIFEST_TYPE,
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
/** The most that the distribution specification lets a registry demand of clients (§ "Pushing manifests"). */
const MAX_MANIFEST = 4 << 20;

/** What a manifest says of another object. */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

export type FetchedManifest = { readonly digest: Digest; readonly mediaType: string; readonly bytes: Uint8Array };

/** As `getManifest`, but undefined where there is none. */
export async function findManifest(registry: Registry, reference: string): Promise<FetchedManifest | undefined> {
  try {
    return await getManifest(registry, reference);
  } catch (error) {
    if (error instanceof CliError && error.code === "registry-not-found") return undefined;
    throw error;
  }
}

/**
 * The manifest under a tag or digest. Its digest is computed from the bytes and must be that which was asked for and
 * that which the registry names. Errors: `registry-not-found` (exit 1), `digest-mismatch`, those of `Registry.send`.
 */
export async function getManifest(registry: Registry, reference: string): Promise<FetchedManifest> {
  const answer = await registry.send({
    method: "GET",
    path: `manifests/${reference}`,
    access: "pull",
    headers: { accept: ACCEPT },
  });
  if (answer.status !== 200) throw await registryError(registry, `manifest ${reference}`, answer);
  const bytes = await answer.bytes(MAX_MANIFEST);
  const digest = sha256(bytes);
  const named = answer.header("docker-content-digest");
  for (const expected of [isDigest(reference) ? reference : undefined, named]) {
    if (expected !== undefined && expected !== digest)
      throw digestMismatch(`the manifest ${reference}`, expected, digest);
  }
  return { digest, mediaType: (answer.header("content-type") ?? "").split(";")[0]?.trim() ?? "", bytes };
}

/**
 * Stores a manifest under `reference`, or under its digest only. `indexed` says whether the registry lists it among the
 * referrers of its subject by itself (it then answers with OCI-Subject).
 */
export async function putManifest(
  registry: Registry,
  reference: string | undefined,
  mediaType: string,
  bytes: Uint8Array,
): Promise<{ digest: Digest; indexed: boolean }> {
  const digest = sha256(bytes);
  const answer = await registry.send({
    method: "PUT",
    path: `manifests/${reference ?? digest}`,
    access: "pull,push",
    headers: { "content-type": mediaType },
    body: bytes,
  });
  if (answer.status !== 201) throw await registryError(registry, `manifest ${reference ?? digest}`, answer);
  const named = answer.header("docker-content-digest");
  const indexed = answer.header("oci-subject") !== undefined;
  await answer.discard();
  if (named !== undefined && named !== digest) throw digestMismatch("the pushed manifest", digest, named);
  return { digest, indexed };
}

const MAX_PAGES = 1000;

/** Everything in the repository that refers to `subject`, from the referrers API, or else from the fallback tag. */
export async function getReferrers(registry: Registry, subject: Digest): Promise<Descriptor[]> {
  const found: Descriptor[] = [];
  let path: string | URL = `referrers/${subject}`;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await registry.send({ method: "GET", path, access: "pull", headers: { accept: INDEX_TYPE } });
    if (answer.status === 404) {
      await answer.discard();
      const fallback = await findManifest(registry, subject.replace(":", "-"));
      return fallback === undefined ? [] : readDescriptors(registry, parseManifest(registry, fallback.bytes).manifests);
    }
    if (answer.status !== 200) throw await registryError(registry, `referrers of ${subject}`, answer);
    const next: string | undefined = /<([^>]*)>\s*;\s*rel="?next"?/.exec(answer.header("link") ?? "")?.[1];
    const index = parseManifest(registry, await answer.bytes(MAX_MANIFEST));
    found.push(...readDescriptors(registry, index.manifests));
    if (next === undefined) return found;
    path = await registry.locate(next);
  }
  throw protocolError(registry.host, "its list of referrers has no end");
}

/** A manifest as a JSON object. Errors: `registry-protocol` if it is none. */
export function parseManifest(registry: Registry, bytes: Uint8Array): JsonObject {
  const parsed = parseJson(bytes, { maxBytes: MAX_MANIFEST, maxDepth: 32 });
  if (!isJsonObject(parsed)) throw protocolError(registry.host, "a manifest is not a JSON object");
  return parsed;
}

/** A manifest's list of descriptors, each checked. Errors: `registry-protocol`. */
export function readDescriptors(registry: Registry, list: unknown): Descriptor[] {
  if (!Array.isArray(list)) throw protocolError(registry.host, "a manifest lacks its list");
  return list.map((entry: unknown): Descriptor => {
    const { mediaType, digest, size, artifactType, annotations } = (
      typeof entry === "object" && entry !== null ? entry : {}
    ) as { [key: string]: unknown };
    if (typeof mediaType !== "string" || !isDigest(digest) || !isSize(size) || !isAnnotations(annotations)) {
      throw protocolError(registry.host, "a manifest holds an invalid descriptor");
    }
    return {
      mediaType,
      digest,
      size,
      ...(typeof artifactType === "string" ? { artifactType } : {}),
      ...(annotations === undefined ? {} : { annotations }),
    };
  });
}

/** The digest of bytes. */
export function sha256(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

/** What came is not what was named: never used, whoever is to blame. */
export function digestMismatch(what: string, expected: string, found: string): CliError {
  return new CliError("digest-mismatch", `${what} should be ${expected} but is ${found}`, {
    exit: Exit.no,
    hint: "It was altered or damaged on its way or in the registry. Nothing of it was kept.",
  });
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isAnnotations(value: unknown): value is Record<string, string> | undefined {
  if (value === undefined) return true;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((text) => typeof text === "string");
}
