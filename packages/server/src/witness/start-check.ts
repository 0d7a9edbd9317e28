import { createHash } from "node:crypto";
import { type Crypto, emptyRoot, equalBytes, formatCheckpoint, parseVkey } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import { BEHIND, openCheckpoint, type SequencedLog } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import type { Reader } from "../storage/database.ts";
import { askWitness, shownCheckpoint } from "./ask.ts";
import type { Endpoint, WitnessPolicy } from "./policy-file.ts";

/** How long all witnesses together may keep a start waiting, ms. */
const PATIENCE_MS = 3_000;

/**
 * Holds the log against what its witnesses have cosigned, before this process signs anything: they remember even when the whole data
 * directory and the database were put back from an old backup. A start that reaches no witness goes on: what they would have said is
 * found when they are reached.
 *
 * To learn a witness's size without signing anything about ours, it is sent the checkpoint of the empty tree: that continues nothing and
 * contradicts nothing, whatever has become of this record.
 *
 * @returns what could not be asked, in words.
 * @throws ServerError `log-behind-checkpoint` when a witness cosigned more than the database holds, `log-inconsistent` when what it shows
 *   is signed by this log and is of another history.
 */
export async function askBeforeSigning(
  crypto: Crypto,
  { endpoints }: WitnessPolicy,
  log: SequencedLog,
  sign: (text: string) => string,
  reader: Reader,
): Promise<string[]> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const empty = sign(formatCheckpoint({ origin: log.origin, size: 0, root: emptyRoot(crypto), extensions: [] }));
  const notices = await Promise.all(
    endpoints.map(async (endpoint) => {
      const answer = await askWitness(crypto, endpoint, { old: 0, proof: [], note: empty }, signal);
      switch (answer.kind) {
        case "cosigned":
          return undefined;
        case "conflict":
          if (answer.size > log.size && answer.size > (await committedSize(reader, log.name))) {
            throw behind(endpoint, log.origin, answer.size, log.size);
          }
          return await compareShown(crypto, endpoint, log, signal);
        default:
          return `${namesOf(endpoint)}: ${answer.message}`;
      }
    }),
  );
  return notices.filter((notice) => notice !== undefined);
}

/** The error of a record that a witness has seen more of. */
export function behind(endpoint: Endpoint, origin: string, seen: number, held: number): ServerError {
  return new ServerError(
    "log-behind-checkpoint",
    `the database holds ${held} entries of ${origin}, but the witness ${namesOf(endpoint)} has cosigned ${seen}`,
    { hint: BEHIND },
  );
}

/** The policy's names of an endpoint's witnesses. */
export function namesOf(endpoint: Endpoint): string {
  return endpoint.witnesses.map(({ name }) => name).join(", ");
}

/** Entries the database has committed now; other hosts may have gone on since the log was opened. */
export async function committedSize(reader: Reader, name: string): Promise<number> {
  const row = await reader
    .tables<LogTables>()
    .selectFrom("log_state")
    .select("size")
    .where("name", "=", name)
    .executeTakeFirstOrThrow();
  return row.size;
}

/** Compares what the witness shows, if it shows anything, with the same number of our entries. */
async function compareShown(
  crypto: Crypto,
  endpoint: Endpoint,
  log: SequencedLog,
  signal: AbortSignal,
): Promise<string | undefined> {
  let size: number;
  let root: Uint8Array;
  try {
    const note = await shownCheckpoint(endpoint, createHash("sha256").update(log.origin).digest("hex"), signal);
    if (note === undefined) return undefined;
    // Signed by our own log's key, or it says nothing about us.
    ({ size, root } = await openCheckpoint(crypto, note, parseVkey(log.vkey), log.origin));
  } catch (error) {
    return `${namesOf(endpoint)}: what it shows cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (size > log.size || equalBytes(log.rootAt(size), root)) return undefined;
  throw new ServerError(
    "log-inconsistent",
    `the database holds another history of ${log.origin} than the ${size} entries that ${namesOf(endpoint)} has cosigned`,
    {
      hint: "the record was rewritten after it was signed: put the one back that was signed. Nothing will be signed until then",
    },
  );
}
