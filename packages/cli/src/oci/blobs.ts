import type { Readable } from "node:stream";
import { createHash } from "node:crypto";
import type { Digest } from "@assay/evidence";
import { CliError, Exit } from "../errors.ts";
import type { Incoming } from "../transport.ts";
import { digestMismatch } from "./manifests.ts";
import { type Registry, registryError } from "./registry.ts";

/** Bytes to be uploaded: known by digest and size, readable from any offset as often as needed. */
export type BlobSource = { readonly digest: Digest; readonly size: number; open(start: number): Readable | Uint8Array };

/** Attempts without any byte getting through, after which an upload is given up. */
const MAX_FAILURES = 4;
const FIRST_PAUSE_MS = 250;

/** A blob that is in memory. */
export function blobOf(bytes: Uint8Array, digest: Digest): BlobSource {
  return { digest, size: bytes.length, open: (start) => bytes.subarray(start) };
}

/**
 * Uploads a blob unless the repository has it. One streamed PUT; when that breaks off, the registry is asked how much
 * it has and the rest is sent from there, or everything again where it kept nothing. `progress` hears of bytes that
 * left. Answers whether anything had to be sent. Errors: `registry-*`, `network` after several failures in a row.
 */
export async function pushBlob(
  registry: Registry,
  source: BlobSource,
  progress: (bytes: number) => void,
  pause: (ms: number) => Promise<void> = sleep,
): Promise<boolean> {
  const head = await registry.send({ method: "HEAD", path: `blobs/${source.digest}`, access: "pull,push" });
  await head.discard();
  if (head.status === 200) return false;
  if (head.status === 401) throw await registryError(registry, "upload", head);

  let upload = await startUpload(registry);
  let offset = 0;
  for (let failures = 0; ; ) {
    try {
      const answer =
        offset === 0
          ? await putAll(registry, upload, source, progress)
          : await sendRest(registry, upload, source, offset, progress);
      if (answer.status === 201) {
        await answer.discard();
        return true;
      }
      const error = await registryError(registry, `upload of ${source.digest}`, answer);
      // A new token is in place after a 401; all else the registry refuses it will refuse again.
      if (error.exit !== Exit.unknown) throw error;
      throw new Interrupted(error);
    } catch (error) {
      const cause = error instanceof Interrupted ? error.error : error;
      if (!(cause instanceof CliError) || cause.exit !== Exit.unknown) throw cause;
      failures += 1;
      if (failures >= MAX_FAILURES) throw cause;
      await pause(FIRST_PAUSE_MS * 2 ** (failures - 1));
      const kept = await uploadStatus(registry, upload).catch(() => undefined);
      if (kept === undefined || kept.offset > source.size) {
        upload = await startUpload(registry);
        offset = 0;
      } else {
        if (kept.offset > offset) failures = 0;
        ({ offset, upload } = kept);
      }
    }
  }
}

class Interrupted extends Error {
  readonly error: CliError;
  constructor(error: CliError) {
    super(error.message);
    this.error = error;
  }
}

async function startUpload(registry: Registry): Promise<URL> {
  const answer = await registry.send({
    method: "POST",
    path: "blobs/uploads/",
    access: "pull,push",
    headers: { "content-length": "0" },
  });
  if (answer.status !== 202) throw await registryError(registry, "start of an upload", answer);
  const location = answer.header("location");
  await answer.discard();
  return registry.locate(location);
}

function putAll(
  registry: Registry,
  upload: URL,
  source: BlobSource,
  progress: (bytes: number) => void,
): Promise<Incoming> {
  return registry.send({
    method: "PUT",
    path: withDigest(upload, source.digest),
    access: "pull,push",
    headers: { "content-type": "application/octet-stream", "content-length": String(source.size) },
    body: counted(source.open(0), progress),
  });
}

/** The rest as a chunk (PATCH with its range), then the closing PUT. */
async function sendRest(
  registry: Registry,
  upload: URL,
  source: BlobSource,
  offset: number,
  progress: (bytes: number) => void,
): Promise<Incoming> {
  let place = upload;
  if (offset < source.size) {
    const answer = await registry.send({
      method: "PATCH",
      path: upload,
      access: "pull,push",
      headers: {
        "content-type": "application/octet-stream",
        "content-length": String(source.size - offset),
        "content-range": `${offset}-${source.size - 1}`,
      },
      body: counted(source.open(offset), progress),
    });
    if (answer.status !== 202) return answer;
    const location = answer.header("location");
    await answer.discard();
    place = await registry.locate(location);
  }
  return registry.send({
    method: "PUT",
    path: withDigest(place, source.digest),
    access: "pull,push",
    headers: { "content-length": "0" },
  });
}

/** How many bytes the registry has of an upload, and where to go on; undefined if it has forgotten it. */
async function uploadStatus(registry: Registry, upload: URL): Promise<{ offset: number; upload: URL } | undefined> {
  const answer = await registry.send({ method: "GET", path: upload, access: "pull,push" });
  const { status } = answer;
  const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.header("range") ?? "")?.[1];
  const location = answer.header("location");
  await answer.discard();
  if (status !== 204 && status !== 202) return undefined;
  const place = location === undefined ? upload : await registry.locate(location);
  // "0-0" means one byte by the specification, but registries send it for none as well: begin anew in doubt.
  return { offset: range === undefined || range === "0" ? 0 : Number(range) + 1, upload: place };
}

/**
 * Reads a blob as it arrives and checks size and digest: the last piece is handed out only when all is proven, so a
 * consumer that sees the end has seen exactly the bytes named. Errors: `registry-not-found`, `digest-mismatch`, `network`.
 */
export async function* readBlob(registry: Registry, digest: Digest, size: number): AsyncGenerator<Buffer, void> {
  const answer = await registry.send({ method: "GET", path: `blobs/${digest}`, access: "pull" });
  if (answer.status !== 200) throw await registryError(registry, `blob ${digest}`, answer);
  const sum = createHash("sha256");
  let received = 0;
  let held: Buffer | undefined;
  for await (const chunk of answer.stream()) {
    received += chunk.length;
    if (received > size) break;
    sum.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  if (received !== size)
    throw digestMismatch(`the blob ${digest}`, `${size} bytes`, received > size ? "longer" : `${received} bytes`);
  const found = `sha256:${sum.digest("hex")}`;
  if (found !== digest) throw digestMismatch("the blob", digest, found);
  if (held !== undefined) yield held;
}

function withDigest(upload: URL, digest: Digest): URL {
  // Appended as text: setting a parameter would respell those the registry has put there, which it may have signed.
  const url = new URL(upload);
  url.search += `${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
  return url;
}

function counted(body: Readable | Uint8Array, progress: (bytes: number) => void): Readable | Uint8Array {
  if (body instanceof Uint8Array) {
    progress(body.length);
    return body;
  }
  return body.on("data", (chunk: Buffer) => progress(chunk.length)).pause();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
