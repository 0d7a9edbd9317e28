/** A small registry client for tests: what an OCI client sends, with nothing in between. */
import { createHash } from "node:crypto";
import { ADMIN_TOKEN } from "./instance.ts";

export const ADMIN_BASIC = `Basic ${Buffer.from(`admin:${ADMIN_TOKEN}`).toString("base64")}`;

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function sha512(bytes: Uint8Array | string): string {
  return `sha512:${createHash("sha512").update(bytes).digest("hex")}`;
}

/** Pushes an image of one layer in which everything is named by SHA-512, under a tag; resolves with its digests. */
export async function pushImageBySha512(
  url: string,
  repository: string,
  tag: string,
  layer: Uint8Array,
): Promise<{ manifest: string; layer: string }> {
  const config = Buffer.from(`{"of":${JSON.stringify(tag)}}`);
  const put = async (method: string, path: string, type: string, body: Uint8Array): Promise<void> => {
    const headers = { authorization: ADMIN_BASIC, "content-type": type };
    const answer = await fetch(`${url}/v2/${repository}/${path}`, { method, headers, body: new Uint8Array(body) });
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  };
  for (const bytes of [layer, config]) {
    await put("POST", `blobs/uploads/?digest=${sha512(bytes)}`, "application/octet-stream", bytes);
  }
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: sha512(config),
        size: config.length,
      },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: sha512(layer), size: layer.length }],
    }),
  );
  await put("PUT", `manifests/${sha512(manifest)}?tag=${tag}`, type, manifest);
  return { manifest: sha512(manifest), layer: sha512(layer) };
}

/** Pushes a blob in one request. */
export async function pushBlob(url: string, repository: string, bytes: Uint8Array): Promise<string> {
  const answer = await fetch(`${url}/v2/${repository}/blobs/uploads/?digest=${sha256(bytes)}`, {
    method: "POST",
    headers: { authorization: ADMIN_BASIC, "content-type": "application/octet-stream" },
    body: new Uint8Array(bytes),
  });
  if (answer.status !== 201) throw new Error(`blob: ${answer.status} ${await answer.text()}`);
  return sha256(bytes);
}

/** Pushes an image of one layer; resolves with its digests when the server has acknowledged it. */
export async function pushImage(
  url: string,
  repository: string,
  tag: string,
  layer: Uint8Array,
): Promise<{ manifest: string; layer: string }> {
  const layerDigest = await pushBlob(url, repository, layer);
  const config = Buffer.from("{}");
  await pushBlob(url, repository, config);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layerDigest, size: layer.length }],
  });
  const answer = await fetch(`${url}/v2/${repository}/manifests/${tag}`, {
    method: "PUT",
    headers: { authorization: ADMIN_BASIC, "content-type": "application/vnd.oci.image.manifest.v1+json" },
    body: manifest,
  });
  if (answer.status !== 201) throw new Error(`manifest: ${answer.status} ${await answer.text()}`);
  return { manifest: sha256(manifest), layer: layerDigest };
}
