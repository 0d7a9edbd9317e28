import { z } from "zod";
import { defineOperation, type OperationDefinition } from "../record/command.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { currentMirror } from "./queries.ts";
import { currentReplication } from "./replication-queries.ts";
import { credentialId } from "./setting.ts";
import { type MirrorTables, RUN_STATES } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** How long a credential is kept that nothing names, ms: from when it is written until the event that names it is. */
const UNNAMED_MS = 3_600_000;

/** Credentials of nobody that one call lets go of. */
const SWEEP = 100;

/** Unrecorded state of this room: encrypted credentials, and when upstreams were last asked about what. */
export const mirrorOperations: readonly OperationDefinition[] = [
  /** Keeps a credential, before the event that names it. Those of the organisation that nothing names any more go. */
  defineOperation({
    type: "mirrors.keep-credential",
    body: z.strictObject({ org: z.string().max(64), id: credentialId, sealed: z.string().max(64 * 1024) }),
    run: async (transactor, { org, id, sealed }, { time }) => {
      const tables = transactor.tables<MirrorTables>();
      const unnamed = await tables
        .selectFrom("mirror_credential")
        .select("id")
        .where("org", "=", org)
        .where("created", "<", time - UNNAMED_MS)
        .where((is) =>
          is.not(
            is.exists(
              is
                .selectFrom("mirror")
                .select("repository")
                .where("mirror.org", "=", org)
                .whereRef("mirror.credential", "=", "mirror_credential.id")
                .where("mirror.to_seq", "is", null),
            ),
          ),
        )
        .where((is) =>
          is.not(
            is.exists(
              is
                .selectFrom("replication")
                .select("name")
                .where("replication.org", "=", org)
                .whereRef("replication.credential", "=", "mirror_credential.id")
                .where("replication.to_seq", "is", null),
            ),
          ),
        )
        .limit(SWEEP)
        .execute();
      for (const row of unnamed) {
        await tables.deleteFrom("mirror_credential").where("org", "=", org).where("id", "=", row.id).execute();
      }
      await tables.insertInto("mirror_credential").values({ org, id, sealed, created: time }).execute();
      return null;
    },
  }),
  /** Lets a credential go that nothing names any more. */
  defineOperation({
    type: "mirrors.drop-credential",
    body: z.strictObject({ org: z.string().max(64), id: credentialId }),
    run: async (transactor, { org, id }) => {
      const tables = transactor.tables<MirrorTables>();
      for (const table of ["mirror", "replication"] as const) {
        const named = await tables
          .selectFrom(table)
          .select("from_seq")
          .where("org", "=", org)
          .where("to_seq", "is", null)
          .where("credential", "=", id)
          .limit(ONE_ROW)
          .executeTakeFirst();
        if (named !== undefined) return null;
      }
      await tables.deleteFrom("mirror_credential").where("org", "=", org).where("id", "=", id).execute();
      return null;
    },
  }),
  /** The upstream was asked about a tag, or about evidence for a digest. That of a setting that holds no more says nothing. */
  defineOperation({
    type: "mirrors.looked",
    body: z.strictObject({
      org: z.string().max(64),
      repository: z.string().max(255),
      /** The event that set the mirror that was asked for. */
      setting: z.int(),
      reference: z.string().max(200),
    }),
    run: async (transactor, { setting, ...body }, { time }) => {
      if ((await currentMirror(transactor, body.repository))?.from_seq !== setting) return null;
      await transactor
        .tables<MirrorTables>()
        .insertInto("mirror_look")
        .values({ ...body, time })
        .onConflict((conflict) => conflict.columns(["repository", "reference"]).doUpdateSet({ time }))
        .execute();
      return null;
    },
  }),
  /** How far a run has come. */
  defineOperation({
    type: "mirrors.ran",
    body: z.strictObject({
      org: z.string().max(64),
      subject: z.string().max(300),
      state: z.enum(RUN_STATES),
      started: z.int(),
      copied: z.int().nonnegative(),
      present: z.int().nonnegative(),
      failed: z.int().nonnegative(),
      at: z.string().max(MIRROR_LIMITS.problemLength).nullable(),
      problem: z.string().max(MIRROR_LIMITS.problemLength).nullable(),
      /** Absent: as it was. */
      covered: z.int().optional(),
      /** Of a replication: its name, and the event that set it as the run goes by. */
      rule: z.strictObject({ name: z.string().max(64), setting: z.int() }).optional(),
    }),
    run: async (transactor, { covered, rule, ...run }, { time }) => {
      // INVARIANT: what a run did under a former rule says nothing of what stands: it may have been about less.
      if (rule !== undefined) {
        const current = await currentReplication(transactor, run.org, rule.name);
        if (current?.from_seq !== rule.setting) return null;
      }
      const row = { ...run, finished: run.state === "running" ? null : time };
      await transactor
        .tables<MirrorTables>()
        .insertInto("mirror_run")
        .values({ ...row, covered: covered ?? -1 })
        .onConflict((conflict) =>
          conflict.columns(["org", "subject"]).doUpdateSet({ ...row, ...(covered === undefined ? {} : { covered }) }),
        )
        .execute();
      return null;
    },
  }),
];
