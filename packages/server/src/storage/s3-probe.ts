import { randomUUID } from "node:crypto";
import { S3Client, sha256Hex } from "./s3-client.ts";
import { S3Error } from "./s3-error.ts";
import type { S3Location } from "./s3-location.ts";
import { type RetryPolicy, retrying } from "./s3-retry.ts";

/** What an S3 server was found to do. */
export interface S3Abilities {
  /** `If-None-Match: *` keeps what is there (S3 user guide, "Conditional writes"). */
  readonly conditional: boolean;
  /** A wrong `x-amz-checksum-sha256` is refused. */
  readonly checksums: boolean;
}

/**
 * Finds out whether the bucket is there, may be read and written, and what the server enforces: writes a small object, writes it again
 * on condition that it is not there, writes another with a wrong checksum, and removes both. A crash leaves them under `uploads/`.
 *
 * @throws S3Error `blobs-refused` for a wrong bucket, region or credentials, `blobs-unavailable` when nothing answers.
 */
export async function probe(client: S3Client, location: S3Location): Promise<S3Abilities> {
  const root = location.prefix === "" ? "" : `${location.prefix}/`;
  const key = `${root}uploads/probe-${randomUUID()}`;
  const bytes = Buffer.from("assay");
  const sha256 = sha256Hex(bytes);
  // A refused checksum is otherwise a reason to send again; here it is the answer.
  const impatient = new S3Client(location, { retry: { attempts: 1, baseMs: 0, capMs: 0, deadlineMs: 0 } });
  try {
    await client.put(key, bytes, { sha256 });
    const conditional = (await client.put(key, bytes, { sha256, createOnly: true })) === "exists";
    const checksums = await refusesWrongChecksum(impatient, `${key}-wrong`, bytes, client.retry);
    // Reading and listing are asked for now, not at the first pull.
    await client.bytes(key, bytes.length);
    for await (const _ of client.list(key)) break;
    await client.delete(key);
    if (!checksums) await client.delete(`${key}-wrong`);
    return { conditional, checksums };
  } finally {
    await impatient.close();
  }
}

/** Whether it is refused. Anything else that fails is tried again by `retry`, as everywhere. */
async function refusesWrongChecksum(
  client: S3Client,
  key: string,
  bytes: Uint8Array,
  retry: RetryPolicy,
): Promise<boolean> {
  const checksum = Buffer.from(sha256Hex(Buffer.from("other bytes")), "hex").toString("base64");
  return await retrying(retry, async () => {
    try {
      await client.put(key, bytes, { sha256: sha256Hex(bytes), checksum });
      return false;
    } catch (error) {
      if (error instanceof S3Error && error.status === 400) return true;
      throw error;
    }
  });
}
