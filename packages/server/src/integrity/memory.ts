import { createHash } from "node:crypto";
import { join } from "node:path";
import { canonicalJson, fromHex, type JsonValue, parseJson, toHex, utf8Encode } from "@assay/evidence";
import { z } from "zod";
import type { LogResume } from "../log/check.ts";
import { makeDurableDirectory, readIfThere, writeDurable } from "../storage/durable.ts";

/** A file of memory is at most this large, and holds at most so many findings; the rest is found again by the next check. */
const MAX_BYTES = 32 * 1024 * 1024;
export const REMEMBERED_FINDINGS = 10_000;

/** Checks remembered besides the newest full one. */
const REMEMBERED_CHECKS = 200;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();

/** A moment: when (ms since the epoch), and how many entries the log had. */
const momentSchema = z.strictObject({ time: count, size: count });
export type Moment = z.output<typeof momentSchema>;

const findingSchema = z.strictObject({
  kind: z.enum(["schema", "event", "leaf", "chain", "projection", "log", "tile", "checkpoint", "blob", "key"]),
  where: z.string(),
  problem: z.string(),
  action: z.string(),
  entry: count.optional(),
  since: z.strictObject({
    /** When it was found first. */
    found: momentSchema,
    /** The last check that covered it and found it whole; null when none is known. */
    whole: momentSchema.nullable(),
  }),
});

/** A finding, and since when. */
export type DatedFinding = z.output<typeof findingSchema>;

const passSchema = z.strictObject({
  /** `full` covers everything, `incremental` what came after event `from`, `scrub` all but tables and keys. */
  kind: z.enum(["full", "incremental", "scrub"]),
  from: count,
  /** Entries of the log then. */
  size: count,
  started: count,
  finished: count,
  findings: count,
});

/** A check that was carried through. */
export type Pass = z.output<typeof passSchema>;

const compactSchema = z.strictObject({ size: count, peaks: z.array(hash).max(64) });

const checksSchema = z.strictObject({
  passes: z.array(passSchema).max(REMEMBERED_CHECKS + 1),
  /** What the newest check could go on from, if it found everything whole. */
  resume: z.strictObject({ origin: z.string(), size: count, root: hash, time: count, tree: compactSchema }).nullable(),
  findings: z.array(findingSchema).max(REMEMBERED_FINDINGS),
});

/** What `assay server check` remembers. */
export type CheckMemory = z.output<typeof checksSchema>;

const scrubSchema = z.strictObject({
  /** The round under way. */
  round: z
    .strictObject({
      started: count,
      /** Bytes looked at. */
      bytes: count,
      phase: z.enum(["record", "blobs"]),
      record: z.strictObject({
        next: count,
        time: count,
        tree: compactSchema,
        /** The hashes of the tiles under way, by level. */
        levels: z.array(z.array(hash).max(256)).max(8),
        replaced: z.array(z.tuple([count, hash])),
        named: z.array(z.tuple([count, count, hash])),
      }),
      /** Entries under the newest signed checkpoint when the round's record phase ended. */
      size: count,
      /** The last blob looked at. */
      after: z.string().nullable(),
      /** What this round has found: `kind` and `where` of each. */
      found: z.array(z.string()),
    })
    .nullable(),
  /** Rounds carried through, the newest last. */
  passes: z.array(passSchema).max(REMEMBERED_CHECKS),
  findings: z.array(findingSchema).max(REMEMBERED_FINDINGS),
});

/** What the background scrub remembers. */
export type ScrubMemory = z.output<typeof scrubSchema>;

/** What a file of memory says, or why it says nothing. */
export type Recalled<T> =
  | { readonly kind: "there"; readonly memory: T }
  | { readonly kind: "nothing" }
  | { readonly kind: "damaged"; readonly problem: string };

/** Where what checks found is kept, outside the database: who puts an older database back does not take this back with it. */
export function checksDirectory(dataDirectory: string): string {
  return join(dataDirectory, "checks");
}

function digestOf(state: JsonValue): string {
  return createHash("sha256")
    .update(utf8Encode(canonicalJson(state)))
    .digest("hex");
}

async function recall<T>(path: string, schema: z.ZodType<T>): Promise<Recalled<T>> {
  try {
    const text = await readIfThere(path);
    if (text === undefined) return { kind: "nothing" };
    const outer = z
      .strictObject({ sha256: hash, state: z.record(z.string(), z.unknown()) })
      .parse(parseJson(utf8Encode(text), { maxBytes: MAX_BYTES, maxDepth: 16 }));
    if (digestOf(outer.state as JsonValue) !== outer.sha256) return { kind: "damaged", problem: "its digest is wrong" };
    return { kind: "there", memory: schema.parse(outer.state) };
  } catch (error) {
    if (error instanceof z.ZodError) return { kind: "damaged", problem: z.prettifyError(error) };
    return { kind: "damaged", problem: error instanceof Error ? error.message : String(error) };
  }
}

async function remember(path: string, directory: string, state: JsonValue): Promise<void> {
  await makeDurableDirectory(directory);
  await writeDurable(path, `${JSON.stringify({ sha256: digestOf(state), state })}\n`);
}

/** What `assay server check` knows of earlier checks. A damaged file is told from none, and is never believed. */
export function recallChecks(dataDirectory: string): Promise<Recalled<CheckMemory>> {
  return recall(join(checksDirectory(dataDirectory), "last-check.json"), checksSchema);
}

/** Atomic and durable. @throws what the file system does, when it cannot be written. */
export function rememberChecks(dataDirectory: string, memory: CheckMemory): Promise<void> {
  const directory = checksDirectory(dataDirectory);
  return remember(join(directory, "last-check.json"), directory, memory as unknown as JsonValue);
}

/** What the background scrub knows of what it has done. */
export function recallScrub(dataDirectory: string): Promise<Recalled<ScrubMemory>> {
  return recall(join(checksDirectory(dataDirectory), "scrub.json"), scrubSchema);
}

/** Atomic and durable. */
export function rememberScrub(dataDirectory: string, memory: ScrubMemory): Promise<void> {
  const directory = checksDirectory(dataDirectory);
  return remember(join(directory, "scrub.json"), directory, memory as unknown as JsonValue);
}

/** Adds a pass: the newest full one stays, and what came after it. */
export function withPass(passes: readonly Pass[], pass: Pass): Pass[] {
  if (pass.kind === "full") return [pass];
  const kept = [...passes, pass];
  const surplus = kept.length - REMEMBERED_CHECKS;
  return surplus <= 0 ? kept : kept.filter(({ kind }, at) => kind === "full" || at >= surplus);
}

/** A compact tree as it is kept. */
export function encodeTree(tree: LogResume["tree"]): { size: number; peaks: string[] } {
  return { size: tree.size, peaks: tree.peaks.map((peak) => toHex(peak)) };
}

export function decodeTree(tree: z.output<typeof compactSchema>): LogResume["tree"] {
  return { size: tree.size, peaks: tree.peaks.map((peak) => fromHex(peak)) };
}
