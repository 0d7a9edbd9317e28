import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestHex } from "@assay/evidence";
import { DirectoryBlobs } from "../src/storage/directory-blobs.ts";
import { type BlobPlace, blobSuite } from "./blob-suite.ts";
import { s3Place } from "./s3-place.ts";
import { startS3rver } from "./s3-server.ts";

async function directoryPlace(): Promise<BlobPlace> {
  const directory = await mkdtemp(join(tmpdir(), "assay-blobs-"));
  const damage = async (path: string): Promise<void> => {
    const file = await open(path, "r+");
    try {
      const at = (await file.stat()).size >> 1;
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ 1;
      await file.write(byte, 0, 1, at);
    } finally {
      await file.close();
    }
  };
  return {
    open: () => DirectoryBlobs.open(directory),
    damageBlob(digest) {
      const hex = digestHex(digest);
      return damage(join(directory, "blobs", "sha256", hex.slice(0, 2), hex));
    },
    damageStaged: (id) => damage(join(directory, "uploads", id)),
    leftovers: () => readdir(join(directory, "uploads")),
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
}

blobSuite("a directory", directoryPlace);

blobSuite("S3 (s3rver)", async () => {
  const server = await startS3rver();
  return await s3Place(server.location, () => server.stop());
});
