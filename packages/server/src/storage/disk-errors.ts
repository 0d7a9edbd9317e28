import { ServerError } from "../errors.ts";

/** What the disk under a file says, by the error codes of the operating system (errno(3)). */
const SYSTEM: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk quota is used up"],
  ["EROFS", "the disk is read-only"],
  ["EIO", "the disk failed to read or write"],
]);

/** The same, by SQLite's primary result codes (https://sqlite.org/rescode.html). */
const SQLITE: ReadonlyMap<number, string> = new Map([
  [8, "the disk of the database is read-only"],
  [10, "the disk of the database failed to read or write"],
  [13, "the disk of the database is full"],
  [14, "a file of the database cannot be opened"],
]);

/**
 * An error of the disk as one of ours, which asks the client to come back later; others, and ours, come back as they are. What failed left
 * nothing half-written, and the same request succeeds once the disk is mended: nothing need be started again.
 */
export function translateDiskError(error: unknown): unknown {
  if (error instanceof ServerError || !(error instanceof Error)) return error;
  const system = "code" in error && typeof error.code === "string" ? SYSTEM.get(error.code) : undefined;
  // Extended codes hold the primary one in their low byte.
  const sqlite = "errcode" in error && typeof error.errcode === "number" ? SQLITE.get(error.errcode & 0xff) : undefined;
  const problem = system ?? sqlite;
  if (problem === undefined) return error;
  return new ServerError("storage-failed", problem, {
    cause: error,
    hint: "make room on the disk of ASSAY_DATA, or mend it; a running server goes on by itself",
  });
}
