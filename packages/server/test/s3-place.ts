/** The blob suite's place in any S3 server, and stores over it that fail as told. */
import { randomUUID } from "node:crypto";
import { digestHex } from "@assay/evidence";
import { S3Blobs } from "../src/storage/s3-blobs.ts";
import { S3Client, type S3ClientOptions, sha256Hex } from "../src/storage/s3-client.ts";
import type { S3Location } from "../src/storage/s3-location.ts";
import { probe } from "../src/storage/s3-probe.ts";
import type { BlobPlace } from "./blob-suite.ts";

/** Retries as in service, at a test's pace. */
export const QUICK: S3ClientOptions = {
  retry: { attempts: 6, baseMs: 2, capMs: 20, deadlineMs: 20_000 },
  headersMs: 2_000,
  bodyMs: 2_000,
};

export interface S3Place extends BlobPlace {
  readonly location: S3Location;
  /** A client of its own, for looking behind the stores. */
  readonly client: S3Client;
  readonly warnings: string[];
  /** A store that reaches the place through another endpoint. */
  openAt(endpoint: string): Promise<S3Blobs>;
}

/** A fresh prefix in a bucket. `end` stops the server, if it is this place's own. */
export async function s3Place(server: S3Location, end: () => Promise<void>): Promise<S3Place> {
  const location = { ...server, prefix: `${server.prefix}/${randomUUID()}` };
  const client = new S3Client(location, QUICK);
  const { conditional } = await probe(client, location);
  const open: S3Blobs[] = [];
  const warnings: string[] = [];
  const log = { warn: (_detail: object, message: string) => void warnings.push(message) };
  const openAt = async (endpoint: string): Promise<S3Blobs> => {
    const there = new S3Client({ ...location, endpoint }, QUICK);
    const store = new S3Blobs({ client: there, prefix: location.prefix, conditional, log });
    open.push(store);
    return store;
  };
  const uploads = async (prefix: string): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of client.list(`${location.prefix}/uploads/${prefix}`)) keys.push(key);
    return keys;
  };
  const damage = async (key: string): Promise<void> => {
    const bytes = Buffer.from((await client.bytes(key, 64 * 1024 * 1024)) ?? []);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await client.put(key, bytes, { sha256: sha256Hex(bytes) });
  };
  return {
    location,
    client,
    warnings,
    open: () => openAt(location.endpoint),
    openAt,
    async damageBlob(digest) {
      const hex = digestHex(digest);
      await damage(`${location.prefix}/blobs/sha256/${hex.slice(0, 2)}/${hex}`);
    },
    async damageStaged(id) {
      const [first] = await uploads(`${id}/`);
      if (first === undefined) throw new Error(`nothing is staged for ${id}`);
      await damage(first);
    },
    leftovers: () => uploads(""),
    async dispose() {
      await Promise.all([...open.map((store) => store.close()), client.close()]);
      await end();
    },
  };
}
