import { EvidenceError, fromBase64, isJsonObject, type JsonValue, parseJson } from "@assay/evidence";
import { digestLike, isNamedDigest, type NamedDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { REGISTRY_LIMITS } from "./limits.ts";

/** What a manifest says about something else (OCI image-spec, "Descriptors"). */
export interface Descriptor {
  /** As it is written. */
  readonly digest: NamedDigest;
  /** Bytes. */
  readonly size: number;
  readonly mediaType: string;
}

/** Something a manifest needs. */
export interface ManifestReference extends Descriptor {
  /** `child`: an entry of an index, a manifest or not. */
  readonly kind: "config" | "layer" | "child";
  /** A layer that is distributed elsewhere: it need not be in the repository. */
  readonly mayBeMissing: boolean;
}

/** What the registry reads in a manifest. The bytes stay what they are; nothing is ever written from this. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** As referrers lists show it (OCI distribution 1.1, "Listing Referrers"): its own, else its config's; absent for an index without. */
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  /** Absent when it has none, and when it has more than referrers lists would show and no subject. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Each (kind, digest) once, in order of appearance. */
  readonly references: readonly ManifestReference[];
}

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

const IMAGE_TYPES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const INDEX_TYPES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_LIST]);

/** Layers that by their type are not pushed (OCI image-spec, "Non-Distributable Layers"; Docker's foreign layers). */
const NONDISTRIBUTABLE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.|docker\.image\.rootfs\.foreign\.)/;

/** type/subtype (RFC 6838 §4.2), and whatever parameters a client added, in printable ASCII. */
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}(?:\s*;[ -~]*)?$/;

function invalid(message: string, cause?: unknown): OciError {
  return new OciError(400, "MANIFEST_INVALID", message, cause === undefined ? {} : { cause });
}

/** A Content-Type without parameters, lower case; undefined when absent or empty. */
export function bareMediaType(contentType: string | undefined): string | undefined {
  const bare = contentType?.split(";")[0]?.trim().toLowerCase();
  return bare === undefined || bare === "" ? undefined : bare;
}

