import { type Digest, parseDigest } from "@assay/evidence";
import type { BlobStore } from "../storage/blobs.ts";
import { isSigned } from "./evidence-bytes.ts";
import type { EvidenceRow } from "./queries.ts";

/** Reads under way at once for one request: half of the threads for files, so that others have some as well. */
const WIDTH = 4;

/** Larger pieces are read when they are asked for: what waits in memory for one request stays below a megabyte. */
const MAX_BYTES = 256 * 1024;

/**
 * A store's small reads with those of the next pieces under way already: who goes through pieces in order waits for the disk or the store
 * about once, and not once for each. Each piece is read at most once ahead; whatever else is asked for, or asked for again, is read then.
 *
 * @param rows the pieces in the order they will be read in; those that nobody signed are not read for judging and not read here.
 */
export function readingAhead(
  blobs: Pick<BlobStore, "read" | "readSmall">,
  rows: readonly Pick<EvidenceRow, "digest" | "size" | "form" | "wrapping">[],
): Pick<BlobStore, "read" | "readSmall"> {
  const next = rows
    .filter((row) => isSigned(row) && row.size <= MAX_BYTES)
    .map((row) => parseDigest(row.digest))
    .values();
  const begun = new Map<Digest, Promise<Uint8Array>>();
  const goOn = (): void => {
    while (begun.size < WIDTH) {
      const { value: digest, done } = next.next();
      if (done === true) return;
      if (begun.has(digest)) continue;
      const reading = blobs.readSmall(digest, MAX_BYTES);
      // Whoever asks for it gets the error; when nobody does, there is nobody to tell.
      reading.catch(() => undefined);
      begun.set(digest, reading);
    }
  };
  goOn();
  return {
    read: (digest, range) => blobs.read(digest, range),
    async readSmall(digest, maxBytes) {
      // A store may hold more under a name than the row says: then it is for the limit of whoever asks to refuse it.
      const bytes = await begun.get(digest)?.catch(() => undefined);
      begun.delete(digest);
      goOn();
      return bytes === undefined || bytes.length > maxBytes ? await blobs.readSmall(digest, maxBytes) : bytes;
    },
  };
}
