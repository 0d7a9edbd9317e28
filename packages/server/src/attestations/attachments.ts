import {
  type Digest,
  isDigest,
  isJsonArray,
  isJsonObject,
  type JsonValue,
  parseDigest,
  parseJson,
} from "@assay/evidence";
import { BUNDLE_FAMILY, ENVELOPE_TYPE } from "./wrapping.ts";

/** Under what a signing client keeps evidence about an artifact: the fallback of the referrers API, and cosign 1's and 2's own tags. */
const EVIDENCE_TAG = /^sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?$/;

/** What an older cosign's annotations on a layer begin with. */
const COSIGN_ANNOTATIONS = /^dev\.(?:cosignproject|sigstore)\.cosign\//;

const SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
const NOTARY_ARTIFACT = "application/vnd.cncf.notary.signature";

/** Types under which a layer is evidence by itself. */
const PLAIN_TYPES: readonly string[] = ["application/vnd.in-toto+json"];
const LINES_TYPES: readonly string[] = ["application/vnd.in-toto.bundle", "application/jsonl", "application/x-ndjson"];
const NOTARY_LAYERS: readonly string[] = ["application/jose+json", "application/cose"];

/** SBOM documents that cosign attaches unsigned (`cosign attach sbom`), and the predicate type that they are a report of. */
const SBOM_TYPES: ReadonlyMap<string, string> = new Map([
  ["text/spdx+json", "https://spdx.dev/Document"],
  ["application/spdx+json", "https://spdx.dev/Document"],
  ["application/vnd.cyclonedx+json", "https://cyclonedx.org/bom"],
]);

