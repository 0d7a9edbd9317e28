import { randomBytes } from "node:crypto";
import { link, mkdir, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CliError, Exit, fileError, systemCode } from "./errors.ts";

export type AtomicOptions = {
  /** Permission bits of the file; the process's umask does not widen or narrow them. */
  readonly mode: number;
  /** Make missing folders, with these permission bits. */
  readonly makeFolders?: number;
  /** Fail with `file-exists` rather than replace an existing file. */
  readonly exclusive?: boolean;
};

/**
 * Writes a whole file so that nobody ever sees a part of it: a temporary file beside it, flushed to disk, then renamed.
 * With `exclusive` it is linked instead, which fails if the name is taken, also when two processes race.
 * Errors: `directory-missing`, and those of the file system.
 */
export async function writeFileAtomically(
  path: string,
  data: string | Uint8Array,
  options: AtomicOptions,
): Promise<void> {
  try {
    if (options.makeFolders !== undefined) await mkdir(dirname(path), { recursive: true, mode: options.makeFolders });
    const temporary = temporaryBeside(path);
    try {
      const file = await open(temporary, "wx", options.mode);
      try {
        await file.chmod(options.mode);
        await file.writeFile(data);
        await file.sync();
      } finally {
        await file.close();
      }
      await putInPlace(temporary, path, options.exclusive === true);
    } catch (error) {
      await removeIfThere(temporary);
      throw error;
    }
  } catch (error) {
    // The file itself is made here: what can be missing is where it should be.
    if (systemCode(error) === "ENOENT") {
      throw new CliError("directory-missing", `the directory ${dirname(path)} does not exist`, {
        exit: Exit.unknown,
        hint: "Make it, or choose another place.",
        cause: error,
      });
    }
    throw fileError(path, error);
  }
}

/** A name for a temporary file in the folder of `path`, so that the later rename stays within one file system. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path).slice(0, 100)}.${randomBytes(6).toString("hex")}.tmp`);
}

/** Gives a finished temporary file its name and makes the name durable. */
export async function putInPlace(temporary: string, path: string, exclusive: boolean): Promise<void> {
  if (exclusive) {
    await link(temporary, path);
    await unlink(temporary);
  } else {
    await rename(temporary, path);
  }
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes a temporary file; that it is gone already is no error. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}
