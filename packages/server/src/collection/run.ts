import type { Digest } from "@assay/evidence";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { RecordClient } from "../record/client.ts";
import { type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../record/command.ts";
import type { BlobEntry, BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { collectResult, type Keeps, keptAt } from "./commands.ts";
import { FIRST_GENERATION } from "../storage/generations.ts";
import { generationsOf } from "./generation.ts";
import { COLLECTION_LIMITS } from "./limits.ts";
import { findRun, type RunRow } from "./queries.ts";

/** Removals under way at once: in S3 each is a request. */
const AT_ONCE = 8;

/** How often progress is kept, ms: what a killed process repeats at most. */
const KEEP_MS = 2_000;

/** What a run works with. */
export interface CollectionContext {
  readonly record: RecordClient;
  readonly reader: Reader;
  readonly blobs: BlobStore;
  readonly keeps: Keeps;
  /** How long what was deleted is kept, ms. */
  readonly graceMs: number;
}

/** How a run is driven. */
export interface RunControl {
  readonly signal?: AbortSignal;
  /** Called now and then while it goes on. */
  readonly renew?: () => Promise<void>;
}

/** What a run did, or a preview found to do. */
export interface CollectionCounts {
  after: string | null;
  looked: number;
  lookedBytes: number;
  collected: number;
  collectedBytes: number;
  leftovers: number;
  leftoverBytes: number;
}

/** A digest as it lies in the store: its generations, each with its bytes. */
interface Lying {
  readonly digest: Digest;
  readonly generations: { readonly generation: number; readonly bytes: number }[];
}

/**
 * Goes over the store once, a few hundred digests at a time, and collects what nothing needs. Others push, mount, delete and collect
 * meanwhile; it holds nobody up for longer than one step, and goes on where it was when it is interrupted.
 */
export async function runCollection(
  context: CollectionContext,
  run: RunRow,
  { signal, renew }: RunControl = {},
): Promise<CollectionCounts> {
  const counts: CollectionCounts = {
    after: run.after,
    looked: run.looked,
    lookedBytes: run.looked_bytes,
    collected: run.collected,
    collectedBytes: run.collected_bytes,
    leftovers: run.leftovers,
    leftoverBytes: run.leftover_bytes,
  };
  const tell = async (done: boolean): Promise<void> => {
    const body: JsonObject = { id: run.id, done, ...counts };
    await context.record.operate("collection.progress", body);
  };
  const after = run.after as Digest | null;
  let told = Date.now();
  const failures: unknown[] = [];
  for await (const step of inSteps(context.blobs.entries(after ?? undefined))) {
    signal?.throwIfAborted();
    await collectStep(context, run, step, { counts, failures });
    counts.after = step.at(-1)?.digest ?? counts.after;
    if (Date.now() - told < KEEP_MS) continue;
    await tell(false);
    await renew?.();
    told = Date.now();
  }
  await tell(true);
  if (failures.length > 0) throw notRemoved(failures);
  return counts;
}

/**
 * The work of the job.
 *
 * @param asked the run somebody asked for; undefined: one of the schedule, which goes on where the last was interrupted.
 */
export async function collectionJob(
  context: CollectionContext,
  asked: number | undefined,
  control: RunControl,
): Promise<void> {
  const begun = async (): Promise<number> =>
    z.strictObject({ id: z.int() }).parse(await context.record.operate("collection.begin", {})).id;
  const run = await findRun(context.reader, asked ?? (await begun()));
  // Asked for so long ago that it is forgotten: later ones have done its work.
  if (run !== undefined) await runCollection(context, run, control);
}

/** The store's entries by digest, so many digests at a time. */
async function* inSteps(entries: AsyncIterable<BlobEntry>): AsyncGenerator<Lying[]> {
  let step: Lying[] = [];
  for await (const { digest, generation, bytes } of entries) {
    let last = step.at(-1);
    if (last?.digest !== digest) {
      if (step.length === COLLECTION_LIMITS.step) {
        yield step;
        step = [];
      }
      last = { digest, generations: [] };
      step.push(last);
    }
    last.generations.push({ generation, bytes });
  }
  if (step.length > 0) yield step;
}

async function collectStep(
  context: CollectionContext,
  run: RunRow,
  step: readonly Lying[],
  { counts, failures }: { readonly counts: CollectionCounts; readonly failures: unknown[] },
): Promise<void> {
  const { reader, graceMs } = context;
  const digests = step.map(({ digest }) => digest);
  // The generations first: what is of one that ended before the rooms are asked may be needed again, under a newer one.
  const current = await generationsOf(reader, digests);
  // Asked without holding anybody up. What this says is kept, is not collected now; all else is asked again in the transaction.
  const kept = await context.keeps(reader, digests, await keptAt(reader, Date.now(), graceMs));
  const removals: (() => Promise<void>)[] = [];
  const remove = (
    digest: Digest,
    { generation, bytes }: Lying["generations"][number],
    as: "leftover" | "collected",
  ) => {
    counts[as === "leftover" ? "leftovers" : "collected"] += 1;
    counts[as === "leftover" ? "leftoverBytes" : "collectedBytes"] += bytes;
    removals.push(() => context.blobs.remove(digest, generation));
  };
  const asked = new Map<string, Lying>();
  for (const lying of step) {
    const { digest, generations } = lying;
    const counting = current.get(digest) ?? FIRST_GENERATION;
    counts.looked += generations.length;
    for (const { bytes } of generations) counts.lookedBytes += bytes;
    if (!kept.has(digest)) asked.set(digest, lying);
    // INVARIANT: bytes of an ended generation count for nothing beside those of the one that counts, which is what everybody who names
    // bytes puts them into. Where they are all there is, a restored record may stand on them, as a backup does not say in which
    // generation bytes lay: they go only when nothing needs them.
    else if (generations.some(({ generation }) => generation >= counting)) {
      for (const one of generations) if (one.generation < counting) remove(digest, one, "leftover");
    }
  }
  await collect(context, run, asked, current, remove);
  if (run.mode === "preview") return;
  for (let at = 0; at < removals.length; at += AT_ONCE) {
    const ended = await Promise.allSettled(removals.slice(at, at + AT_ONCE).map((removal) => removal()));
    for (const one of ended) {
      if (one.status === "fulfilled") continue;
      if (!isRefused(one.reason)) throw one.reason;
      failures.push(one.reason);
    }
    if (failures.length > COLLECTION_LIMITS.failures) throw notRemoved(failures);
  }
}

/** Whether an error is the store's word on a removal: every other is a fault of this program, or its end. */
function isRefused(error: unknown): boolean {
  return error instanceof ServerError || (error instanceof Error && "code" in error && typeof error.code === "string");
}

/** What counts no more lies there still: a later run removes it. */
function notRemoved(failures: readonly unknown[]): ServerError {
  const [first] = failures;
  const why = first instanceof Error ? first.message : String(first);
  return new ServerError(
    "storage-failed",
    `${failures.length} collected blobs could not be removed; the first: ${why}`,
    {
      cause: first,
      hint: "they do no harm; look why the store refuses",
    },
  );
}

/** Has the generations of what nothing needs ended, if nothing needs it still, and says what may go then. */
async function collect(
  { record, graceMs }: CollectionContext,
  run: RunRow,
  asked: ReadonlyMap<string, Lying>,
  current: ReadonlyMap<string, number>,
  remove: (digest: Digest, one: Lying["generations"][number], as: "leftover" | "collected") => void,
): Promise<void> {
  const counting = (digest: string): number => current.get(digest) ?? FIRST_GENERATION;
  if (asked.size === 0) return;
  let gone: ReadonlyMap<string, number>;
  if (run.mode === "preview") {
    // As a run has it: all that lies there, also what is ahead of the record.
    const newest = ({ generations }: Lying): number => Math.max(...generations.map((one) => one.generation));
    gone = new Map([...asked.values()].map((one) => [one.digest, Math.max(counting(one.digest), newest(one))]));
  } else {
    const blobs: JsonObject[] = [...asked.values()].map(({ digest, generations }) => {
      const newest = generations.reduce((one, other) => (other.generation > one.generation ? other : one));
      return { digest, size: newest.bytes, generation: newest.generation };
    });
    const body = { blobs, graceMs, requestedBy: run.requested_by };
    const appended = await record.append({ type: "collection.collect", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body });
    if (!appended.ok) throw new ServerError("internal", `garbage was not collected: ${appended.refusal.message}`);
    const { collected, leftovers } = collectResult.parse(appended.results[0]);
    // Only what the durable event ended, or an earlier one: everything up to the last generation that ended.
    gone = new Map([
      ...collected.map(({ digest, generation }) => [digest, generation - 1] as const),
      ...leftovers.map((digest) => [digest, counting(digest) - 1] as const),
    ]);
  }
  for (const { digest, generations } of asked.values()) {
    const last = gone.get(digest);
    if (last === undefined) continue;
    for (const one of generations) {
      if (one.generation <= last) remove(digest, one, one.generation < counting(digest) ? "leftover" : "collected");
    }
  }
}
