import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { DIRECTIONS, type MirrorTables } from "./schema.ts";

const setBody = z.strictObject({
  name: z.string(),
  direction: z.enum(DIRECTIONS),
  repositories: z.array(z.string()),
  tags: z.array(z.string()),
  url: z.string().nullable(),
  /** Names what the other registry is asked with; the thing itself is in no event. */
  credential: z.string().nullable(),
  tokenHosts: z.array(z.string()),
  onEvents: z.boolean(),
  everyMs: z.int().nullable(),
  evidence: z.boolean(),
});

/** A URL in the place of one that is redacted: of a host that is none (RFC 2606). */
const nowhere = (replacement: string): boolean =>
  URL.canParse(replacement) && /^https:\/\/[^/]+\.invalid\/[a-z0-9]/.test(replacement);

async function end(transactor: Transactor, org: string, name: string, sequence: number): Promise<void> {
  await transactor
    .tables<MirrorTables>()
    .updateTable("replication")
    .set({ to_seq: sequence })
    .where("org", "=", org)
    .where("name", "=", name)
    .where("to_seq", "is", null)
    .execute();
}

/** What is replicated where: facts of the organisation's chain. What was copied when is none: it changes nothing here. */
export const replicationEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "replications.set",
    version: 1,
    body: setBody,
    redactable: { "/url": nowhere },
    project: async (transactor, { body, org, sequence, time, actor }) => {
      await end(transactor, org, body.name, sequence);
      await transactor
        .tables<MirrorTables>()
        .insertInto("replication")
        .values({
          org,
          name: body.name,
          direction: body.direction,
          repositories: JSON.stringify(body.repositories),
          tags: JSON.stringify(body.tags),
          url: body.url,
          credential: body.credential,
          token_hosts: JSON.stringify(body.tokenHosts),
          on_events: body.onEvents ? 1 : 0,
          every_ms: body.everyMs,
          evidence: body.evidence ? 1 : 0,
          set_time: time,
          set_by: actor,
          from_seq: sequence,
          to_seq: null,
        })
        .execute();
      // What was copied under the former setting says nothing about this one. In a replay there is nothing to forget.
      await forget(transactor, org, body.name);
    },
  }),
  defineEvent({
    type: "replications.removed",
    version: 1,
    body: z.strictObject({ name: z.string() }),
    project: async (transactor, { body, org, sequence }) => {
      await end(transactor, org, body.name, sequence);
      await forget(transactor, org, body.name);
    },
  }),
];

async function forget(transactor: Transactor, org: string, name: string): Promise<void> {
  await transactor
    .tables<MirrorTables>()
    .deleteFrom("mirror_run")
    .where("org", "=", org)
    .where("subject", "in", [`replication/${name}/all`, `replication/${name}/new`])
    .execute();
}
