import { type Digest, isJsonObject, type JsonObject, parseJson } from "@assay/evidence";
import { readBlob } from "../oci/blobs.ts";
import { connect } from "../oci/connect.ts";
import { parseOwnImage } from "../oci/image.ts";
import { type Descriptor, getManifest, parseManifest, readDescriptors } from "../oci/manifests.ts";
import { protocolError, type Registry } from "../oci/registry.ts";
import type { Session } from "../session.ts";

/** What an artifact is, as its own bytes say. */
export type Content = {
  readonly kind: "image" | "image index" | "artifact";
  readonly mediaType: string;
  /** The artifact's type where it is no image; null for images. */
  readonly artifactType: string | null;
  /** Bytes of the manifest and of all that it names, without what lies behind children. */
  readonly size: number;
  /** os/architecture[/variant], as far as known. */
  readonly platforms: readonly string[];
  /** Titles and sizes of its files, where it holds named ones. */
  readonly files: readonly { readonly title: string; readonly size: number; readonly digest: Digest }[];
  readonly layers: number;
  readonly annotations: Readonly<Record<string, string>>;
};

/** The largest configuration that is read for its platform. */
const MAX_CONFIG = 4 << 20;
const TITLE = "org.opencontainers.image.title";

/**
 * Reads a manifest in a repository of the server (OCI image-spec: manifest.md, image-index.md). Errors: those of the registry; what it
 * sends is held to its digests.
 */
export async function readContent(session: Session, repository: string, digest: Digest): Promise<Content> {
  const registry = await connect(session, parseOwnImage(`${repository}@${digest}`, await session.settings()));
  const manifest = await getManifest(registry, digest);
  const parsed = parseManifest(registry, manifest.bytes);
  const common = { mediaType: manifest.mediaType, annotations: annotationsOf(parsed) };
  if (Array.isArray(parsed["manifests"])) {
    const children = readDescriptors(registry, parsed["manifests"]);
    return {
      ...common,
      kind: "image index",
      artifactType: text(parsed["artifactType"]) ?? null,
      size: manifest.bytes.length + sum(children),
      platforms: distinct(listOf(parsed["manifests"]).map((child) => platformOf(member(child, "platform")))),
      files: [],
      layers: 0,
    };
  }
  const layers = readDescriptors(registry, parsed["layers"] ?? []);
  const [config] = parsed["config"] === undefined ? [] : readDescriptors(registry, [parsed["config"]]);
  const isImage = config !== undefined && /\.(?:image\.config|container\.image)\.v1\+json$/.test(config.mediaType);
  return {
    ...common,
    kind: isImage ? "image" : "artifact",
    artifactType: isImage ? null : (text(parsed["artifactType"]) ?? config?.mediaType ?? null),
    size: manifest.bytes.length + sum(layers) + (config?.size ?? 0),
    platforms: isImage ? distinct([platformOf(await readConfig(registry, config))]) : [],
    files: layers.flatMap(({ annotations, size, digest: file }) => {
      const title = annotations?.[TITLE];
      return title === undefined ? [] : [{ title, size, digest: file }];
    }),
    layers: layers.length,
  };
}

async function readConfig(registry: Registry, { digest, size }: Descriptor): Promise<JsonObject> {
  if (size > MAX_CONFIG) return {};
  const chunks: Buffer[] = [];
  for await (const chunk of readBlob(registry, digest, size)) chunks.push(chunk);
  const parsed = parseJson(Buffer.concat(chunks), { maxBytes: MAX_CONFIG, maxDepth: 64 });
  if (!isJsonObject(parsed)) throw protocolError(registry.host, "an image's configuration is not a JSON object");
  return parsed;
}

function platformOf(value: unknown): string | undefined {
  const os = text(member(value, "os"));
  const architecture = text(member(value, "architecture"));
  // Attestations of build tools stand in an index as manifests for "unknown/unknown".
  if (os === undefined || architecture === undefined || os === "unknown") return undefined;
  const variant = text(member(value, "variant"));
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

function annotationsOf(manifest: JsonObject): Record<string, string> {
  const value = manifest["annotations"];
  const pairs = isJsonObject(value) ? Object.entries(value) : [];
  return Object.fromEntries(pairs.flatMap(([name, words]) => (typeof words === "string" ? [[name, words]] : [])));
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function sum(descriptors: readonly Descriptor[]): number {
  return descriptors.reduce((total, { size }) => total + size, 0);
}

function distinct(names: readonly (string | undefined)[]): string[] {
  return [...new Set(names.filter((name) => name !== undefined))];
}
