import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseVkey, toHex } from "@assay/evidence";
import { Keyring, rawEd25519, type ServiceKey } from "../keys/keyring.ts";
import { MasterKey } from "../keys/master.ts";
import { readLogState } from "../log/check.ts";
import { bornLog } from "../record/born-log.ts";
import type { Finding } from "../record/finding.ts";
import { keyDirectory, RECORD_LOG } from "../record/open.ts";
import { boundKey, serviceKeys } from "../record/service-key-queries.ts";
import type { Reader } from "../storage/database.ts";
import { isMissing } from "../storage/durable.ts";

const ACTION =
  "put the key directory and the master key that belong to this record back: the server cannot start without them";

function found(where: string, problem: string): Finding {
  return { kind: "key", where, problem, action: ACTION };
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The service's private keys against the record: every key file opens under the master key and says what its private key does; every key
 * the record knows as not retired is among them; and the log's is the one its checkpoints are signed with.
 */
export async function* checkKeys(
  dataDirectory: string,
  masterKey: string | undefined,
  reader: Reader,
): AsyncGenerator<Finding> {
  const directory = keyDirectory(dataDirectory);
  const masterName = masterKey === undefined ? "master.key" : "ASSAY_MASTER_KEY";
  let master: MasterKey;
  let names: string[];
  try {
    master = MasterKey.choose(masterKey, dataDirectory, false);
    names = Keyring.fileNames(directory);
  } catch (error) {
    yield found(masterName, `the private keys cannot be opened: ${reason(error)}`);
    return;
  }
  if (masterKey === undefined && !isPlain(join(dataDirectory, "master.key"))) {
    yield found(masterName, "it is not written as a key is: 32 bytes in base64 or hex, and a newline");
  }
  const held: ServiceKey[] = [];
  const damaged: Finding[] = [];
  for (const name of names) {
    try {
      const key = Keyring.inspect(directory, name, master);
      if (name === `${key.purpose}.key.json`) held.push(key);
      else damaged.push(found(`keys/${name}`, `it holds the key of ${key.purpose}`));
    } catch (error) {
      damaged.push(found(`keys/${name}`, reason(error)));
    }
  }
  // Another master key opens none of them: that is one thing to mend, not one for each file.
  if (damaged.length > 1 && held.length === 0) yield found(masterName, "no private key opens under it");
  else yield* damaged;
  if (damaged.length > 0) return;
  for (const known of await serviceKeys(reader)) {
    if (known.retired || held.some(({ id }) => id === known.id)) continue;
    // Not of this database's state: it was restored, and the next start gives this key up (record/missing-keys.ts).
    if (known.purpose === "witness" && (await boundKey(reader, "witness")) !== known.id) continue;
    yield found(
      `${known.purpose} key ${known.id}`,
      "the record names it, but its private key is not in the key directory",
    );
  }
  const log = (await bornLog(reader)) ?? (await readLogState(reader, RECORD_LOG));
  const own = held.find(({ purpose }) => purpose === "log-record");
  if (log === undefined || own === undefined) return;
  if (publicKeyOf(log.vkey) !== toHex(rawEd25519(own))) {
    yield found(log.origin, "its signing key is not the one the log was born with");
  }
}

/** The public key of a vkey; undefined when it is none, which is found where it stands. */
function publicKeyOf(vkey: string): string | undefined {
  try {
    return toHex(parseVkey(vkey).publicKey);
  } catch {
    return undefined;
  }
}

/** Whether a master key's file is in the one spelling of its bytes, so that no bit of it can change unnoticed. */
function isPlain(path: string): boolean {
  try {
    const text = readFileSync(path, "utf8").replace(/\n$/, "");
    return /^[0-9a-f]{64}$/.test(text) || Buffer.from(text, "base64").toString("base64") === text;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
