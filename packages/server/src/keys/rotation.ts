import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { ServerError } from "../errors.ts";
import { syncDirectory, writeDurable } from "../storage/durable.ts";
import { Keyring } from "./keyring.ts";
import { comingKeyPath, MasterKey, masterKeyPath } from "./master.ts";

/** What a change of the master key is done with. */
export interface RotationOptions {
  readonly dataDirectory: string;
  /** The folder of the key files. */
  readonly keyDirectory: string;
  /** ASSAY_MASTER_KEY: what the keys are under now; undefined: `master.key` of the data directory. */
  readonly configured: string | undefined;
  /** ASSAY_NEW_MASTER_KEY: what they are to be under; undefined: a fresh one, which becomes `master.key`. */
  readonly next: string | undefined;
}

/** One durable step of a change of the master key. */
export type RotationStep =
  | { readonly step: "new-key-written"; readonly path: string }
  | { readonly step: "resealed"; readonly name: string }
  | { readonly step: "new-key-in-place"; readonly path: string }
  | { readonly step: "old-key-removed"; readonly path: string };

/**
 * Seals every private key under another master key, a durable step at a time. Which master key a key file is under, the file says
 * itself: it opens under one only. Begun again after a crash anywhere, this goes on where it was.
 *
 * With a fresh key a server can be started at every moment between: it knows `master.key.new` too (`MasterKey.coming`). With one that was
 * given, between the first key file and the last, it cannot, and says so.
 *
 * To be done by one process at a time, and while no key is made.
 *
 * @throws ServerError `key-unreadable` when a key file opens under neither; then nothing was changed in this run.
 */
export async function* rotateMasterKey(options: RotationOptions): AsyncGenerator<RotationStep> {
  const { dataDirectory, keyDirectory, configured, next } = options;
  const path = masterKeyPath(dataDirectory);
  const coming = comingKeyPath(dataDirectory);
  if (next !== undefined && existsSync(coming)) {
    throw new ServerError("config-invalid", "a change to a fresh master key was begun here and not finished", {
      hint: "finish it first: run this again without ASSAY_NEW_MASTER_KEY",
    });
  }
  const names = Keyring.hasKeys(keyDirectory) ? Keyring.fileNames(keyDirectory) : [];
  if (names.length === 0) throw new ServerError("key-missing", `there are no private keys in ${keyDirectory}`);

  const given = next === undefined ? undefined : MasterKey.parse(next);
  if (given === undefined && configured !== undefined && existsSync(path) && !existsSync(coming)) {
    // Finished already, but for ASSAY_MASTER_KEY, which still names the old one.
    const current = MasterKey.fromDirectory(dataDirectory, false);
    if (!opens(keyDirectory, MasterKey.parse(configured)) && opens(keyDirectory, current)) return;
  }
  // What was finished but for its last step is finished now: the old master key's file may be gone by then.
  const from =
    configured === undefined && given !== undefined && !existsSync(path)
      ? given
      : MasterKey.choose(configured, dataDirectory, false);
  if (given !== undefined && given !== from && given.equals(from)) {
    throw new ServerError("config-invalid", "ASSAY_NEW_MASTER_KEY is the master key of now", {
      hint: "make another: openssl rand -base64 32",
    });
  }
  // Nothing is begun that cannot be ended: each file opens under the one or the other.
  Keyring.open(keyDirectory, given === undefined ? from : from.with(given));

  let to = given ?? MasterKey.coming(dataDirectory);
  if (to === undefined) {
    await writeDurable(coming, `${randomBytes(32).toString("base64")}\n`);
    to = MasterKey.coming(dataDirectory);
    if (to === undefined) throw new ServerError("internal", `${coming} was written and is not there`);
    yield { step: "new-key-written", path: coming };
  }
  for (const name of names) {
    if (await Keyring.reseal(keyDirectory, name, from, to)) yield { step: "resealed", name };
  }
  // All of them, by the new key alone, before the old one is let go.
  Keyring.open(keyDirectory, to);
  if (given === undefined) {
    // COMMIT POINT of the change. Before: both master keys are on disk, and starts know both. After: the new one alone, which opens all.
    await rename(coming, path);
    await syncDirectory(dataDirectory);
    yield { step: "new-key-in-place", path };
  } else if (configured === undefined && existsSync(path)) {
    // The new key is not in this directory, by the operator's will; the old one opens nothing any more.
    await rm(path);
    await syncDirectory(dataDirectory);
    yield { step: "old-key-removed", path };
  }
}

function opens(keyDirectory: string, master: MasterKey): boolean {
  try {
    Keyring.open(keyDirectory, master);
    return true;
  } catch (error) {
    if (error instanceof ServerError && error.code === "key-unreadable") return false;
    throw error;
  }
}
