/** What a start finds after a crash, held against what was promised before it. */
import { createHash } from "node:crypto";
import { parseDigest } from "@assay/evidence";
import { checkDirectory } from "../../packages/server/src/admin/check.ts";
import { composeParts, MIGRATIONS } from "../../packages/server/src/composition.ts";
import { Keyring } from "../../packages/server/src/keys/keyring.ts";
import { MasterKey } from "../../packages/server/src/keys/master.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../../packages/server/src/record/command.ts";
import { keyDirectory, openRecord } from "../../packages/server/src/record/open.ts";
import type { RecordTables } from "../../packages/server/src/record/schema.ts";
import { findBlob, findManifest, resolveTag } from "../../packages/server/src/registry/queries.ts";
import type { BlobStore } from "../../packages/server/src/storage/blobs.ts";
import type { Reader } from "../../packages/server/src/storage/database.ts";
import { migrate } from "../../packages/server/src/storage/migrate.ts";
import { openBlobs } from "../../packages/server/src/storage/open-blobs.ts";
import { lockPlace, openWriter } from "../../packages/server/src/storage/open.ts";
import type { Promised } from "../../packages/server/test/write-load.ts";

const quiet = { warn: (): void => undefined };

/**
 * Opens a data directory as a server's start does, looks for everything promised, writes something more, and runs a full check.
 *
 * @returns what is wrong; empty when all is well.
 */
export async function examine(dataDirectory: string, promised: readonly Promised[]): Promise<string[]> {
  const wrong: string[] = [];
  const place = { dataDirectory };
  const lock = lockPlace(place);
  const database = openWriter(place);
  try {
    const master = MasterKey.choose(undefined, dataDirectory, !Keyring.hasKeys(keyDirectory(dataDirectory)));
    await migrate(database, MIGRATIONS);
    const { writer } = await openRecord({
      database,
      dataDirectory,
      master,
      parts: composeParts(),
      founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: "default" } }],
      host: undefined,
    });
    const store = await openBlobs({ dataDirectory }, quiet);
    for (const promise of promised) {
      const missing = await absent(database.reader(), store.blobs, promise);
      if (missing !== undefined) wrong.push(missing);
    }
    const more = await writer.append({
      type: "access.create-organisation",
      org: "after-crash",
      actor: { id: "admin", credential: { kind: "admin-token" } },
      body: { name: "after-crash" },
    });
    if (!more.ok) wrong.push(`the next write was refused: ${more.refusal.message}`);
    await writer.stop();
    await store.close();
  } catch (error) {
    return [...wrong, `it does not open: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`];
  } finally {
    await database.close();
    lock.release();
  }
  const report = await checkDirectory({
    dataDirectory,
    against: newestCheckpoint(promised),
    tell: () => undefined,
  });
  return [...wrong, ...report.findings.map(({ kind, where, problem }) => `check: ${kind} | ${where} | ${problem}`)];
}

/** The checkpoint of the newest receipt anybody holds: the record must still continue it. */
function newestCheckpoint(promised: readonly Promised[]): string | undefined {
  let newest: { size: number; checkpoint: string } | undefined;
  for (const promise of promised) {
    if (promise.kind === "event" && promise.receipt.size > (newest?.size ?? 0)) newest = promise.receipt;
  }
  return newest?.checkpoint;
}

async function absent(reader: Reader, blobs: BlobStore, promise: Promised): Promise<string | undefined> {
  switch (promise.kind) {
    case "event": {
      const { sequence, event, salt } = promise.receipt;
      const row = await reader
        .tables<RecordTables>()
        .selectFrom("event")
        .innerJoin("leaf", "leaf.sequence", "event.sequence")
        .select(["event.bytes", "leaf.salt"])
        .where("event.sequence", "=", sequence)
        .executeTakeFirst();
      if (row === undefined) return `event ${sequence} is lost`;
      const same =
        Buffer.from(row.bytes).toString("base64") === event && Buffer.from(row.salt).toString("base64") === salt;
      return same ? undefined : `event ${sequence} is another`;
    }
    case "blob": {
      const digest = parseDigest(promise.digest);
      if ((await findBlob(reader, promise.repository, digest, Date.now())) === undefined) {
        return `${promise.repository} lost the blob ${promise.digest}`;
      }
      return await lostBytes(blobs, promise.digest);
    }
    case "bytes":
      return await lostBytes(blobs, promise.digest);
    case "tag": {
      const found = await resolveTag(reader, promise.repository, promise.tag);
      if (found?.digest !== promise.digest) {
        return `${promise.repository}:${promise.tag} is ${found?.digest ?? "lost"}, not ${promise.digest}`;
      }
      return (await findManifest(reader, promise.repository, found.digest)) === undefined
        ? `${promise.repository} lost the manifest ${promise.digest}`
        : undefined;
    }
    case "no-tag":
      return (await resolveTag(reader, promise.repository, promise.tag)) === undefined
        ? undefined
        : `${promise.repository}:${promise.tag} is back`;
  }
}

async function lostBytes(blobs: BlobStore, digest: string): Promise<string | undefined> {
  if ((await blobs.size(parseDigest(digest))) === undefined) return `the bytes of ${digest} are lost`;
  const hash = createHash("sha256");
  for await (const chunk of (await blobs.read(parseDigest(digest))) as AsyncIterable<Uint8Array>) hash.update(chunk);
  return `sha256:${hash.digest("hex")}` === digest ? undefined : `the bytes of ${digest} are damaged`;
}
