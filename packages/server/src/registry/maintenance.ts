import { randomUUID } from "node:crypto";
import type { JsonValue } from "@assay/evidence";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";
import { UPLOAD_MS } from "./limits.ts";

/** Sessions swept in one step. */
const SWEEP_STEP = 100;

/**
 * Takes away what ran out: upload sessions with their bytes, leases, and bytes of uploads that no session names (a crash left them, or a
 * host that wrote on after its claim was taken over). Safe to run at any time and in any process; an interrupted run is finished by
 * the next.
 *
 * @param now ms since the epoch.
 * @returns how many of each.
 */
export async function sweepRegistry(
  record: RecordClient,
  blobs: BlobStore,
  now: number = Date.now(),
): Promise<{ readonly uploads: number; readonly leases: number; readonly leftovers: number }> {
  let uploads = 0;
  for (;;) {
    const claim = randomUUID();
    const ids = texts(await record.operate("registry.claim-expired", { claim, limit: SWEEP_STEP }));
    // Together, so that the rows of a step go in few commits: sessions that nobody came back to may be many.
    await Promise.all(
      ids.map(async (id) => {
        await (await blobs.stage(id)).discard();
        await record.operate("registry.drop-expired", { id, claim });
      }),
    );
    uploads += ids.length;
    if (ids.length < SWEEP_STEP) break;
  }
  let ended = SWEEP_STEP;
  while (ended === SWEEP_STEP) ended = Number(await record.operate("registry.sweep-ended", { limit: SWEEP_STEP }));
  const leftovers = await sweepLeftovers(record, blobs, now - UPLOAD_MS);
  return { uploads, leases: Number(await record.operate("registry.sweep-leases", {})), leftovers };
}

/**
 * Removes staged bytes last written before `before` that belong to no session. A session's row is there before its first byte, and lasts as long as
 * they do, so what is old and has no row will never have one.
 */
async function sweepLeftovers(record: RecordClient, blobs: BlobStore, before: number): Promise<number> {
  let removed = 0;
  let names: string[] = [];
  const sweep = async (): Promise<void> => {
    const unknown = names.length === 0 ? [] : texts(await record.operate("registry.unknown-uploads", { names }));
    names = [];
    for (const name of unknown) {
      await blobs.removeStaged(name);
      removed += 1;
    }
  };
  for await (const name of blobs.listStaged(before)) {
    names.push(name);
    if (names.length === SWEEP_STEP) await sweep();
  }
  await sweep();
  return removed;
}

function texts(value: JsonValue): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/**
 * Frees every claim on an upload session. Only for the start of a server that is alone on its data: whoever held a claim is gone,
 * and uploads can go on at once.
 */
export async function releaseUploadClaims(record: RecordClient): Promise<void> {
  await record.operate("registry.release-claims", {});
}
