import type { BlobStore } from "./blobs.ts";
import { DirectoryBlobs } from "./directory-blobs.ts";
import { type BlobsLog, S3Blobs } from "./s3-blobs.ts";
import { S3Client } from "./s3-client.ts";
import type { S3Location } from "./s3-location.ts";
import { probe } from "./s3-probe.ts";

/** A store and its end. */
export interface OpenBlobs {
  readonly blobs: BlobStore;
  close(): Promise<void>;
}

/**
 * Opens the configured store for a server: S3 when there is a location, else the data directory. What S3 is asked first, and what of it
 * is worth saying, goes to `log`.
 *
 * @throws S3Error `blobs-refused`, `blobs-unavailable`: bucket, credentials or server are not as they must be.
 */
export async function openBlobs(
  config: { readonly dataDirectory: string; readonly s3?: S3Location | undefined },
  log: BlobsLog,
): Promise<OpenBlobs> {
  if (config.s3 === undefined) {
    return { blobs: await DirectoryBlobs.open(config.dataDirectory), close: () => Promise.resolve() };
  }
  const client = new S3Client(config.s3);
  const { conditional, checksums } = await probe(client, config.s3);
  const where = { endpoint: config.s3.endpoint, bucket: config.s3.bucket };
  if (!conditional) {
    log.warn(
      where,
      "this S3 server ignores If-None-Match: a blob's presence is asked for before it is written instead",
    );
  }
  if (!checksums) {
    log.warn(
      where,
      "this S3 server ignores x-amz-checksum-sha256: bytes damaged on the way there are found only when read",
    );
  }
  return s3(config.s3, client, conditional, log);
}

/** Opens the configured store to read it: nothing is written, not even to find out what S3 can do. */
export async function openBlobsToRead(
  config: { readonly dataDirectory: string; readonly s3?: S3Location | undefined },
  log: BlobsLog,
): Promise<OpenBlobs> {
  if (config.s3 === undefined) {
    return { blobs: DirectoryBlobs.openToRead(config.dataDirectory), close: () => Promise.resolve() };
  }
  return s3(config.s3, new S3Client(config.s3), true, log);
}

function s3(location: S3Location, client: S3Client, conditional: boolean, log: BlobsLog): OpenBlobs {
  const blobs = new S3Blobs({ client, prefix: location.prefix, conditional, log });
  return { blobs, close: () => blobs.close() };
}
