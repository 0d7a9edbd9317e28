/**
 * The blobs under test: in the data directory, or in S3 when the project says so (vitest.config.ts). A test's data directory names its
 * place in S3, so that what reopens the directory finds the same blobs.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { inject } from "vitest";
import { type OpenBlobs, openBlobs } from "../src/storage/open-blobs.ts";
import { S3Client, sha256Hex } from "../src/storage/s3-client.ts";
import type { S3Location } from "../src/storage/s3-location.ts";

/** What keeps this project's blobs. */
export const BLOB_STORE: "directory" | "s3" = process.env["ASSAY_TEST_BLOBS"] === "s3" ? "s3" : "directory";

/** Where the blobs of a data directory are; undefined: in the directory itself. */
export function s3Of(dataDirectory: string): S3Location | undefined {
  return BLOB_STORE === "s3" ? { ...inject("s3Location"), prefix: basename(dataDirectory) } : undefined;
}

/** The settings by which a server process finds the blobs of a data directory. */
export function blobSettings(dataDirectory: string): Record<string, string> {
  const s3 = s3Of(dataDirectory);
  return s3 === undefined ? {} : s3Settings(s3);
}

/** A location in S3 as the settings of a server process. */
export function s3Settings(s3: S3Location): Record<string, string> {
  const query = new URLSearchParams({ endpoint: s3.endpoint, region: s3.region });
  return {
    ASSAY_BLOBS_URL: `s3://${s3.bucket}/${s3.prefix}?${query.toString()}`,
    ASSAY_BLOBS_ACCESS_KEY: s3.credentials.accessKeyId,
    ASSAY_BLOBS_SECRET_KEY: s3.credentials.secretAccessKey,
  };
}

/** A store over a data directory's blobs, as another process of the server has. */
export async function openStore(dataDirectory: string): Promise<OpenBlobs> {
  return await openBlobs({ dataDirectory, s3: s3Of(dataDirectory) }, { warn: () => undefined });
}

/** Direct access to what a store keeps, for tests that damage it. */
export interface RawBlobs {
  /** What lies under a blob's name (`sha256:…`). */
  read(digest: string): Promise<Buffer>;
  /** Puts anything under a blob's name. */
  write(digest: string, bytes: Uint8Array): Promise<void>;
  remove(digest: string): Promise<void>;
  /** What is left of uploads. */
  uploads(): Promise<string[]>;
  close(): Promise<void>;
}

/** Opens it; whoever does closes it. */
export function openRawBlobs(dataDirectory: string): RawBlobs {
  const s3 = s3Of(dataDirectory);
  const path = (digest: string): string => join("blobs", "sha256", digest.slice(7, 9), digest.slice(7));
  if (s3 === undefined) {
    return {
      read: (digest) => readFile(join(dataDirectory, path(digest))),
      write: (digest, bytes) => writeFile(join(dataDirectory, path(digest)), bytes),
      remove: (digest) => rm(join(dataDirectory, path(digest))),
      uploads: () => readdir(join(dataDirectory, "uploads")),
      close: () => Promise.resolve(),
    };
  }
  const client = new S3Client(s3);
  const key = (digest: string): string => `${s3.prefix}/${path(digest)}`;
  return {
    async read(digest) {
      const bytes = await client.bytes(key(digest), 64 * 1024 * 1024);
      if (bytes === undefined) throw new Error(`${digest} is not in S3`);
      return Buffer.from(bytes);
    },
    async write(digest, bytes) {
      await client.put(key(digest), bytes, { sha256: sha256Hex(bytes) });
    },
    remove: (digest) => client.delete(key(digest)),
    async uploads() {
      const keys: string[] = [];
      for await (const object of client.list(`${s3.prefix}/uploads/`)) keys.push(object.key);
      return keys;
    },
    close: () => client.close(),
  };
}

/** Opens it for as long as `work` takes. */
export async function withRawBlobs<T>(dataDirectory: string, work: (raw: RawBlobs) => Promise<T>): Promise<T> {
  const raw = openRawBlobs(dataDirectory);
  try {
    return await work(raw);
  } finally {
    await raw.close();
  }
}
