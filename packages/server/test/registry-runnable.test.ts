/** What comes in beside artifacts, as evidence or a note, and what is run for itself: told apart by the types of what a manifest names. */
import { describe, expect, it } from "vitest";
import { mayRun, type NamedPart } from "../src/registry/runnable.ts";

const EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const OTHER = `sha256:${"1".repeat(64)}`;
const IMAGE = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

function manifest(config: string, layers: readonly string[], digest = OTHER): NamedPart[] {
  return [
    { kind: "config", digest, mediaType: config },
    ...layers.map((mediaType): NamedPart => ({ kind: "layer", digest: OTHER, mediaType })),
  ];
}

describe("a manifest", () => {
  it.each<[string, string, string[]]>([
    ["an image", IMAGE, [LAYER]],
    [
      "an image of Docker",
      "application/vnd.docker.container.image.v1+json",
      ["application/vnd.docker.image.rootfs.diff.tar.gzip"],
    ],
    ["an image with a configuration of another name", "application/vnd.example+json", [LAYER]],
    ["an image with layers of another name", IMAGE, ["application/vnd.in-toto+json"]],
    [
      "an image in capitals and with parameters",
      "application/vnd.OCI.image.config.v1+json; x=1",
      ["Application/vnd.in-toto+json"],
    ],
    ["an image with a configuration that Docker takes for one", "application/octet-stream", ["application/json"]],
    ["an image with a configuration that is only called JSON", "application/json", ["application/json"]],
    ["a chart", "application/vnd.cncf.helm.config.v1+json", ["application/vnd.cncf.helm.chart.content.v1.tar+gzip"]],
    [
      "a chart with a configuration of another name",
      "application/json",
      ["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
    ],
    ["a module", "application/vnd.wasm.config.v0+json", ["application/wasm"]],
  ])("may run: %s", (_what, config, layers) => {
    expect(mayRun(manifest(config, layers))).toBe(true);
  });

  it.each<[string, NamedPart[]]>([
    ["a signature of an older cosign", manifest(IMAGE, ["application/vnd.dev.cosign.simplesigning.v1+json"])],
    ["an attestation of an older cosign", manifest(IMAGE, ["application/vnd.dsse.envelope.v1+json"])],
    ["an SBOM that cosign attached", manifest(IMAGE, ["text/spdx+json"])],
    ["files that oras attached without a type", manifest("application/vnd.oci.empty.v1+json", [LAYER], EMPTY)],
    ["a bundle", manifest(IMAGE, ["application/vnd.dev.sigstore.bundle.v0.3+json"], EMPTY)],
    ["a report", manifest("application/vnd.example.report+json", ["application/sarif+json"])],
    ["an index", [{ kind: "child", digest: OTHER, mediaType: "application/vnd.oci.image.manifest.v1+json" }]],
    ["nothing at all", []],
  ])("is nothing that runs: %s", (_what, parts) => {
    expect(mayRun(parts)).toBe(false);
  });
});
