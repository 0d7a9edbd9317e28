import { z } from "zod";
import { defineOperation, type OperationDefinition } from "../record/command.ts";
import { credentialId } from "./setting.ts";
import type { MirrorTables } from "./schema.ts";

/** How long a credential is kept that nothing names, ms: from when it is written until the event that names it is. */
const UNNAMED_MS = 3_600_000;

/** Credentials of nobody that one call lets go of. */
const SWEEP = 100;

/** Unrecorded state of this room: encrypted credentials, and when upstreams were last asked about what. */
export const mirrorOperations: readonly OperationDefinition[] = [
  /** Keeps a credential, before the event that names it. Those of the organisation that no mirror names any more go. */
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
        .limit(SWEEP)
        .execute();
      for (const row of unnamed) {
        await tables.deleteFrom("mirror_credential").where("org", "=", org).where("id", "=", row.id).execute();
      }
      await tables.insertInto("mirror_credential").values({ org, id, sealed, created: time }).execute();
      return null;
    },
  }),
  /** The upstream was asked about a tag, or about evidence for a digest. */
  defineOperation({
    type: "mirrors.looked",
    body: z.strictObject({ org: z.string().max(64), repository: z.string().max(255), reference: z.string().max(200) }),
    run: async (transactor, body, { time }) => {
      await transactor
        .tables<MirrorTables>()
        .insertInto("mirror_look")
        .values({ ...body, time })
        .onConflict((conflict) => conflict.columns(["repository", "reference"]).doUpdateSet({ time }))
        .execute();
      return null;
    },
  }),
];
