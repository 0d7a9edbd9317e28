import { type Digest, isJsonObject, type JsonObject } from "@assay/evidence";
import { CliError, Exit, usageError } from "../errors.ts";
import { blobOf } from "./blobs.ts";
import {
  type Descriptor,
  type FetchedManifest,
  MANIFEST_TYPE,
  parseManifest,
  readDescriptors,
  sha256,
} from "./manifests.ts";
import { type Registry } from "./registry.ts";

/** The config of artifacts that need none (OCI image-spec, "Guidance for an empty descriptor"): the two bytes `{}`. */
export const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const EMPTY_BYTES = Buffer.from("{}");
export const EMPTY_BLOB = blobOf(EMPTY_BYTES, sha256(EMPTY_BYTES));
export const EMPTY_CONFIG = {
  mediaType: EMPTY_TYPE,
  digest: EMPTY_BLOB.digest,
  size: EMPTY_BYTES.length,
  data: "e30=",
} as const;

/** The artifactType of what `assay push` makes, unless told otherwise. */
export const FILES_TYPE = "application/vnd.assay.files.v1";
const TITLE = "org.opencontainers.image.title";
const MAX_FILES = 10_000;

/** One file in an artifact. `title` is its name there. */
export type ArtifactFile = { readonly title: string; readonly digest: Digest; readonly size: number };

/**
 * Manifest bytes of files as an OCI artifact: a layer for each. The same files, type and annotations give the same bytes
 * and so the same digest: no time is written into it.
 */
export function formatFileArtifact(
  files: readonly ArtifactFile[],
  artifactType: string,
  annotations: ReadonlyMap<string, string>,
): Uint8Array {
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType,
    config: EMPTY_CONFIG,
    layers: files.map(({ title, digest, size }) => ({
      mediaType: "application/octet-stream",
      digest,
      size,
      annotations: { [TITLE]: title },
    })),
    ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
  };
  return Buffer.from(JSON.stringify(manifest));
}

/**
 * The files of an artifact, each with a title that is safe to be a path below a directory. Errors: `artifact-not-files`,
 * `title-unsafe`, `title-repeated`, `registry-protocol`.
 */
export function readFileArtifact(registry: Registry, manifest: FetchedManifest): ArtifactFile[] {
  const parsed: JsonObject = parseManifest(registry, manifest.bytes);
  if (!isJsonObject(parsed.config)) {
    throw notFiles("it is an index of several images: name one of them by its digest");
  }
  const layers: Descriptor[] = readDescriptors(registry, parsed.layers);
  if (layers.length > MAX_FILES) throw notFiles(`it has more than ${MAX_FILES} layers`);
  const files = layers.flatMap(({ digest, size, annotations }) => {
    const title = annotations === undefined || !Object.hasOwn(annotations, TITLE) ? undefined : annotations[TITLE];
    return title === undefined ? [] : [{ title: requireSafeTitle(title), digest, size }];
  });
  if (files.length === 0) throw notFiles("none of its layers has a file name");
  requireDistinctTitles(files.map(({ title }) => title));
  return files;
}

/** Each name once: the second would replace the first. Errors: `title-repeated`. */
export function requireDistinctTitles(titles: readonly string[]): void {
  const seen = new Set<string>();
  for (const title of titles) {
    if (seen.has(title))
      throw usageError("title-repeated", `two files are called ${JSON.stringify(title)}`, "Rename one of them.");
    seen.add(title);
  }
}

/** Whether a title, joined to a directory, stays below it on any system. */
export function isSafeTitle(title: string): boolean {
  const parts = title.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
  return (
    title.length <= 1024 &&
    !/[\u0000-\u001f\u007f\\:]/.test(title) &&
    parts.every((part) => !["", ".", ".."].includes(part))
  );
}

/** Refuses an artifact of somebody else's that holds an unsafe title. Errors: `title-unsafe` (exit 1). */
export function requireSafeTitle(title: string): string {
  if (isSafeTitle(title)) return title;
  throw new CliError(
    "title-unsafe",
    `the artifact holds a file named ${JSON.stringify(title.slice(0, 200))}, which could be written elsewhere`,
    {
      exit: Exit.no,
      hint: "Do not trust this artifact: its maker may want to overwrite your files. Nothing of that name was written.",
    },
  );
}

function notFiles(why: string): CliError {
  return new CliError("artifact-not-files", `this is no artifact of files: ${why}`, {
    exit: Exit.no,
    hint: "Use a container client to pull images.",
  });
}
