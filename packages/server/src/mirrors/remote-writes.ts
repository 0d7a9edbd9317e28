import type { Digest } from "@assay/evidence";
import { MIRROR_LIMITS } from "./limits.ts";
import { type Asking, unexpectedAnswer } from "./remote.ts";

/** Whether a registry has a blob in this repository. */
export async function hasBlob(remote: Asking, digest: Digest): Promise<boolean> {
  const answer = await remote.ask({ method: "HEAD", path: `blobs/${digest}`, totalMs: MIRROR_LIMITS.smallMs });
  answer.discard();
  if (answer.status === 200) return true;
  if (answer.status === 404) return false;
  throw unexpectedAnswer(answer);
}

/**
 * Puts a blob into a repository on another registry: mounted from another repository there, else sent whole (OCI distribution 1.1, "Mounting
 * a blob from another repository", "Pushing blobs").
 *
 * @param from a repository there that may have it.
 * @returns whether its bytes were sent.
 * @throws ServerError `upstream-failed`, `egress-failed`, `egress-refused`.
 */
export async function putBlob(
  remote: Asking,
  blob: { readonly digest: Digest; readonly size: number; bytes(): AsyncIterable<Uint8Array> },
  from: string | undefined,
): Promise<boolean> {
  const { digest, size } = blob;
  const mount = from === undefined ? "" : `?mount=${digest}&from=${encodeURIComponent(from)}`;
  const opened = await remote.ask({
    method: "POST",
    path: `blobs/uploads/${mount}`,
    body: () => new Uint8Array(),
    from,
    totalMs: MIRROR_LIMITS.smallMs,
  });
  opened.discard();
  if (opened.status === 201 && from !== undefined) return false;
  const { location } = opened.headers;
  if (opened.status !== 202 || location === undefined) throw unexpectedAnswer(opened);
  const sent = await remote.ask({
    method: "PUT",
    path: `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`,
    headers: { "content-type": "application/octet-stream", "content-length": String(size) },
    body: () => blob.bytes(),
    totalMs: MIRROR_LIMITS.blobMs,
  });
  if (sent.status !== 201) throw unexpectedAnswer(sent);
  sent.discard();
  return true;
}

/**
 * Puts a manifest under a tag or its digest.
 *
 * @returns whether the registry says that it lists it as a referrer (`OCI-Subject`).
 */
export async function putManifest(
  remote: Asking,
  reference: string,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
): Promise<boolean> {
  const answer = await remote.ask({
    method: "PUT",
    path: `manifests/${reference}`,
    headers: { "content-type": manifest.mediaType },
    body: () => manifest.bytes,
    totalMs: MIRROR_LIMITS.smallMs,
  });
  if (answer.status !== 201) throw unexpectedAnswer(answer);
  answer.discard();
  return answer.headers["oci-subject"] !== undefined;
}
