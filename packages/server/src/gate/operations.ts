import { z } from "zod";
import { defineOperation, type OperationDefinition } from "../record/command.ts";
import type { GateTables } from "./schema.ts";

/** Decisions counted in one operation. */
export const REPEATS_PER_OPERATION = 500;

/** Counting repeats: the same question with the same answer is no fact of its own. */
export const gateOperations: readonly OperationDefinition[] = [
  defineOperation({
    type: "gate.count-repeat",
    body: z.strictObject({ id: z.string() }),
    run: async (transactor, body, context) => {
      await transactor
        .tables<GateTables>()
        .insertInto("gate_repeat")
        .values({ id: body.id, count: 1, last_time: context.time })
        .onConflict((conflict) =>
          conflict
            .column("id")
            .doUpdateSet((update) => ({ count: update("gate_repeat.count", "+", 1), last_time: context.time })),
        )
        .execute();
      return null;
    },
  }),
  defineOperation({
    type: "gate.count-repeats",
    body: z.strictObject({
      repeats: z.array(z.strictObject({ id: z.string(), count: z.int().positive() })).max(REPEATS_PER_OPERATION),
    }),
    run: async (transactor, body, context) => {
      for (const { id, count } of body.repeats) {
        await transactor
          .tables<GateTables>()
          .insertInto("gate_repeat")
          .values({ id, count, last_time: context.time })
          .onConflict((conflict) =>
            conflict
              .column("id")
              .doUpdateSet((update) => ({ count: update("gate_repeat.count", "+", count), last_time: context.time })),
          )
          .execute();
      }
      return null;
    },
  }),
];
