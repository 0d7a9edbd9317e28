import { ServerError } from "../errors.ts";
import { KEY_ALGORITHMS, type KeyPurpose, Keyring, type ServiceKey } from "../keys/keyring.ts";
import type { MasterKey } from "../keys/master.ts";
import type { Reader } from "../storage/database.ts";
import type { RecordClient } from "./client.ts";
import { type Command, type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "./command.ts";
import { boundKey, serviceKeys } from "./service-key-queries.ts";

/**
 * Keys whose signatures rest on state that only the database has, and that no backup holds. Such a key lives and dies with that state:
 * with an older copy of it the same key would contradict itself.
 */
const BOUND: ReadonlySet<KeyPurpose> = new Set<KeyPurpose>(["witness"]);

const PURPOSES = Object.keys(KEY_ALGORITHMS) as KeyPurpose[];

/** The command that records a key. */
function createKeyCommand(key: ServiceKey): Command {
  return system("keys.create", {
    id: key.id,
    purpose: key.purpose,
    algorithm: key.algorithm,
    publicKey: key.publicKeyPem,
  });
}

function system(type: string, body: JsonObject): Command {
  return { type, org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body };
}

/**
 * Makes the keys of a record that is not founded yet. Those a crashed start left are used, save a bound key this database does not know:
 * it may have signed over the state of another.
 */
export async function makeFoundingKeys(directory: string, master: MasterKey, reader: Reader): Promise<Keyring> {
  const keyring = Keyring.open(directory, master);
  for (const purpose of PURPOSES) {
    const foreign =
      BOUND.has(purpose) && keyring.has(purpose) && keyring.key(purpose).id !== (await boundKey(reader, purpose));
    if (foreign || !keyring.has(purpose)) await Keyring.create(directory, master, purpose);
  }
  return Keyring.open(directory, master);
}

/** Records the keys of a record in its founding batch; binds those that are bound before. */
export async function foundingKeyCommands(record: RecordClient, keyring: Keyring): Promise<Command[]> {
  for (const purpose of BOUND) await record.operate("keys.bind", { purpose, id: keyring.key(purpose).id });
  return PURPOSES.map((purpose) => createKeyCommand(keyring.key(purpose)));
}

/**
 * Gives an existing record the keys it lacks: those of purposes that came with a newer program, and a bound key that was lost with its
 * state, which is retired and followed by a new one.
 *
 * Each step can be repeated after a crash: the key's file is durable before the binding, the binding before the event. To be called by
 * one host at a time.
 *
 * INVARIANT: a bound key that the record names and does not retire is the one `bound_key` names, and the database has seen everything
 * it signed. A restored database has no binding, or an older one, and a record whose log had to be succeeded may have an older copy of
 * that state: the key that belongs to what was lost is never used again.
 *
 * @param shared set when other hosts use the database: a private key that is not here may then be at another host, and stays in use.
 * @returns the keyring, with the new keys.
 */
export async function recordMissingKeys(options: {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly directory: string;
  readonly master: MasterKey;
  readonly keyring: Keyring;
  readonly shared: boolean;
}): Promise<Keyring> {
  const { reader, record, directory, master } = options;
  let { keyring } = options;
  const known = await serviceKeys(reader);
  for (const purpose of PURPOSES) {
    const current = known.findLast((key) => key.purpose === purpose && !key.retired);
    const retire: Command[] = [];
    if (current !== undefined) {
      // Any other key that is not here is missed when it is used: the operator has to put it back (`key-missing`).
      if (!BOUND.has(purpose)) continue;
      // A log's successor is founded on an older state of everything: of what bound keys signed over, too.
      const outlived = known.indexOf(current) < known.findLastIndex((key) => key.purpose === "log-record");
      const bound = !outlived && (await boundKey(reader, purpose)) === current.id;
      if (bound && (keyring.find(current.id) !== undefined || options.shared)) continue;
      retire.push(system("keys.retire", { id: current.id }));
    }
    // A file that the record does not know was made by a start that crashed after making it.
    const made = keyring.has(purpose) ? keyring.key(purpose).id : undefined;
    if (made === undefined || known.some((key) => key.id === made)) {
      await Keyring.create(directory, master, purpose);
      keyring = Keyring.open(directory, master);
    }
    const key = keyring.key(purpose);
    if (BOUND.has(purpose)) await record.operate("keys.bind", { purpose, id: key.id });
    const recorded = await record.append([...retire, createKeyCommand(key)]);
    if (!recorded.ok) {
      throw new ServerError("internal", `the key ${key.id} could not be recorded: ${recorded.refusal.message}`);
    }
  }
  return keyring;
}
