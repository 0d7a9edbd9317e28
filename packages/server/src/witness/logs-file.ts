import { readFileSync } from "node:fs";
import { EvidenceError, NOTE_ED25519, type NoteKey, parseVkey, toHex } from "@assay/evidence";
import { ServerError } from "../errors.ts";

/** Logs one server witnesses at most. */
const MOST_LOGS = 10_000;

/** The logs this server witnesses: their keys by origin. A log may have several, while it changes its key. */
export type WitnessLogs = ReadonlyMap<string, readonly NoteKey[]>;

/**
 * Reads the file of the logs to witness: a verifier key a line, whose name is the log's origin; empty lines and lines that start with #
 * are left out.
 *
 * @param own our own logs, which we never witness: origins, and public keys in hex.
 * @throws ServerError `config-invalid`, naming the line.
 */
export function readWitnessLogs(path: string, own: ReadonlySet<string>): WitnessLogs {
  const logs = new Map<string, NoteKey[]>();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ServerError("config-invalid", `ASSAY_WITNESS_LOGS: ${path} cannot be read`, { cause });
  }
  let count = 0;
  for (const [index, line] of text.split("\n").entries()) {
    const vkey = line.trim();
    if (vkey === "" || vkey.startsWith("#")) continue;
    const where = `ASSAY_WITNESS_LOGS: line ${index + 1} of ${path}`;
    const key = readKey(vkey, where);
    if (own.has(key.name) || own.has(toHex(key.publicKey))) {
      throw new ServerError("config-invalid", `${where} names our own log: our own witness counts for nothing there`, {
        hint: "take the line out; ask somebody else to witness this log (ASSAY_WITNESS_POLICY)",
      });
    }
    const keys = logs.get(key.name) ?? [];
    if (keys.some((other) => toHex(other.publicKey) === toHex(key.publicKey))) {
      throw new ServerError("config-invalid", `${where}: this key of ${key.name} is there already`);
    }
    logs.set(key.name, [...keys, key]);
    count += 1;
    if (count > MOST_LOGS) throw new ServerError("config-invalid", `${where}: more than ${MOST_LOGS} keys`);
  }
  return logs;
}

function readKey(vkey: string, where: string): NoteKey {
  let key: NoteKey;
  try {
    key = parseVkey(vkey);
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause;
    throw new ServerError("config-invalid", `${where}: ${cause.message}`, { cause, hint: cause.hint });
  }
  if (key.algorithm !== NOTE_ED25519) {
    throw new ServerError(
      "config-invalid",
      `${where}: the key is of type ${key.algorithm}; only Ed25519 (1) is supported`,
    );
  }
  return key;
}
