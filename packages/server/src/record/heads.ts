import { toHex } from "@assay/evidence";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { RecordPart } from "./command.ts";
import { accept, defineCommand, defineEvent, defineOperation, type NewEvent, refuse, SYSTEM_ORG } from "./command.ts";
import type { RecordTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Organisations whose heads one command writes down at most; the next call takes the rest. */
const HEADS_PER_COMMAND = 256;

/** The event that writes an organisation's head down. */
export const HEAD_WRITTEN = "record.head-written";

const headBody = z.strictObject({
  org: z.string(),
  orgSeq: z.int().nonnegative(),
  commitment: z.string().regex(/^[0-9a-f]{64}$/),
  sequence: z.int().nonnegative(),
});

const createdBody = z.strictObject({ name: z.string(), origin: z.string(), vkey: z.string() });

/**
 * The record's own facts: the birth of its log, and the heads of the organisations' chains. A head is a leaf of its own per
 * organisation, so that an audit package can show one organisation's without showing another's.
 */
export const recordPart: RecordPart = {
  projections: ["org_head"],
  commands: [
    defineCommand({
      type: "record.create-log",
      body: createdBody,
      decide: async (reader, body, context) => {
        if (context.actor.id !== "system") return refuse("denied", "only the service creates its log", { status: 403 });
        const first = await reader
          .tables<RecordTables>()
          .selectFrom("event")
          .select("sequence")
          .limit(ONE_ROW)
          .executeTakeFirst();
        if (first !== undefined || context.sequence !== 0)
          return refuse("log-exists", "the record has its log already");
        return accept([{ type: "record.log-created", body }]);
      },
    }),
    defineCommand({
      type: "record.write-heads",
      body: z.strictObject({}),
      readsHeads: true,
      decide: async (reader, _body, context) => {
        if (context.actor.id !== "system")
          return refuse("denied", "only the service writes heads down", { status: 403 });
        const heads = await reader
          .tables<RecordTables>()
          .selectFrom("org_head")
          .selectAll()
          .where("org", "<>", SYSTEM_ORG)
          .whereRef("anchored", "<", "org_sequence")
          .orderBy("org")
          .limit(HEADS_PER_COMMAND)
          .execute();
        const events: NewEvent[] = heads.map((head) => ({
          type: HEAD_WRITTEN,
          org: SYSTEM_ORG,
          body: {
            org: head.org,
            orgSeq: head.org_sequence,
            commitment: toHex(head.commitment),
            sequence: head.sequence,
          },
        }));
        return accept(events, heads.length);
      },
    }),
  ],
  events: [
    defineEvent({
      type: "record.log-created",
      version: 1,
      body: createdBody,
      project: async () => {
        // The log's own state is no projection: it is what sequencing swaps (log/schema.ts).
      },
    }),
    defineEvent({
      type: HEAD_WRITTEN,
      version: 1,
      body: headBody,
      project: async (transactor, event) => {
        await transactor
          .tables<RecordTables>()
          .updateTable("org_head")
          .set({ anchored: event.body.orgSeq })
          .where("org", "=", event.body.org)
          .execute();
      },
    }),
  ],
  operations: [
    // Answers when a whole turn of the writer, its commit included, has been made, and says what keeps the log from being published: what
    // readiness means.
    defineOperation({
      type: "record.ping",
      body: z.strictObject({}),
      run: async (_transactor, _body, { trouble }) => ({ publication: trouble === undefined ? null : { ...trouble } }),
    }),
    // This record turned out to be older than what was signed: what is taken now would be a second history.
    defineOperation({
      type: "record.halt",
      body: z.strictObject({ message: z.string(), hint: z.string() }),
      run: async (_transactor, { message, hint }, { halt }) => {
        halt(new ServerError("log-behind-checkpoint", message, { hint }));
        return null;
      },
    }),
  ],
};
