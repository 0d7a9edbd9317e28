import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { serviceAccountId } from "./names.ts";
import type { AccessTables } from "./schema.ts";

async function endWorkload(transactor: Transactor, org: string, name: string, sequence: number): Promise<void> {
  await transactor
    .tables<AccessTables>()
    .updateTable("workload_identity")
    .set({ to_seq: sequence })
    .where("org", "=", org)
    .where("name", "=", name)
    .where("to_seq", "is", null)
    .execute();
}

/** Workload identities and what was exchanged under them: facts of their organisation's chain. */
export const workloadEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "access.workload-identity-set",
    version: 1,
    body: z.strictObject({
      name: z.string(),
      issuer: z.string(),
      audience: z.string(),
      conditions: z.array(z.strictObject({ claim: z.string(), value: z.string() })),
      serviceAccount: z.string(),
      repositories: z.array(z.string()).nullable(),
      singleUse: z.boolean(),
      expires: z.int().nullable(),
    }),
    project: async (transactor, event) => {
      const { body, org, sequence } = event;
      await endWorkload(transactor, org, body.name, sequence);
      await transactor
        .tables<AccessTables>()
        .insertInto("workload_identity")
        .values({
          org,
          name: body.name,
          issuer: body.issuer,
          audience: body.audience,
          conditions: JSON.stringify(body.conditions.map(({ claim, value }) => ({ claim, value }))),
          service_account: serviceAccountId(org, body.serviceAccount),
          repositories: body.repositories === null ? null : JSON.stringify(body.repositories),
          single_use: body.singleUse ? 1 : 0,
          expires_time: body.expires,
          set_time: event.time,
          set_by: event.actor,
          from_seq: sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "access.workload-identity-removed",
    version: 1,
    body: z.strictObject({ name: z.string() }),
    project: (transactor, event) => endWorkload(transactor, event.org, event.body.name, event.sequence),
  }),
  defineEvent({
    type: "access.token-exchanged",
    // Version 2 says what the token bought is good for; of one of before, the identity as it then stood does.
    version: 2,
    upcast: { 1: (body) => body },
    body: z.strictObject({
      identity: z.string(),
      issuer: z.string(),
      subject: z.string(),
      token: z.string(),
      claims: z.array(z.strictObject({ claim: z.string(), value: z.string() })),
      /** The patterns it is good in; null: wherever the service account, who is the event's actor, may. */
      repositories: z.array(z.string()).nullable().optional(),
    }),
    // A subject or a claim may name a person; the hash of the token tells nobody's name.
    redactable: { "/subject": () => true, "/claims/*/value": () => true },
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .insertInto("token_exchange")
        .values({
          org: event.org,
          identity: event.body.identity,
          token: event.body.token,
          subject: event.body.subject,
          sequence: event.sequence,
          time: event.time,
        })
        .execute();
    },
  }),
];
