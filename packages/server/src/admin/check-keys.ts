import { parseVkey, toHex } from "@assay/evidence";
import { Keyring, rawEd25519 } from "../keys/keyring.ts";
import { MasterKey } from "../keys/master.ts";
import type { LogTables } from "../log/schema.ts";
import type { Finding } from "../record/finding.ts";
import { keyDirectory, RECORD_LOG } from "../record/open.ts";
import { serviceKeys } from "../record/service-key-queries.ts";
import type { Reader } from "../storage/database.ts";

const ACTION =
  "put the key directory and the master key that belong to this record back: the server cannot start without them";

/**
 * The service's private keys against the record: every key the record knows as not retired opens under the master key and is the one it
 * names, and the log's is the one its checkpoints are signed with.
 */
export async function* checkKeys(
  dataDirectory: string,
  masterKey: string | undefined,
  reader: Reader,
): AsyncGenerator<Finding> {
  let keyring: Keyring;
  try {
    const master = MasterKey.choose(masterKey, dataDirectory, false);
    keyring = Keyring.open(keyDirectory(dataDirectory), master);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    yield { kind: "key", where: "private keys", problem: `they cannot be opened: ${problem}`, action: ACTION };
    return;
  }
  for (const known of await serviceKeys(reader)) {
    if (known.retired) continue;
    const held = keyring.find(known.id);
    if (held === undefined) {
      yield {
        kind: "key",
        where: `${known.purpose} key ${known.id}`,
        problem: "the record names it, but its private key is not in the key directory",
        action: ACTION,
      };
    }
  }
  const log = await reader
    .tables<LogTables>()
    .selectFrom("log_state")
    .select(["origin", "vkey"])
    .where("name", "=", RECORD_LOG)
    .executeTakeFirst();
  if (log === undefined || !keyring.has("log-record")) return;
  if (toHex(parseVkey(log.vkey).publicKey) !== toHex(rawEd25519(keyring.key("log-record")))) {
    yield {
      kind: "key",
      where: log.origin,
      problem: "its signing key is not the one the log was born with",
      action: ACTION,
    };
  }
}
