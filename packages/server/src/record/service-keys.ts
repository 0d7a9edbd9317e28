import { z } from "zod";
import {
  accept,
  defineCommand,
  defineEvent,
  defineOperation,
  type EventDefinition,
  type RecordPart,
  refuse,
} from "./command.ts";
import type { KeyTables } from "./service-key-schema.ts";

const createdBody = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  purpose: z.string(),
  algorithm: z.string(),
  publicKey: z.string(),
});
const idBody = z.strictObject({ id: z.string().regex(/^[0-9a-f]{64}$/) });

/** An event that says since when something holds of a key. */
function keyMark(type: string, column: "active_from_sequence" | "retired_sequence"): EventDefinition {
  return defineEvent({
    type,
    version: 1,
    body: idBody,
    project: async (transactor, event) => {
      await transactor
        .tables<KeyTables>()
        .updateTable("key")
        .set({ [column]: event.sequence })
        .where("id", "=", event.body.id)
        .execute();
    },
  });
}

/** The life of the service's keys: creation, activation, retirement. Public keys stay for ever. */
export const keysPart: RecordPart = {
  projections: ["key"],
  commands: [
    defineCommand({
      type: "keys.create",
      body: createdBody,
      decide: async (reader, body, context) => {
        if (context.actor.id !== "system") return refuse("denied", "only the service makes its keys", { status: 403 });
        const known = await reader
          .tables<KeyTables>()
          .selectFrom("key")
          .select("id")
          .where("id", "=", body.id)
          .executeTakeFirst();
        if (known !== undefined) return accept([]);
        return accept([
          { type: "keys.key-created", body },
          { type: "keys.key-activated", body: { id: body.id } },
        ]);
      },
    }),
    defineCommand({
      type: "keys.retire",
      body: idBody,
      decide: async (reader, body, context) => {
        if (context.actor.id !== "system")
          return refuse("denied", "only the service retires its keys", { status: 403 });
        const known = await reader
          .tables<KeyTables>()
          .selectFrom("key")
          .select("retired_sequence")
          .where("id", "=", body.id)
          .executeTakeFirst();
        if (known === undefined) return refuse("key-unknown", `there is no key ${body.id}`, { status: 404 });
        return accept(known.retired_sequence === null ? [{ type: "keys.key-retired", body }] : []);
      },
    }),
  ],
  events: [
    defineEvent({
      type: "keys.key-created",
      version: 1,
      body: createdBody,
      project: async (transactor, event) => {
        await transactor
          .tables<KeyTables>()
          .insertInto("key")
          .values({
            id: event.body.id,
            purpose: event.body.purpose,
            algorithm: event.body.algorithm,
            public_key: event.body.publicKey,
            created_sequence: event.sequence,
            active_from_sequence: null,
            retired_sequence: null,
          })
          .execute();
      },
    }),
    keyMark("keys.key-activated", "active_from_sequence"),
    keyMark("keys.key-retired", "retired_sequence"),
  ],
  operations: [
    defineOperation({
      type: "keys.bind",
      body: z.strictObject({ purpose: z.string(), id: idBody.shape.id }),
      run: async (transactor, { purpose, id }) => {
        await transactor
          .tables<KeyTables>()
          .insertInto("bound_key")
          .values({ purpose, id })
          .onConflict((conflict) => conflict.column("purpose").doUpdateSet({ id }))
          .execute();
        return null;
      },
    }),
  ],
};
