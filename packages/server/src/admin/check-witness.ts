import {
  equalBytes,
  EvidenceError,
  NOTE_COSIGNATURE_ED25519,
  type NoteKey,
  noteKey,
  openNote,
  parseCheckpoint,
  parseNote,
  parsePublicKeyPem,
  verifyCosignatures,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { Finding } from "../record/finding.ts";
import { serviceKeys } from "../record/service-key-queries.ts";
import type { Reader } from "../storage/database.ts";
import type { WitnessLogs } from "../witness/logs-file.ts";
import type { WitnessTables } from "../witness/schema.ts";

/** Rows read at a time: a note can have a quarter of a megabyte. */
const PAGE = 50;

const ACTION = "restore the database: with this row wrong, the witness could contradict what it cosigned before";

/** The raw 32 bytes at the end of an Ed25519 SubjectPublicKeyInfo (RFC 8410, section 4). */
const RAW_SIZE = 32;

/**
 * What we cosigned of others' logs: each row against the checkpoint it keeps, and that against our own cosignature.
 *
 * @param logs the keys of those logs; undefined: their own signatures are not judged.
 */
export async function* checkWitnessed(reader: Reader, logs: WitnessLogs | undefined): AsyncGenerator<Finding> {
  const own: Uint8Array[] = [];
  for (const { id, publicKeyPem } of await serviceKeys(reader, "witness")) {
    try {
      own.push(parsePublicKeyPem(publicKeyPem).spki.slice(-RAW_SIZE));
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      yield {
        kind: "projection",
        where: `table key, row of ${id}`,
        problem: `its public key cannot be read: ${error.message}`,
        action: "stop the server and run `assay server rebuild`: it refills the tables from the events",
      };
    }
  }
  // INVARIANT: each row is read once. A name with a damaged byte reads as another text, which may sort before the name that is stored: the rows after
  // that text then have this one among them again, for ever.
  const seen = new Set<string>();
  let after = "";
  for (;;) {
    const rows = await reader
      .tables<WitnessTables>()
      .selectFrom("witnessed_log")
      .selectAll()
      .where("origin", ">", after)
      .orderBy("origin")
      .limit(PAGE)
      .execute();
    for (const row of rows) {
      if (seen.has(row.origin)) {
        const problem = "it comes again after itself: its name is no text, and what lies behind it was not looked at";
        yield { kind: "checkpoint", where: `table witnessed_log, row of ${row.origin}`, problem, action: ACTION };
        return;
      }
      seen.add(row.origin);
      const problem = await problemOf(row, own, logs?.get(row.origin)).catch((error: unknown) =>
        error instanceof Error ? error.message : String(error),
      );
      if (problem === undefined) continue;
      yield { kind: "checkpoint", where: `table witnessed_log, row of ${row.origin}`, problem, action: ACTION };
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.origin;
  }
}

async function problemOf(
  row: WitnessTables["witnessed_log"],
  own: readonly Uint8Array[],
  log: readonly NoteKey[] | undefined,
): Promise<string | undefined> {
  const { text, signatures } = parseNote(row.note);
  const { origin, size, root } = parseCheckpoint(text);
  if (origin !== row.origin || size !== row.size || !equalBytes(root, row.root)) {
    return "its columns say something else than the checkpoint it keeps";
  }
  // Our cosignatures go by the name of the host then: whatever name stands there, the key is ours or it is not.
  const names = new Set(signatures.map(({ name }) => name));
  const keys = [...names].flatMap((name) => own.map((raw) => noteKey(name, NOTE_COSIGNATURE_ED25519, raw)));
  const cosignatures = await verifyCosignatures(nodeCrypto, row.note, keys);
  if (!cosignatures.some(({ time }) => time === row.time)) return "it carries no cosignature of ours of that time";
  if (log !== undefined) await openNote(nodeCrypto, row.note, log);
  return undefined;
}