/** A layer as the manifest has it. */
export interface Layer {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Lower case, without parameters. */
  readonly mediaType: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** How a layer's bytes become evidence. */
export type Taking =
  /** The layer is the evidence. */
  | { readonly as: "itself" }
  /** As itself when it can be read; when it is an unsigned statement, as a report. */
  | { readonly as: "statement" }
  /** Each of its lines is evidence; lines that cannot be read are passed over. */
  | { readonly as: "lines" }
  /** The layer and its annotations together are. */
  | { readonly as: "cosign" }
  /** A document that nobody signed. */
  | { readonly as: "sbom"; readonly predicateType: string | undefined };

/** A piece of evidence in a manifest: which layer, taken how, about what. */
export interface Attachment {
  readonly layer: Layer;
  readonly taking: Taking;
  readonly subject: Digest;
  /** The tag that names the subject; undefined where the manifest does itself. */
  readonly tag: string | undefined;
}

/** What is looked at of a manifest. */
export interface AttachedTo {
  /** The manifest's own, well-formed JSON. */
  readonly bytes: Uint8Array;
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  /** What its digests of other algorithms stand for. */
  readonly aliases: ReadonlyMap<string, Digest>;
  readonly tags: readonly string[];
}

/**
 * The evidence in a manifest, about its own subject or about the digest in a tag that clients keep evidence under. Pure; whether the
 * layers are here, and what they hold, is found out by whoever asks. A manifest with a subject of its own is about that and nothing
 * else, also where a client without the referrers API lists it in an index under the fallback tag.
 */
export function attachmentsOf(manifest: AttachedTo): Attachment[] {
  const found = manifest.subject === undefined ? taggedSubjects(manifest.tags) : [{ subject: manifest.subject }];
  if (found.length === 0) return [];
  const attachments: Attachment[] = [];
  for (const layer of layersOf(manifest)) {
    for (const { subject, tag } of found as readonly { subject: Digest; tag?: string }[]) {
      const taking = takingOf(layer, manifest.artifactType, tag);
      if (taking !== undefined) attachments.push({ layer, taking, subject, tag });
    }
  }
  return attachments;
}

/** Types whose bytes are evidence, and nothing that a runtime which looks at types runs. */
const EVIDENCE_TYPES: ReadonlySet<string> = new Set([
  SIMPLE_SIGNING_TYPE,
  ENVELOPE_TYPE,
  ...PLAIN_TYPES,
  ...LINES_TYPES,
  ...NOTARY_LAYERS,
  ...SBOM_TYPES.keys(),
]);

/** The digest of `{}` (OCI image-spec, "Guidance for an Empty Descriptor"): a configuration that no image can be run by. */
const EMPTY_CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/** A manifest that is evidence and nothing else, by what it says of itself. */
export interface EvidenceAlone {
  /** Its subject, or what its tags name. */
  readonly about: readonly Digest[];
  /**
   * Digests of layers that must prove to be text, as they are written. There are clients that run an image by its configuration and never look at what
   * its layers are called: under a configuration that could be an image's, bytes that could be an archive are not evidence by their type alone.
   */
  readonly texts: readonly string[];
  /** Bytes of those layers together, as the manifest says. */
  readonly textBytes: number;
}

/**
 * What a manifest is evidence about when it is evidence and nothing else; undefined for every other manifest. Each layer's own type says so: a
 * manifest whose `artifactType` or subject only claims to be evidence may be an image that runs.
 */
export function evidenceAlone(manifest: Omit<AttachedTo, "artifactType" | "aliases">): EvidenceAlone | undefined {
  const parsed = parseJson(manifest.bytes);
  if (!isJsonObject(parsed) || parsed["manifests"] !== undefined) return undefined;
  const { config, layers } = parsed;
  if (!isJsonArray(layers) || layers.length === 0) return undefined;
  const texts: string[] = [];
  let textBytes = 0;
  const harmless = isJsonObject(config) && config["digest"] === EMPTY_CONFIG;
  for (const layer of layers) {
    if (!isJsonObject(layer)) return undefined;
    const { mediaType, digest, size } = layer;
    if (typeof mediaType !== "string" || typeof digest !== "string" || typeof size !== "number") return undefined;
    const bare = bareType(mediaType);
    if (!EVIDENCE_TYPES.has(bare) && !bare.startsWith(BUNDLE_FAMILY)) return undefined;
    if (harmless) continue;
    texts.push(digest);
    textBytes += size;
  }
  const about =
    manifest.subject === undefined ? taggedSubjects(manifest.tags).map(({ subject }) => subject) : [manifest.subject];
  return { about, texts, textBytes };
}

function taggedSubjects(tags: readonly string[]): { subject: Digest; tag: string }[] {
  return tags.flatMap((tag) => {
    const hex = EVIDENCE_TAG.exec(tag)?.[1];
    return hex === undefined ? [] : [{ subject: parseDigest(`sha256:${hex}`), tag }];
  });
}

function takingOf(layer: Layer, artifactType: string | undefined, tag: string | undefined): Taking | undefined {
  const type = layer.mediaType;
  const ofManifest = bareType(artifactType ?? "");
  if (type === SIMPLE_SIGNING_TYPE) return { as: "cosign" };
  if (type.startsWith(BUNDLE_FAMILY) || ofManifest.startsWith(BUNDLE_FAMILY)) return { as: "itself" };
  if (type === ENVELOPE_TYPE && (tag?.endsWith(".att") === true || isCosigns(layer))) return { as: "cosign" };
  if (ofManifest === NOTARY_ARTIFACT) return NOTARY_LAYERS.includes(type) ? { as: "itself" } : undefined;
  for (const stated of [type, ofManifest]) {
    if (stated === ENVELOPE_TYPE) return { as: "itself" };
    if (PLAIN_TYPES.includes(stated)) return { as: "statement" };
    if (LINES_TYPES.includes(stated)) return { as: "lines" };
  }
  return tag?.endsWith(".sbom") === true ? { as: "sbom", predicateType: SBOM_TYPES.get(type) } : undefined;
}

function isCosigns({ annotations }: Layer): boolean {
  return Object.keys(annotations).some((name) => COSIGN_ANNOTATIONS.test(name));
}

function bareType(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}

/** Every layer as often as the manifest lists it: cosign signs one payload several times, each with annotations of its own. */
function layersOf({ bytes, aliases }: AttachedTo): Layer[] {
  const manifest = parseJson(bytes);
  const layers = isJsonObject(manifest) ? manifest["layers"] : undefined;
  return isJsonArray(layers) ? layers.flatMap((layer) => layerOf(layer, aliases)) : [];
}

function layerOf(value: JsonValue, aliases: ReadonlyMap<string, Digest>): Layer[] {
  if (!isJsonObject(value)) return [];
  const { digest: named, size, mediaType } = value;
  const digest = isDigest(named) ? named : aliases.get(typeof named === "string" ? named : "");
  if (digest === undefined || typeof size !== "number" || typeof mediaType !== "string") return [];
  const annotations = Object.create(null) as Record<string, string>;
  const stated = value["annotations"];
  for (const [name, text] of Object.entries(isJsonObject(stated) ? stated : {})) {
    if (typeof text === "string") annotations[name] = text;
  }
  return [{ digest, size, mediaType: bareType(mediaType), annotations }];
}