/**
 * Reads and checks a manifest or index.
 *
 * What is unknown is allowed and ignored; what two readers could take differently is refused: repeated keys, a type that is not the
 * one it was pushed as, a manifest that has parts of an index too (CVE-2021-41190), `data` that is not what its digest says.
 *
 * @param contentType the request's Content-Type.
 * @throws OciError 400 `MANIFEST_INVALID`; 413 `SIZE_INVALID` above {@link REGISTRY_LIMITS}.manifestBytes.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): ManifestFacts {
  const manifest = parseDocument(bytes);
  if (!isJsonObject(manifest)) throw invalid("a manifest is a JSON object");
  if (manifest["schemaVersion"] !== 2) throw invalid("schemaVersion must be 2");
  const mediaType = typeOf(manifest["mediaType"], bareMediaType(contentType));
  const isIndex = INDEX_TYPES.has(mediaType);
  for (const foreign of isIndex ? ["config", "layers", "fsLayers"] : ["manifests", "fsLayers"]) {
    if (manifest[foreign] !== undefined) throw invalid(`${mediaType} must not have "${foreign}"`);
  }
  const references = new References();
  let configType: string | undefined;
  if (isIndex) {
    for (const [index, entry] of arrayOf(manifest["manifests"], "manifests", true).entries()) {
      references.add({ ...descriptor(entry, `manifests[${index}]`), kind: "child", mayBeMissing: false });
    }
  } else {
    const config = descriptor(manifest["config"], "config");
    configType = config.mediaType;
    references.add({ ...config, kind: "config", mayBeMissing: false });
    for (const [index, entry] of arrayOf(manifest["layers"], "layers", false).entries()) {
      const layer = descriptor(entry, `layers[${index}]`);
      references.add({ ...layer, kind: "layer", mayBeMissing: isForeign(entry, layer.mediaType) });
    }
  }
  const artifactType = artifactTypeOf(manifest["artifactType"]) ?? configType;
  const annotations = annotationsOf(manifest["annotations"], "annotations");
  const subject = manifest["subject"] ?? undefined;
  const shown = annotations !== undefined && bytesOf(annotations) <= REGISTRY_LIMITS.annotationBytes;
  // Every referrers list repeats them. Of a manifest that is about nothing they are in no list, and its bytes have them all.
  if (subject !== undefined && annotations !== undefined && !shown) {
    throw invalid(
      `annotations of a manifest with a subject have at most ${REGISTRY_LIMITS.annotationBytes} bytes together: put more into a layer`,
    );
  }
  return {
    mediaType,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject: descriptor(subject, "subject") }),
    ...(shown ? { annotations } : {}),
    references: references.list(),
  };
}

function bytesOf(annotations: Record<string, string>): number {
  return Buffer.byteLength(JSON.stringify(annotations));
}

function parseDocument(bytes: Uint8Array): JsonValue {
  if (bytes.length > REGISTRY_LIMITS.manifestBytes) {
    throw new OciError(413, "SIZE_INVALID", `a manifest has at most ${REGISTRY_LIMITS.manifestBytes} bytes`);
  }
  try {
    return parseJson(bytes, { maxBytes: REGISTRY_LIMITS.manifestBytes, maxDepth: REGISTRY_LIMITS.manifestDepth });
  } catch (cause) {
    if (cause instanceof EvidenceError) throw invalid(cause.message, cause);
    throw cause;
  }
}

function typeOf(stated: JsonValue | undefined, pushedAs: string | undefined): string {
  if (stated !== undefined && typeof stated !== "string") throw invalid("mediaType must be text");
  const type = stated === undefined || stated === "" ? pushedAs : stated;
  if (type === undefined) throw invalid("neither the Content-Type nor the manifest says what type it is");
  if (pushedAs !== undefined && pushedAs !== type) {
    throw invalid(`it was pushed as ${pushedAs}, but says it is ${type.slice(0, 200)}`);
  }
  if (!IMAGE_TYPES.has(type) && !INDEX_TYPES.has(type)) {
    throw invalid(
      `${type.slice(0, 200)} is not a manifest type this registry takes: ${[...IMAGE_TYPES, ...INDEX_TYPES].join(", ")}`,
    );
  }
  return type;
}

function arrayOf(value: JsonValue | undefined, name: string, required: boolean): readonly JsonValue[] {
  if ((value === undefined || value === null) && !required) return [];
  if (!Array.isArray(value)) throw invalid(`"${name}" must be an array`);
  if (value.length > REGISTRY_LIMITS.manifestReferences) {
    throw invalid(`"${name}" has more than ${REGISTRY_LIMITS.manifestReferences} entries`);
  }
  return value as readonly JsonValue[];
}

function mediaTypeOf(value: JsonValue | undefined, place: string): string {
  if (typeof value !== "string" || value.length > 255 || !MEDIA_TYPE.test(value)) {
    throw invalid(`${place} must be a media type such as application/json`);
  }
  return value;
}

function artifactTypeOf(value: JsonValue | undefined): string | undefined {
  // Clients in Go write an absent artifactType as "".
  if (value === undefined || value === "") return undefined;
  return mediaTypeOf(value, "artifactType");
}

function descriptor(value: JsonValue | undefined, place: string): Descriptor {
  if (!isJsonObject(value)) throw invalid(`${place} must be a descriptor`);
  const { digest, size } = value;
  if (!isNamedDigest(digest)) {
    const shown = typeof digest === "string" ? JSON.stringify(digest.slice(0, 200)) : "missing";
    throw invalid(`${place}.digest is ${shown}: this registry takes sha256 and sha512 digests`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${place}.size must be a whole number of bytes`);
  }
  annotationsOf(value["annotations"], `${place}.annotations`);
  urlsOf(value, place);
  checkData(value["data"], { digest, size }, place);
  return { digest, size, mediaType: mediaTypeOf(value["mediaType"], `${place}.mediaType`) };
}

function urlsOf(value: JsonValue, place: string): readonly string[] {
  const urls = isJsonObject(value) ? value["urls"] : undefined;
  if (urls === undefined || urls === null) return [];
  if (!Array.isArray(urls) || !urls.every((url) => typeof url === "string")) {
    throw invalid(`${place}.urls must be an array of texts`);
  }
  return urls as readonly string[];
}

function isForeign(value: JsonValue, mediaType: string): boolean {
  return NONDISTRIBUTABLE.test(mediaType) || urlsOf(value, "layer").length > 0;
}

/** Embedded content must be the content (OCI image-spec, "Descriptors", `data`): a reader may use it instead of the blob. */
function checkData(data: JsonValue | undefined, named: { digest: NamedDigest; size: number }, place: string): void {
  if (data === undefined || data === null) return;
  if (typeof data !== "string") throw invalid(`${place}.data must be base64`);
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(data);
  } catch (cause) {
    if (cause instanceof EvidenceError) throw invalid(`${place}.data must be base64`, cause);
    throw cause;
  }
  if (bytes.length !== named.size || digestLike(named.digest, bytes) !== named.digest) {
    throw invalid(`${place}.data is not the content its size and digest name`);
  }
}

function annotationsOf(value: JsonValue | undefined, place: string): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw invalid(`${place} must be an object of texts`);
  // No prototype: a key is never anything but a key. (`__proto__` itself is refused with the JSON.)
  const annotations = Object.create(null) as Record<string, string>;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw invalid(`${place}[${JSON.stringify(key.slice(0, 100))}] must be text`);
    annotations[key] = text;
  }
  return annotations;
}

/** Gathers references, each (kind, digest) once. */
class References {
  readonly #byKey = new Map<string, ManifestReference>();

  add(reference: ManifestReference): void {
    const key = `${reference.kind} ${reference.digest}`;
    const known = this.#byKey.get(key);
    if (known === undefined) {
      this.#byKey.set(key, reference);
      return;
    }
    if (known.size !== reference.size) throw invalid(`${reference.digest} is listed with two sizes`);
    // Listed once as an ordinary layer, it must be here.
    if (known.mayBeMissing && !reference.mayBeMissing) this.#byKey.set(key, reference);
  }

  list(): ManifestReference[] {
    return [...this.#byKey.values()];
  }
}
