import {
  closeSync,
  constants,
  fdatasyncSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  writeSync,
} from "node:fs";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { ALIGNMENT, isAligned } from "./aligned-memory.ts";

const syncing = promisify(fsync);

/** Whether an I/O error says that the file is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** A small text file whole; undefined when it is not there. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * Makes a directory's entries durable: after a rename or a creation, the name itself is on disk only when its directory has
 * been synced.
 */
export async function syncDirectory(path: string): Promise<void> {
  // Whoever syncs a directory has just used it: opening it waits for no disk.
  const descriptor = openSync(path, "r");
  try {
    await syncing(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** From this many bytes on a file is written past the kernel's cache, where its bytes lie so that the disk can take them. */
const DIRECT_FROM = 128 * 1024;

/** How file systems say that they have no direct I/O, or not for memory or blocks like these. */
const NOT_DIRECT = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP"]);

/** Whether a file system here has refused direct I/O. */
let directRefused = false;

/**
 * Makes a file that is not there yet, without leaving the thread: for threads that do nothing else (file-thread.ts). When it returns the bytes
 * are on disk; the name is only when its directory was synced. When it throws, what there is of the file is the caller's to remove.
 *
 * On Linux many bytes of {@link isAligned} memory go to the disk without a copy in the kernel's cache. A server that takes gigabytes would fill
 * that with them, in place of what is read, and to find the pages for it costs more than all else about a write.
 */
export function writeNewFile(path: string, bytes: Uint8Array, mode = 0o600): void {
  const descriptor = openSync(path, "wx", mode);
  try {
    const there = writeDirectly(path, bytes);
    writeFrom(descriptor, path, bytes, there, bytes.length);
    // Of the whole file, whichever descriptor its bytes came through.
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function writeFrom(fd: number, path: string, bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const written = writeSync(fd, bytes, at, end - at, at);
    if (written === 0) throw Object.assign(new Error(`nothing more could be written to ${path}`), { code: "EIO" });
    at += written;
  }
}

/**
 * Writes what direct I/O can take, whole blocks, into a file that was made just now.
 *
 * @returns bytes from the beginning that need not be written any more.
 */
function writeDirectly(path: string, bytes: Uint8Array): number {
  const whole = bytes.length - (bytes.length % ALIGNMENT);
  if (process.platform !== "linux" || directRefused || whole < DIRECT_FROM || !isAligned(bytes)) return 0;
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_WRONLY | constants.O_DIRECT);
    writeFrom(descriptor, path, bytes, 0, whole);
    return whole;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && NOT_DIRECT.has(String(error.code)))) throw error;
    directRefused = true;
    return 0;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** {@link syncDirectory}, without leaving the thread. */
export function syncDirectorySync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Makes the directory of a file, and every missing parent: for what holds no facts. */
export function makeDirectorySync(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

/** Directories whose names this process has made durable. */
const durableDirectories = new Set<string>();

/**
 * Creates a directory and every missing parent, and makes each name durable.
 *
 * INVARIANT: that a directory is there does not say that its name is on disk. Another request may have made it a moment ago, or a process
 * that was killed before it could sync; so the first use in each process syncs, whoever made it.
 *
 * @param within an ancestor whose own name needs no syncing; else the parent.
 */
export async function makeDurableDirectory(path: string, within = dirname(path)): Promise<void> {
  const first = await makeDirectories(path);
  if (first === undefined && durableDirectories.has(path)) return;
  const top = first !== undefined && dirname(first).length < within.length ? dirname(first) : within;
  for (let current = path; current !== top; current = dirname(current)) await syncDirectory(current);
  await syncDirectory(top);
  durableDirectories.add(path);
}

/** @returns the first directory that was not there; undefined when all were. */
async function makeDirectories(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  // Node looks for the directory after whatever failed, and then says that it is missing: where the file system is read-only, for one.
  try {
    await mkdir(path, 0o700);
    return path;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return undefined;
    throw error;
  }
}

/** Whether this process has made a directory's name durable, as {@link makeDurableDirectory} does: as far as it is still there. */
export function isDurableDirectory(path: string): boolean {
  return durableDirectories.has(path);
}

let replacements = 0;

/**
 * Replaces a small file atomically and durably: temporary file, sync, rename, directory sync. A reader sees the old bytes or the
 * new ones; after a crash one of both is there.
 */
export async function writeDurable(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  // Of two that replace one file at once, each has its own: the later rename stands, and neither fails.
  replacements += 1;
  const temporary = `${path}.${process.pid}.${replacements}.tmp`;
  const handle = await open(temporary, "w", mode);
  try {
    await handle.writeFile(bytes);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  // COMMIT POINT of a small file. Before: the former content, or none, under this name. After the rename: the new content for every
  // reader and through a kill; after the directory's sync, through a power loss too.
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * {@link writeDurable} for the writer's hot path, without leaving the thread and without the directory sync: after a power loss
 * the name may still lead to the former content, which is whole.
 *
 * That is enough for the newest checkpoint. What it must not do is to run ahead of the database, and it is written after the commit. That
 * it may fall behind by the last moments before a power loss takes nothing from the database that survived the same loss; and each
 * publication, {@link writeDurable} in the same directory, ends it.
 */
export function replaceSynced(path: string, bytes: string): void {
  const temporary = `${path}.tmp`;
  const descriptor = openSync(temporary, "w", 0o600);
  try {
    writeSync(descriptor, bytes);
    fdatasyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  // COMMIT POINT of the newest checkpoint. Before: the former one is under this name. After: this one, through a kill; through a power
  // loss one of both, each of them whole and over what the database has committed.
  renameSync(temporary, path);
}
