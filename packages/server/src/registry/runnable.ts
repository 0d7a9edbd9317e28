/** What a manifest names, as far as it says what becomes of it. */
export interface NamedPart {
  readonly kind: "config" | "layer" | "child" | "blob";
  readonly digest: string;
  readonly mediaType: string;
}

/** The digest of `{}` (OCI image-spec, "Guidance for an Empty Descriptor"): as a configuration it says nothing that could be run. */
const EMPTY_CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/** Layers that a container runtime unpacks (OCI image-spec, "Layer"; Docker schema 2), that Helm installs, or that a WASM host runs. */
const LAYERS =
  /^application\/(?:vnd\.(?:oci\.image\.layer|docker\.image\.rootfs|cncf\.helm\.chart\.content|wasm\.content\.layer)\.|wasm$)/;

/** Configurations of charts and WASM modules. */
const OTHER_CONFIGS = /^application\/vnd\.(?:cncf\.helm|wasm)\.config\./;

/** Configurations under which Docker Engine runs an image, without asking what its layers are called. */
const IMAGE_CONFIGS: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
  "application/octet-stream",
  "application/json",
  "text/html",
]);

/** Layers that older cosign clients keep evidence in, under an image's configuration. */
const SIGNING_LAYERS: ReadonlySet<string> = new Set([
  "application/vnd.dev.cosign.simplesigning.v1+json",
  "application/vnd.dsse.envelope.v1+json",
  "application/spdx+json",
  "application/vnd.cyclonedx+json",
  "text/spdx",
  "text/spdx+json",
  "text/spdx+xml",
  "application/vnd.cyclonedx",
  "application/vnd.cyclonedx+xml",
  "application/vnd.syft+json",
]);

/**
 * Whether a manifest may be something that is run: an image, a chart, a module. By its types, which whoever wrote it chose: for rules about what comes
 * in beside artifacts, not for what is served.
 */
export function mayRun(parts: readonly NamedPart[]): boolean {
  const layers = parts.filter(({ kind }) => kind === "layer").map(({ mediaType }) => bare(mediaType));
  return parts.some(({ kind, digest, mediaType }) => {
    if (kind !== "config" || digest === EMPTY_CONFIG) return false;
    const config = bare(mediaType);
    if (OTHER_CONFIGS.test(config) || layers.some((layer) => LAYERS.test(layer))) return true;
    return IMAGE_CONFIGS.has(config) && !layers.every((layer) => SIGNING_LAYERS.has(layer));
  });
}

function bare(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}
