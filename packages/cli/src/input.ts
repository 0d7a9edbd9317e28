import { readFile, stat } from "node:fs/promises";
import { EvidenceError } from "@assay/evidence";
import { CliError, Exit, fileError, usageError } from "./errors.ts";

/** The bytes of a file named on the command line. Errors: `file-too-large` (usage), and those of the file system. */
export async function readInput(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    if (found.size > maxBytes) throw usageError("file-too-large", `${path} is larger than ${maxBytes} bytes`);
    const bytes = await readFile(path);
    // A pipe or a growing file has no size to ask for before it is read.
    if (bytes.length > maxBytes) throw usageError("file-too-large", `${path} is larger than ${maxBytes} bytes`);
    return bytes;
  } catch (error) {
    throw fileError(path, error);
  }
}

/**
 * Parses what stood in a file given by the user: what is wrong with it is wrong usage, and names the file.
 *
 * @param otherwise what to give, where the file is not even JSON.
 */
export function parsing<T>(path: string, parse: () => T, otherwise?: string): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const hint = error.code === "json-invalid" ? (otherwise ?? error.hint) : error.hint;
    throw new CliError(error.code, `${path}: ${error.message}`, { exit: Exit.usage, hint, cause: error });
  }
}
