import { randomBytes } from "node:crypto";
import { closeSync, fdatasyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isMissing, syncDirectorySync } from "../storage/durable.ts";

/** How long another host's replacement, which takes microseconds, is waited for, ms. */
const LOCK_WAIT_MS = 250;

/** The size a checkpoint note names: its second line. Good for comparing notes this service wrote itself, and nothing else. */
function sizeOfNote(note: string): number {
  const size = Number(note.split("\n", 2)[1]);
  return Number.isSafeInteger(size) ? size : -1;
}

/**
 * Replaces checkpoint files in a directory that several hosts share: a newer one is never replaced by an older.
 *
 * INVARIANT: comparing and renaming happen under one operating-system lock, which ends with its process. A host that is stopped between
 * the two for longer than the wait cannot hold up the others, so it could still put an older (never a different) checkpoint back when
 * it goes on; every host looks after the file once a moment and puts the newest back (`SequencedLog.mendPublication`).
 */
export class CheckpointFile {
  readonly #lock: DatabaseSync;
  /** Two hosts, or two processes of one, never write the same temporary file. */
  readonly #own = randomBytes(6).toString("hex");

  constructor(directory: string) {
    this.#lock = new DatabaseSync(join(directory, "publish.lock"));
    this.#lock.exec(`pragma busy_timeout = ${LOCK_WAIT_MS}`);
  }

  /**
   * Puts `note` at `path` unless a newer one is there, durably: synced before the rename, the name after it.
   *
   * @param same what happens to another note of the same size: it stays, unless other signatures may make the new one better.
   * @returns whether it was put there.
   */
  advance(path: string, note: string, mode = 0o600, same: "newer-only" | "same-size-too" = "newer-only"): boolean {
    if (!this.#isOlder(path, note, same)) return false;
    const temporary = `${path}.${this.#own}.tmp`;
    const descriptor = openSync(temporary, "w", mode);
    try {
      writeSync(descriptor, note);
      fdatasyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    const locked = this.#take();
    try {
      if (!this.#isOlder(path, note, same)) {
        rmSync(temporary);
        return false;
      }
      // COMMIT POINT of a checkpoint in a shared directory. Before: the former one is there. After, once its directory is synced: this
      // one, for every host; it is newer than the former one, which was compared under the lock.
      renameSync(temporary, path);
    } finally {
      if (locked) this.#lock.exec("rollback");
    }
    syncDirectorySync(dirname(path));
    return true;
  }

  close(): void {
    if (this.#lock.isOpen) this.#lock.close();
  }

  #take(): boolean {
    try {
      this.#lock.exec("begin immediate");
      return true;
    } catch (error) {
      // SQLITE_BUSY: the holder was stopped. See the invariant above.
      if (error instanceof Error && "errcode" in error && error.errcode === 5) return false;
      throw error;
    }
  }

  #isOlder(path: string, note: string, same: "newer-only" | "same-size-too"): boolean {
    try {
      const there = readFileSync(path, "utf8");
      if (there === note) return false;
      const [old, given] = [sizeOfNote(there), sizeOfNote(note)];
      // Of another log: this one was closed, and its successor's files are here. A host that was stopped all the while does not know.
      if (old >= 0 && there.split("\n", 1)[0] !== note.split("\n", 1)[0]) return false;
      return old < given || (old === given && same === "same-size-too");
    } catch (error) {
      if (isMissing(error)) return true;
      throw error;
    }
  }
}
