import { z } from "zod";
import { defineOperation, type OperationDefinition } from "../record/command.ts";
import type { AccessTables } from "./schema.ts";

/** Counters are kept this many hours (90 days). */
const KEPT_HOURS = 90 * 24;

/** Counters one flush brings at most. */
export const MAX_COUNTS_PER_FLUSH = 1024;

const HOUR = 3_600_000;

/** Unrecorded state of this room. */
export const accessOperations: readonly OperationDefinition[] = [
  defineOperation({
    type: "access.count-denials",
    body: z.strictObject({
      denials: z
        .array(
          z.strictObject({
            identity: z.string().max(256),
            route: z.string().max(256),
            hour: z.int().nonnegative(),
            count: z.int().positive(),
          }),
        )
        .max(MAX_COUNTS_PER_FLUSH),
    }),
    run: async (transactor, body, context) => {
      const tables = transactor.tables<AccessTables>();
      for (const denial of body.denials) {
        await tables
          .insertInto("denial")
          .values(denial)
          .onConflict((conflict) =>
            conflict
              .columns(["hour", "identity", "route"])
              .doUpdateSet((where) => ({ count: where("denial.count", "+", denial.count) })),
          )
          .execute();
      }
      await tables
        .deleteFrom("denial")
        .where("hour", "<", Math.floor(context.time / HOUR) - KEPT_HOURS)
        .execute();
      return body.denials.length;
    },
  }),
  defineOperation({
    type: "access.count-bootstrap-uses",
    body: z.strictObject({
      uses: z
        .array(
          z.strictObject({
            route: z.string().max(256),
            hour: z.int().nonnegative(),
            count: z.int().positive(),
          }),
        )
        .max(MAX_COUNTS_PER_FLUSH),
    }),
    run: async (transactor, body, context) => {
      const tables = transactor.tables<AccessTables>();
      for (const use of body.uses) {
        await tables
          .insertInto("bootstrap_use_count")
          .values(use)
          .onConflict((conflict) =>
            conflict
              .columns(["hour", "route"])
              .doUpdateSet((where) => ({ count: where("bootstrap_use_count.count", "+", use.count) })),
          )
          .execute();
      }
      await tables
        .deleteFrom("bootstrap_use_count")
        .where("hour", "<", Math.floor(context.time / HOUR) - KEPT_HOURS)
        .execute();
      return body.uses.length;
    },
  }),
];
