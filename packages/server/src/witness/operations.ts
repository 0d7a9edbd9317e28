import { fromHex } from "@assay/evidence";
import { z } from "zod";
import { defineOperation, type RecordPart } from "../record/command.ts";
import { boundKey } from "../record/service-key-queries.ts";
import type { WitnessTables } from "./schema.ts";

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().nonnegative();
const note = z.string().max(256 * 1024);

/** What came of an attempt to cosign. */
export const cosignedAnswer = z.discriminatedUnion("outcome", [
  z.strictObject({ outcome: z.literal("recorded") }),
  /** Another checkpoint was cosigned meanwhile, of this size. */
  z.strictObject({ outcome: z.literal("conflict"), size }),
  /** The same size was cosigned with another root. */
  z.strictObject({ outcome: z.literal("root") }),
  /** The key is not the one whose statements this database remembers. */
  z.strictObject({ outcome: z.literal("key") }),
]);

const answer = z.strictObject({
  vkey: z.string().max(4096),
  outcome: z.enum(["cosigned", "behind", "inconsistent", "refused", "unreachable"]),
  message: z.string().max(1_000),
  size: size.nullable(),
  cosigned: z.int().nullable(),
});

/** What a witness answered, as it is kept for people. */
export type WitnessAnswer = z.output<typeof answer>;

/** The state of this room: no facts of the record, and durable all the same before anything is answered that rests on it. */
export const witnessPart: RecordPart = {
  projections: [],
  commands: [],
  events: [],
  operations: [
    defineOperation({
      type: "witness.cosign",
      body: z.strictObject({
        keyId: hex,
        origin: z.string().max(1_000),
        oldSize: size,
        oldRoot: hex.nullable(),
        size,
        root: hex,
        note,
        time: z.int().positive(),
      }),
      run: async (transactor, body): Promise<z.output<typeof cosignedAnswer>> => {
        const tables = transactor.tables<WitnessTables>();
        if ((await boundKey(transactor, "witness")) !== body.keyId) return { outcome: "key" };
        const known = await tables
          .selectFrom("witnessed_log")
          .select(["size", "root"])
          .where("origin", "=", body.origin)
          .executeTakeFirst();
        if ((known?.size ?? 0) !== body.oldSize) return { outcome: "conflict", size: known?.size ?? 0 };
        const root = fromHex(body.root);
        const state = { size: body.size, root, note: body.note, time: body.time };
        if (known === undefined) {
          const inserted = await tables
            .insertInto("witnessed_log")
            .values({ origin: body.origin, ...state })
            .onConflict((conflict) => conflict.doNothing())
            .executeTakeFirst();
          return inserted.numInsertedOrUpdatedRows === 1n ? { outcome: "recorded" } : { outcome: "conflict", size: 0 };
        }
        // The proof was checked against this root, outside this transaction: it must be the one that stands.
        if (body.oldRoot === null || Buffer.compare(known.root, fromHex(body.oldRoot)) !== 0)
          return { outcome: "root" };
        if (body.size === known.size) {
          return Buffer.compare(known.root, root) === 0 ? { outcome: "recorded" } : { outcome: "root" };
        }
        // COMMIT POINT of a cosignature, with the operation's batch. Before: nothing was signed for this checkpoint. After: it is what we
        // have witnessed, for ever; only then is it cosigned, and the cosignature answered.
        //
        // INVARIANT: a compare-and-swap of (size, root) in the database's own words. Whatever runs beside this on any host, of two
        // checkpoints that continue the same one only one is recorded, and only a recorded one is cosigned.
        const swapped = await tables
          .updateTable("witnessed_log")
          .set(state)
          .where("origin", "=", body.origin)
          .where("size", "=", known.size)
          .where("root", "=", known.root)
          .executeTakeFirst();
        return swapped.numUpdatedRows === 1n ? { outcome: "recorded" } : { outcome: "conflict", size: known.size };
      },
    }),
    defineOperation({
      type: "witness.take-turn",
      body: z.strictObject({ log: z.string(), holder: z.string().max(100), leaseMs: z.int().positive().max(600_000) }),
      run: async (transactor, { log, holder, leaseMs }, { time }) => {
        const tables = transactor.tables<WitnessTables>();
        const turn = await tables.selectFrom("witness_turn").selectAll().where("log", "=", log).executeTakeFirst();
        if (turn !== undefined && turn.holder !== holder && turn.until > time) return false;
        const until = time + leaseMs;
        await tables
          .insertInto("witness_turn")
          .values({ log, holder, until, size: -1, note: "" })
          .onConflict((conflict) => conflict.column("log").doUpdateSet({ holder, until }))
          .execute();
        return true;
      },
    }),
    defineOperation({
      type: "witness.report",
      body: z.strictObject({
        log: z.string(),
        holder: z.string().max(100),
        answers: z.array(answer).max(1_000),
        witnessed: z.strictObject({ size, note }).nullable(),
      }),
      run: async (transactor, body, { time }) => {
        const tables = transactor.tables<WitnessTables>();
        for (const { vkey, outcome, message, size: newest, cosigned } of body.answers) {
          // What it cosigned before stands, whatever it answers now.
          const given = newest === null ? {} : { size: newest, cosigned };
          await tables
            .insertInto("witness_answer")
            .values({ vkey, outcome, message, asked: time, size: newest, cosigned })
            .onConflict((conflict) => conflict.column("vkey").doUpdateSet({ outcome, message, asked: time, ...given }))
            .execute();
        }
        if (body.witnessed !== null) {
          await tables
            .updateTable("witness_turn")
            .set(body.witnessed)
            .where("log", "=", body.log)
            // The same size may come again with other cosignatures, when the policy has changed.
            .where("size", "<=", body.witnessed.size)
            .execute();
        }
        await tables
          .updateTable("witness_turn")
          .set({ until: 0 })
          .where("log", "=", body.log)
          .where("holder", "=", body.holder)
          .execute();
        return null;
      },
    }),
  ],
};
