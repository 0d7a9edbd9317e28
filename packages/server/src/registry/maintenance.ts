import { randomUUID } from "node:crypto";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";

/** Sessions swept in one step. */
const SWEEP_STEP = 100;

/**
 * Takes away what ran out: upload sessions with their bytes, and leases. Safe to run at any time and in any process; an
 * interrupted run is finished by the next.
 *
 * @returns how many of each.
 */
export async function sweepRegistry(
  record: RecordClient,
  blobs: BlobStore,
): Promise<{ readonly uploads: number; readonly leases: number }> {
  let uploads = 0;
  for (;;) {
    const claim = randomUUID();
    const expired = await record.operate("registry.claim-expired", { claim, limit: SWEEP_STEP });
    const ids = Array.isArray(expired) ? expired.filter((id) => typeof id === "string") : [];
    for (const id of ids) {
      await (await blobs.stage(id)).discard();
      await record.operate("registry.drop-upload", { id, claim });
      uploads += 1;
    }
    if (ids.length < SWEEP_STEP) break;
  }
  return { uploads, leases: Number(await record.operate("registry.sweep-leases", {})) };
}

/**
 * Frees every claim on an upload session. Only for the start of a server that is alone on its data: whoever held a claim is gone,
 * and uploads can go on at once.
 */
export async function releaseUploadClaims(record: RecordClient): Promise<void> {
  await record.operate("registry.release-claims", {});
}
