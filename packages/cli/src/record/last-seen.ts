import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { EvidenceError, type JsonObject, isJsonObject, LIMITS, parseJson } from "@assay/evidence";
import { writeFileAtomically } from "../atomic.ts";
import { configPath } from "../config.ts";
import type { Environment } from "../environment.ts";
import { CliError, Exit, fileError, systemCode } from "../errors.ts";

/** What is remembered of a server's record: the log key taken at first use, and the newest checkpoint that was proven. */
export type LastSeen = {
  readonly server: string;
  /** The log's verifier key (C2SP signed-note). */
  readonly vkey: string;
  /** The signed note itself: shown to others it is evidence of what the server said. */
  readonly checkpoint: string;
};

const FILE_BYTES = 4 * LIMITS.noteBytes;

/** One file per server, beside the configuration. */
export function lastSeenPath(env: Environment, server: string): string {
  const { host } = new URL(server);
  // The host is for people; the hash keeps servers apart that differ in scheme or path.
  const name = `${host.replace(/[^A-Za-z0-9.-]/g, "_").slice(0, 100)}-${createHash("sha256").update(server).digest("hex").slice(0, 16)}`;
  return join(dirname(configPath(env)), "records", `${name}.json`);
}

/** What is remembered, undefined before first use. A damaged file is an error: to forget is what an attacker would want. */
export async function readLastSeen(env: Environment, server: string): Promise<LastSeen | undefined> {
  const path = lastSeenPath(env, server);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw fileError(path, error);
  }
  const { server: of, vkey, checkpoint, version } = parse(path, bytes);
  if (version !== 1 || of !== server || typeof vkey !== "string" || typeof checkpoint !== "string") {
    throw damaged(path, "it is not of this form or of this server");
  }
  return { server, vkey, checkpoint };
}

/** Remembers; another program sees the old file or the new one. */
export async function writeLastSeen(env: Environment, seen: LastSeen): Promise<void> {
  const text = `${JSON.stringify({ version: 1, ...seen }, null, 2)}\n`;
  await writeFileAtomically(lastSeenPath(env, seen.server), text, { mode: 0o600, makeFolders: 0o700 });
}

/** Keeps what contradicts the last seen checkpoint: both notes together prove that the server bent its record. */
export async function keepConflict(env: Environment, seen: LastSeen, conflicting: string, now: Date): Promise<string> {
  const path = `${lastSeenPath(env, seen.server).slice(0, -".json".length)}.conflict-${now.toISOString().replaceAll(/[:.]/g, "")}.json`;
  const text = `${JSON.stringify({ version: 1, ...seen, conflicting, foundAt: now.toISOString() }, null, 2)}\n`;
  await writeFileAtomically(path, text, { mode: 0o600, makeFolders: 0o700 });
  return path;
}

function parse(path: string, bytes: Uint8Array): JsonObject {
  try {
    const value = parseJson(bytes, { maxBytes: FILE_BYTES, maxDepth: 4 });
    if (isJsonObject(value)) return value;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw damaged(path, error.message, error);
  }
  throw damaged(path, "it is no JSON object");
}

function damaged(path: string, why: string, cause?: unknown): CliError {
  return new CliError("last-seen-damaged", `${path}, which remembers the record, is damaged: ${why}`, {
    exit: Exit.unknown,
    hint: "Restore the file. If you remove it, the next `assay record verify` trusts the server anew.",
    cause,
  });
}
