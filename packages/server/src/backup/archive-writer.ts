import { once } from "node:events";
import { type FileHandle, lstat, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import { ServerError } from "../errors.ts";
import { isMissing, syncDirectory } from "../storage/durable.ts";
import { INDEX, type Index, jsonBytes, sha256 } from "./format.ts";

/** Pieces are gathered to this size before they are written, bytes. */
const WRITE_BYTES = 1024 * 1024;

/** From this size on a header says it in a pax record too: ustar's octal field ends here (POSIX.1-2024, pax). */
const PAX_SIZE = 8 * 1024 ** 3;

/** Where an archive goes. */
export interface ArchiveTarget {
  /** A path, or `-` for standard output. */
  readonly to: string;
  readonly encrypt: ((source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>) | undefined;
  readonly time: Date;
}

/**
 * Writes an archive member by member, as a stream. Under its name it is there whole or not at all: it is written beside it, synced and
 * renamed. Of what goes to standard output the index at its end says that it is whole.
 */
export class ArchiveWriter {
  readonly members: [name: string, size: number, sha256: string][] = [];
  readonly #target: ArchiveTarget;
  readonly #pack = pack();
  readonly #handle: FileHandle | undefined;
  readonly #temporary: string;
  readonly #written: Promise<void>;
  #bytes = 0;
  /** Why nothing more could be written: what ends the backup, whatever else fails because of it. */
  #unwritable: ServerError | undefined;

  private constructor(target: ArchiveTarget, handle: FileHandle | undefined, temporary: string) {
    this.#target = target;
    this.#handle = handle;
    this.#temporary = temporary;
    this.#written = this.#drain();
    // A failure is met by the next member, or at the end; until then it is not unhandled.
    this.#written.catch((error: unknown) => {
      this.#pack.destroy(error instanceof Error ? error : new Error(String(error)));
    });
    this.#pack.on("error", () => undefined);
  }

  /** @throws ServerError `backup-refused` when something is under that name: no backup is ever overwritten. */
  static async create(target: ArchiveTarget): Promise<ArchiveWriter> {
    if (target.to === "-") return new ArchiveWriter(target, undefined, "");
    await refuseExisting(target.to);
    const temporary = `${target.to}.${process.pid}.tmp`;
    try {
      return new ArchiveWriter(target, await open(temporary, "wx", 0o600), temporary);
    } catch (cause) {
      throw new ServerError("backup-refused", `${temporary} cannot be written`, {
        cause,
        hint: "name a file in a directory this user can write with --to; remove a .tmp file that a killed backup left there",
      });
    }
  }

  /** Bytes written so far, as they lie in the file. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A member that is at hand. */
  async add(name: string, bytes: Uint8Array): Promise<void> {
    this.members.push([name, bytes.length, sha256(bytes)]);
    await this.#entry(name, bytes.length, [bytes]);
  }

  /** A member as a stream of exactly `size` bytes, whose name says its digest. */
  async stream(name: string, size: number, source: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#entry(name, size, source);
  }

  /**
   * Ends the archive: its index, then a sync, then its name.
   *
   * @returns the archive's id.
   */
  async finish(index: Index): Promise<string> {
    const bytes = jsonBytes(index);
    await this.#entry(INDEX, bytes.length, [bytes]);
    this.#pack.finalize();
    await this.#written;
    if (this.#handle !== undefined) {
      await this.#handle.sync();
      await this.#handle.close();
      await refuseExisting(this.#target.to);
      // COMMIT POINT of a backup. Before: nothing is under its name. After the directory's sync: the whole archive is.
      await rename(this.#temporary, this.#target.to);
      await syncDirectory(dirname(this.#target.to));
    }
    return sha256(bytes);
  }

  /** Leaves nothing behind. Harmless after {@link finish}. */
  async abort(): Promise<void> {
    this.#pack.destroy();
    await this.#written.catch(() => undefined);
    if (this.#handle === undefined) return;
    await this.#handle.close();
    await rm(this.#temporary, { force: true });
  }

  async #entry(name: string, size: number, source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const header = { name, size, mode: 0o600, mtime: this.#target.time, type: "file" as const };
    const entry = this.#pack.entry(size < PAX_SIZE ? header : { ...header, pax: { size: String(size) } });
    // Its streams are not Node's own, but keep to the same protocol.
    try {
      await pipeline(source, entry as unknown as NodeJS.WritableStream);
    } catch (error) {
      throw this.#unwritable ?? error;
    }
  }

  async #drain(): Promise<void> {
    const source = this.#pack as unknown as AsyncIterable<Uint8Array>;
    const encrypted = this.#target.encrypt === undefined ? source : this.#target.encrypt(source);
    let waiting: Uint8Array[] = [];
    let size = 0;
    const flush = async (): Promise<void> => {
      const bytes = Buffer.concat(waiting);
      waiting = [];
      size = 0;
      try {
        if (this.#handle !== undefined) await this.#handle.writeFile(bytes);
        else if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
      } catch (cause) {
        const where = this.#target.to === "-" ? "standard output" : this.#target.to;
        this.#unwritable = new ServerError(
          "storage-failed",
          `the archive cannot be written to ${where}: ${cause instanceof Error ? cause.message : String(cause)}`,
          { cause, hint: "make room there, or name another place with --to" },
        );
        throw this.#unwritable;
      }
      this.#bytes += bytes.length;
    };
    for await (const piece of encrypted) {
      waiting.push(piece);
      size += piece.length;
      if (size >= WRITE_BYTES) await flush();
    }
    if (size > 0) await flush();
  }
}

async function refuseExisting(path: string): Promise<void> {
  try {
    // The name itself: a file that this user cannot read, and a link that leads nowhere, are there too.
    await lstat(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  throw new ServerError("backup-refused", `${path} is there already`, {
    hint: "name a new file: a backup never replaces another",
  });
}
