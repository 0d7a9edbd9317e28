import { z } from "zod";
import { enqueue } from "../jobs/operations.ts";
import { defineOperation } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { COLLECTION_LIMITS } from "./limits.ts";
import type { CollectionMode, CollectionTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** The job that runs a collection. */
export const COLLECT = "collection.run";

/** Runs of a job that fails, before it is dead. */
export const COLLECT_ATTEMPTS = 3;

const mode = z.enum(["collect", "preview"]);
const count = z.int().nonnegative();

const counts = {
  after: z.string().nullable(),
  looked: count,
  lookedBytes: count,
  collected: count,
  collectedBytes: count,
  leftovers: count,
  leftoverBytes: count,
};

async function openRun(
  transactor: Transactor,
  run: { readonly mode: CollectionMode; readonly requestedBy: string | null },
  time: number,
): Promise<number> {
  const tables = transactor.tables<CollectionTables>();
  const newest = await tables
    .selectFrom("collection_run")
    .select("id")
    .orderBy("id", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
  const id = (newest?.id ?? 0) + 1;
  await tables
    .insertInto("collection_run")
    .values({
      id,
      mode: run.mode,
      state: "running",
      requested_by: run.requestedBy,
      after: null,
      looked: 0,
      looked_bytes: 0,
      collected: 0,
      collected_bytes: 0,
      leftovers: 0,
      leftover_bytes: 0,
      started: time,
      updated: time,
      finished: null,
    })
    .execute();
  await tables
    .deleteFrom("collection_run")
    .where("id", "<=", id - COLLECTION_LIMITS.runs)
    .execute();
  return id;
}

export const collectionOperations = [
  // Somebody asks for a run: it is a job like those of the schedule.
  defineOperation({
    type: "collection.request",
    body: z.strictObject({ mode, requestedBy: z.string() }),
    run: async (transactor, body, { time }) => {
      const id = await openRun(transactor, body, time);
      await enqueue(transactor, { kind: COLLECT, body: { run: id }, maxAttempts: COLLECT_ATTEMPTS }, time);
      return { id };
    },
  }),
  defineOperation({
    type: "collection.begin",
    body: z.strictObject({}),
    run: async (transactor, _body, { time }) => {
      // One that was interrupted goes on where it was.
      const [newest] = await transactor
        .tables<CollectionTables>()
        .selectFrom("collection_run")
        .select(["id", "state"])
        .where("requested_by", "is", null)
        .orderBy("id", "desc")
        .limit(ONE_ROW)
        .execute();
      if (newest?.state === "running") return { id: newest.id };
      return { id: await openRun(transactor, { mode: "collect", requestedBy: null }, time) };
    },
  }),
  defineOperation({
    type: "collection.progress",
    body: z.strictObject({ id: z.int(), done: z.boolean(), ...counts }),
    run: async (transactor, { id, done, ...run }, { time }) => {
      await transactor
        .tables<CollectionTables>()
        .updateTable("collection_run")
        .set({
          state: done ? "done" : "running",
          after: run.after,
          looked: run.looked,
          looked_bytes: run.lookedBytes,
          collected: run.collected,
          collected_bytes: run.collectedBytes,
          leftovers: run.leftovers,
          leftover_bytes: run.leftoverBytes,
          updated: time,
          finished: done ? time : null,
        })
        .where("id", "=", id)
        // Somebody who slept while another brought the run to its end has nothing more to say of it.
        .where("state", "=", "running")
        .execute();
      return null;
    },
  }),
];
