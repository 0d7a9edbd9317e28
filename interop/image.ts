/** Makes a small, real image: each layer holds the files of one installed npm package; written as an OCI image layout. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type TarFile, tar } from "./tar.ts";

/** An image layout on disk. Digests are `sha256:<hex>`. */
export type Image = { layout: string; digest: string; config: string; layers: string[] };

export type ImageOptions = {
  /** Folder for the layout; made if absent. */
  layout: string;
  /** Names of installed npm packages, one layer each. */
  packages: readonly string[];
  /** Alters one byte of the last layer's content: another image, as an attacker would make it. */
  altered?: boolean;
};

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The files of an installed package, as `/app/node_modules/<name>/…` in the image. */
function packageFiles(name: string): TarFile[] {
  const root = fileURLToPath(new URL(`../node_modules/${name}/`, import.meta.url));
  const files: TarFile[] = [];
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const at = join(entry.parentPath, entry.name);
    const path = at.slice(root.length).replaceAll("\\", "/");
    if (!path.startsWith("node_modules/"))
      files.push({ path: `app/node_modules/${name}/${path}`, content: readFileSync(at) });
  }
  if (files.length === 0) throw new Error(`the package ${name} is not installed: run npm ci`);
  return files;
}

/** Builds the image and writes its layout. The same packages give the same digests. */
export function makeImage({ layout, packages, altered = false }: ImageOptions): Image {
  const blobs = join(layout, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const store = (bytes: Uint8Array): { digest: string; size: number } => {
    const digest = sha256(bytes);
    writeFileSync(join(blobs, digest.slice("sha256:".length)), bytes);
    return { digest, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

  const archives = packages.map((name) => tar(packageFiles(name)));
  const last = archives.at(-1);
  if (altered && last !== undefined) last[512] = (last[512] ?? 0) ^ 1; // the first byte of the first file's content
  const layers = archives.map((archive) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    ...store(gzipSync(archive)),
  }));
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    ...store(
      json({
        architecture: "amd64",
        os: "linux",
        config: { WorkingDir: "/app", Cmd: ["node", "."] },
        rootfs: { type: "layers", diff_ids: archives.map(sha256) },
        history: packages.map((name) => ({ created_by: `COPY node_modules/${name}` })),
      }),
    ),
  };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = { mediaType, ...store(json({ schemaVersion: 2, mediaType, config, layers })) };
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(
    join(layout, "index.json"),
    json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [manifest] }),
  );
  return { layout, digest: manifest.digest, config: config.digest, layers: layers.map(({ digest }) => digest) };
}
