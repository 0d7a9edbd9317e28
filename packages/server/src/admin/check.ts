import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeCrypto } from "@assay/evidence/node";
import { checkKeys } from "./check-keys.ts";
import { composeParts, MIGRATIONS } from "../composition.ts";
import { checkLog, readLogFiles } from "../log/check.ts";
import { EventChecker, storedEvents } from "../record/check-events.ts";
import type { Finding } from "../record/finding.ts";
import { RECORD_LOG, recordLogDirectory } from "../record/open.ts";
import { compareProjections, replayEvent } from "../record/replay.ts";
import { checkBlobs } from "../storage/check-blobs.ts";
import { openBlobsToRead } from "../storage/open-blobs.ts";
import type { S3Location } from "../storage/s3-location.ts";
import { migrate } from "../storage/migrate.ts";
import { type DatabasePlace, openReader } from "../storage/open.ts";
import { openSqliteWriter } from "../storage/sqlite.ts";

/** What was looked at, and what was wrong. */
export interface CheckReport {
  readonly events: number;
  readonly blobBytes: number;
  readonly findings: readonly Finding[];
}

/** Events replayed into the scratch database per transaction. */
const REPLAY_BATCH = 1000;

/** What is checked, and against what. */
export interface CheckOptions extends DatabasePlace {
  readonly s3?: S3Location | undefined;
  /** ASSAY_MASTER_KEY, where it is set: what the private keys open under. */
  readonly masterKey?: string | undefined;
  /** A checkpoint note kept elsewhere: the record must still continue it. */
  readonly against?: string | undefined;
  /** Hears, now and then, where the check has got to. */
  readonly tell: (line: string) => void;
}

/**
 * Re-verifies everything a data directory holds: events against their leaves and chains, tables against events, the log against its
 * checkpoints and tiles, blobs against their digests. It writes nothing there, and can run beside a running server.
 *
 * With PostgreSQL the tables are still refilled into SQLite for comparison: the same rows come of the same events in both.
 */
export async function checkDirectory(options: CheckOptions): Promise<CheckReport> {
  const { dataDirectory, databaseUrl, s3, masterKey, against, tell } = options;
  const parts = composeParts();
  const reader = openReader({ dataDirectory, databaseUrl });
  const scratch = await mkdtemp(join(tmpdir(), "assay-check-"));
  const findings: Finding[] = [];
  const expected = openSqliteWriter(join(scratch, "expected.db"));
  try {
    await migrate(expected, MIGRATIONS);
    const files = await readLogFiles(recordLogDirectory(dataDirectory));
    // One read transaction: while the server goes on writing, everything below sees the same moment.
    return await reader.snapshot(async (snapshot) => {
      const checker = new EventChecker(nodeCrypto);
      let pending: Parameters<typeof replayEvent>[2][] = [];
      let replaying = true;
      const replay = async (): Promise<void> => {
        const events = pending;
        pending = [];
        if (!replaying || events.length === 0) return;
        try {
          await expected.transaction(async (batch) => {
            for (const event of events) await replayEvent(batch, parts, event);
          });
        } catch (error) {
          replaying = false;
          findings.push({
            kind: "event",
            where: `events ${events[0]?.sequence ?? 0} to ${events.at(-1)?.sequence ?? 0}`,
            problem: `they cannot be replayed: ${error instanceof Error ? error.message : String(error)}`,
            action: "mend what is named above first; tables after this point were not compared",
          });
        }
      };
      let count = 0;
      for await (const event of storedEvents(snapshot)) {
        const checked = checker.check(event);
        findings.push(...checked.findings);
        pending.push(event);
        count += 1;
        if (pending.length >= REPLAY_BATCH) {
          await replay();
          tell(`events: ${count}`);
        }
      }
      await replay();
      tell(`events: ${count}`);
      if (replaying) {
        for await (const finding of compareProjections(snapshot, expected.reader(), parts)) findings.push(finding);
        tell("tables compared");
      }
      const commitments = async function* (): AsyncGenerator<Uint8Array> {
        for await (const event of storedEvents(snapshot)) if (event.commitment !== null) yield event.commitment;
      };
      for await (const finding of checkLog({
        name: RECORD_LOG,
        reader: snapshot,
        files,
        against,
        crypto: nodeCrypto,
        entries: commitments(),
      })) {
        findings.push(finding);
      }
      tell("log compared");
      for await (const finding of checkKeys(dataDirectory, masterKey, snapshot)) findings.push(finding);
      let blobBytes = 0;
      const store = await openBlobsToRead({ dataDirectory, s3 }, { warn: (_detail, message) => tell(message) });
      try {
        for await (const finding of checkBlobs(store.blobs, parts.blobs(snapshot), (bytes) => {
          blobBytes += bytes;
        })) {
          findings.push(finding);
        }
      } finally {
        await store.close();
      }
      tell(`blobs: ${blobBytes} bytes`);
      return { events: count, blobBytes, findings };
    });
  } finally {
    await reader.close();
    await expected.close();
    await rm(scratch, { recursive: true, force: true });
  }
}
