import { z } from "zod";
import type { RecordClient } from "../record/client.ts";
import {
  accept,
  type CommandDefinition,
  defineCommand,
  defineEvent,
  type EventDefinition,
  refuse,
  SYSTEM_ACTOR,
  SYSTEM_ORG,
} from "../record/command.ts";
import { HourCounter } from "./hour-counter.ts";
import { MAX_COUNTS_PER_FLUSH } from "./operations.ts";
import { unrecordedUses } from "./bootstrap-queries.ts";
import type { AccessTables } from "./schema.ts";

const HOUR = 3_600_000;

/** Uses that one event tells of. */
const MAX_USES = 500;

/**
 * Counts the requests that came under the bootstrap admin's token, per route and hour. What such a request changes is an event by itself; that
 * it was made, also where it only read, becomes one when its hour is over ({@link recordBootstrapUses}).
 */
export function bootstrapUseCounter(record: Pick<RecordClient, "operate">, now: () => number): HourCounter {
  return new HourCounter(
    (counts) =>
      record.operate("access.count-bootstrap-uses", {
        uses: counts.map(({ hour, route, count }) => ({ hour, route, count })),
      }),
    MAX_COUNTS_PER_FLUSH,
    now,
  );
}

/** Writes the uses of hours that are over into the record. To be asked again and again; what is recorded is not recorded twice. */
export async function recordBootstrapUses(record: Pick<RecordClient, "append">): Promise<void> {
  for (;;) {
    const appended = await record.append({
      type: "access.record-bootstrap-uses",
      org: SYSTEM_ORG,
      actor: SYSTEM_ACTOR,
      body: {},
    });
    if (!appended.ok || appended.receipts.length === 0) return;
  }
}

/** What puts the uses of the bootstrap admin's token into the record. */
export const bootstrapUseCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.record-bootstrap-uses",
    body: z.strictObject({}),
    decide: async (reader, _body, context) => {
      if (context.actor.credential.kind !== "system") {
        return refuse("forbidden", "only the service itself does this", { status: 403 });
      }
      // Counts of this hour still come; those of the last may come late, and are then recorded by a further event.
      const uses = await unrecordedUses(reader, Math.floor(context.time / HOUR), MAX_USES);
      return accept(
        uses.length === 0 ? [] : [{ type: "access.bootstrap-admin-used", org: SYSTEM_ORG, body: { uses } }],
      );
    },
  }),
];

/** The uses of the bootstrap admin's token, in the service's own chain. */
export const bootstrapUseEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "access.bootstrap-admin-used",
    version: 1,
    body: z.strictObject({
      uses: z.array(z.strictObject({ hour: z.int(), route: z.string(), count: z.int().positive() })),
    }),
    project: async (transactor, event) => {
      const tables = transactor.tables<AccessTables>();
      for (const use of event.body.uses) {
        await tables
          .insertInto("bootstrap_use")
          .values(use)
          .onConflict((conflict) =>
            conflict
              .columns(["hour", "route"])
              .doUpdateSet((where) => ({ count: where("bootstrap_use.count", "+", use.count) })),
          )
          .execute();
      }
    },
  }),
];
