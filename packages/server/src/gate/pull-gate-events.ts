import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import type { GateTables } from "./schema.ts";

async function endGate(
  transactor: Transactor,
  gate: { readonly org: string; readonly repository: string },
  sequence: number,
): Promise<void> {
  await transactor
    .tables<GateTables>()
    .updateTable("pull_gate")
    .set({ to_seq: sequence })
    .where("org", "=", gate.org)
    .where("repository", "=", gate.repository)
    .where("to_seq", "is", null)
    .execute();
}

/** What is demanded before something is served, as it was set and cleared. */
export const pullGateEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "gate.pull-gate-set",
    version: 1,
    body: z.strictObject({ repository: z.string(), policy: z.string(), platforms: z.enum(["own", "index"]) }),
    project: async (transactor, event) => {
      const { repository, policy, platforms } = event.body;
      await endGate(transactor, { org: event.org, repository }, event.sequence);
      await transactor
        .tables<GateTables>()
        .insertInto("pull_gate")
        .values({
          org: event.org,
          repository,
          policy,
          platforms,
          actor: event.actor,
          time: event.time,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "gate.pull-gate-cleared",
    version: 1,
    body: z.strictObject({ repository: z.string() }),
    project: async (transactor, event) => {
      await endGate(transactor, { org: event.org, repository: event.body.repository }, event.sequence);
    },
  }),
];
