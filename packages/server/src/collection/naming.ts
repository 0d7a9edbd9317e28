import type { Digest } from "@assay/evidence";
import { digestOf } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { Appended, RecordClient } from "../record/client.ts";
import type { Actor, Command } from "../record/command.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { generationOf } from "./generation.ts";
import { COLLECTION_LIMITS } from "./limits.ts";

/** The refusal of what names bytes that were collected before it could be recorded. */
export const BLOB_COLLECTED = "blob-collected";

/** Who names bytes, and where they are put. */
export interface Naming {
  readonly reader: Reader;
  readonly blobs: BlobStore;
}

/**
 * Puts bytes where an event is about to name them.
 *
 * WHY NOTHING THAT IS NAMED IS EVER COLLECTED. A digest's bytes lie in generations. (1) Which one counts is a row of the record
 * (`collected_blob`), raised only by `collection.blobs-collected`, in a transaction that finds nothing that needs the bytes
 * (collection/commands.ts). (2) Bytes are removed only of generations below the one that counts. (3) Whoever is to name bytes reads the
 * generation, puts them there durably, and names them in a transaction that finds the same generation still counting: the command this
 * returns says so, and is accepted or refused with what names them. The record has one writer at a time, so collection comes wholly before
 * that transaction or wholly after: before, (3) fails and the bytes are put again, under the next generation; after, (1) finds the name.
 * However long whoever collects sleeps between the transaction and the removal, what it removes then counts no more, by (2). What somebody who
 * slept puts into an ended generation counts for nothing, by (3), and goes with the next run. A crash leaves bytes that nothing names, or
 * none: never a name without bytes.
 *
 * @returns the command to append together with those that name the bytes.
 */
export async function store(
  { reader, blobs }: Naming,
  { org, actor }: { readonly org: string; readonly actor: Actor },
  bytes: Uint8Array,
): Promise<Command> {
  const digest = digestOf(nodeCrypto, bytes);
  // Read before the bytes are put: see above.
  const generation = await generationOf(reader, digest);
  await blobs.putSmall(bytes, generation);
  return requireStored({ org, actor }, digest, generation);
}

/** The command that is refused when the bytes of a digest were collected since somebody saw `generation` count. */
export function requireStored(
  { org, actor }: { readonly org: string; readonly actor: Actor },
  digest: Digest,
  generation: number,
): Command {
  return { type: "collection.require", org, actor, body: { digest, generation } };
}

/**
 * Appends what names bytes. Where they were collected before that was on record, they are put again.
 *
 * @param make puts the bytes ({@link store}) and returns the commands; called again when it was too slow.
 */
export async function appendNaming(record: RecordClient, make: () => Promise<readonly Command[]>): Promise<Appended> {
  for (let attempt = 1; ; attempt += 1) {
    const appended = await record.append(await make());
    if (appended.ok || appended.refusal.code !== BLOB_COLLECTED || attempt >= COLLECTION_LIMITS.attempts)
      return appended;
  }
}
