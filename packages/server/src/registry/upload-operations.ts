import { z } from "zod";
import { generationOf } from "../collection/generation.ts";
import { defineOperation } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { preparedWrite } from "../storage/prepared-write.ts";
import { lease, takeWhole } from "./lease-operations.ts";
import { CLAIM_MS, REGISTRY_LIMITS, SESSION_NAME_MS, UPLOAD_MS } from "./limits.ts";
import { asJson, digest, leaseMs, sha512, size } from "./operation-shapes.ts";
import { countUploads, findUpload, isAwaited } from "./queries.ts";
import { noRoomNow } from "./quota-rule.ts";
import type { RegistryTables } from "./schema.ts";
import { isOpened, type SessionPlace } from "./session-name.ts";

const begun = z.strictObject({ id: z.uuid(), owner: z.string(), org: z.string(), repository: z.string() });
/** A session that may be a name yet. `now`, ms: by the clock that names are made by, which is not the writer's. */
const opened = begun.extend({ now: z.int().nonnegative() });
const claimed = z.strictObject({ id: z.uuid(), claim: z.string() });

type Session = {
  readonly id: string;
  readonly owner: string;
  readonly org: string;
  readonly repository: string;
  readonly claim: string | null;
  readonly digest: string | null;
};

const putUpload = preparedWrite(
  (transactor, at: Session & { readonly claimedUntil: number; readonly created: number; readonly expires: number }) =>
    transactor.tables<RegistryTables>().insertInto("upload").values({
      id: at.id,
      owner: at.owner,
      org: at.org,
      repository: at.repository,
      offset: 0,
      digest: at.digest,
      claim: at.claim,
      claimed_until: at.claimedUntil,
      created: at.created,
      expires: at.expires,
    }),
);

/** Writes a session down. @returns false when its owner has too many. */
async function beginUpload(transactor: Transactor, session: Session, time: number): Promise<boolean> {
  if ((await countUploads(transactor, session.owner)) >= REGISTRY_LIMITS.uploadsPerActor) return false;
  const claimedUntil = session.claim === null ? 0 : time + CLAIM_MS;
  await putUpload(transactor, { ...session, claimedUntil, created: time, expires: time + UPLOAD_MS });
  return true;
}

/** The owner of sessions that ended. */
const NOBODY = "";

/** Ends a session. While its name says that it is open, a row of nobody's says that it is not. */
async function endUpload(transactor: Transactor, id: string, place: SessionPlace, time: number): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  if (!isOpened(id, place, time)) {
    await tables.deleteFrom("upload").where("id", "=", id).execute();
    return;
  }
  const expires = time + SESSION_NAME_MS;
  await tables
    .updateTable("upload")
    .set({ owner: NOBODY, offset: 0, claim: null, claimed_until: 0, digest: null, expires })
    .where("id", "=", id)
    .execute();
}

/** Lets a session name nothing any more: what it named may be collected. */
async function unname(transactor: Transactor, id: string): Promise<void> {
  await transactor.tables<RegistryTables>().updateTable("upload").set({ digest: null }).where("id", "=", id).execute();
}
/** Upload sessions: one row each, and at most one claim on it, which is the right to write its bytes. */
export const uploadOperations = [
  // One that is under its opener's claim from the start, and ends with their request.
  defineOperation({
    type: "registry.open-upload",
    body: begun.extend({ claim: z.string() }),
    run: async (transactor, body, { time }) => ({
      state: (await beginUpload(transactor, { ...body, digest: null }, time)) ? "opened" : "too-many",
    }),
  }),
  defineOperation({
    type: "registry.claim-upload",
    body: opened.extend({ claim: z.string() }),
    run: async (transactor, body, { time }) => {
      const row = await findUpload(transactor, body.id);
      if (row === undefined) {
        if (!isOpened(body.id, body, body.now)) return { state: "unknown" };
        if (!(await beginUpload(transactor, { ...body, digest: null }, time))) return { state: "too-many" };
        return { state: "claimed", offset: 0, lapsed: false };
      }
      if (row.owner !== body.owner || row.repository !== body.repository || row.expires <= time) {
        return { state: "unknown" };
      }
      if (row.claim !== null && row.claimed_until > time) return { state: "busy", offset: row.offset };
      await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ claim: body.claim, claimed_until: time + CLAIM_MS })
        .where("id", "=", body.id)
        .execute();
      // A claim that was not given back: its holder may live, and only be slow.
      return { state: "claimed", offset: row.offset, lapsed: row.claim !== null };
    },
  }),
  defineOperation({
    type: "registry.renew-claim",
    body: claimed,
    run: async (transactor, body, { time }) => {
      const done = await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ claimed_until: time + CLAIM_MS, expires: time + UPLOAD_MS })
        .where("id", "=", body.id)
        .where("claim", "=", body.claim)
        .executeTakeFirst();
      return { held: done.numUpdatedRows > 0n };
    },
  }),
  defineOperation({
    type: "registry.release-upload",
    body: claimed.extend({ offset: size }),
    run: async (transactor, body, { time }) => {
      const done = await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ offset: body.offset, claim: null, claimed_until: 0, expires: time + UPLOAD_MS })
        .where("id", "=", body.id)
        .where("claim", "=", body.claim)
        .executeTakeFirst();
      return { held: done.numUpdatedRows > 0n };
    },
  }),
  // From here on the bytes of this digest are not collected, as long as the session is there.
  defineOperation({
    type: "registry.name-upload",
    body: claimed.extend({ digest }),
    run: async (transactor, body, { time }) => {
      const done = await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ claimed_until: time + CLAIM_MS, expires: time + UPLOAD_MS, digest: body.digest })
        .where("id", "=", body.id)
        .where("claim", "=", body.claim)
        .executeTakeFirst();
      return { held: done.numUpdatedRows > 0n, generation: await generationOf(transactor, body.digest) };
    },
  }),
  defineOperation({
    type: "registry.finish-upload",
    body: claimed.extend({ digest, sha512, size, leaseMs }),
    run: async (transactor, body, { time }) => {
      const tables = transactor.tables<RegistryTables>();
      const row = await tables
        .selectFrom("upload")
        .select(["owner", "org", "repository"])
        .where("id", "=", body.id)
        .where("claim", "=", body.claim)
        // INVARIANT: the session has named these bytes since before they were put into the store, so they were not collected since.
        .where("digest", "=", body.digest)
        .executeTakeFirst();
      if (row === undefined) return { held: false };
      const full = await noRoomNow(transactor, row, body, time);
      if (full !== undefined) return { held: true, refusal: asJson(full) };
      await endUpload(transactor, body.id, row, time);
      const { org, repository } = row;
      const blob = { org, repository, digest: body.digest, sha512: body.sha512, size: body.size };
      await lease(transactor, blob, time + body.leaseMs);
      const names = [body.digest, body.sha512 ?? body.digest] as const;
      return { held: true, awaited: await isAwaited(transactor, row.repository, names, body.size) };
    },
  }),
  defineOperation({
    // {@link WholeBlobs.end}: as `registry.name-upload`, of a session that nobody writes to.
    type: "registry.name-whole",
    body: opened.extend({ digest }),
    run: async (transactor, body, { time }) => {
      const row = await findUpload(transactor, body.id);
      if (row === undefined) {
        if (!isOpened(body.id, body, body.now)) return { state: "unknown" };
        if (!(await beginUpload(transactor, { ...body, claim: null }, time))) return { state: "too-many" };
        return { state: "named", generation: await generationOf(transactor, body.digest) };
      }
      if (row.owner !== body.owner || row.repository !== body.repository || row.expires <= time) {
        return { state: "unknown" };
      }
      if (row.claim !== null || row.offset > 0) return { state: "begun" };
      await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ digest: body.digest, expires: time + UPLOAD_MS })
        .where("id", "=", body.id)
        .execute();
      return { state: "named", generation: await generationOf(transactor, body.digest) };
    },
  }),
  defineOperation({
    // {@link WholeBlobs.end}: the blob's bytes never lay among the session's, so that no claim on those is needed.
    type: "registry.finish-whole",
    body: opened.extend({ digest, generation: z.int().nonnegative(), sha512, size, leaseMs }),
    run: async (transactor, body, { time }) => {
      const row = await findUpload(transactor, body.id);
      if (row === undefined) {
        // Nothing was ever written to it, and nothing has to be written down of its end.
        return isOpened(body.id, body, body.now) ? await takeWhole(transactor, body, time) : { state: "unknown" };
      }
      if (row.owner !== body.owner || row.repository !== body.repository || row.expires <= time) {
        return { state: "unknown" };
      }
      if (row.claim !== null || row.offset > 0) return { state: "begun" };
      const taken = await takeWhole(transactor, body, time);
      if (taken.state === "finished") await endUpload(transactor, body.id, row, time);
      // Open as before; but what there is no room for is not kept for as long as the session lasts.
      if (taken.state === "full") await unname(transactor, body.id);
      return taken;
    },
  }),
  defineOperation({
    type: "registry.drop-upload",
    body: claimed,
    run: async (transactor, body, { time }) => {
      const row = await findUpload(transactor, body.id);
      if (row?.claim !== body.claim) return { held: false };
      await endUpload(transactor, body.id, row, time);
      return { held: true };
    },
  }),
  // One that ran out: its name says no more that it is open.
  defineOperation({
    type: "registry.drop-expired",
    body: claimed,
    run: async (transactor, body) => {
      await transactor
        .tables<RegistryTables>()
        .deleteFrom("upload")
        .where("id", "=", body.id)
        .where("claim", "=", body.claim)
        .execute();
      return null;
    },
  }),
  defineOperation({
    type: "registry.release-claims",
    body: z.strictObject({}),
    run: async (transactor) => {
      await transactor
        .tables<RegistryTables>()
        .updateTable("upload")
        .set({ claim: null, claimed_until: 0 })
        .where("claim", "is not", null)
        .execute();
      return null;
    },
  }),
  defineOperation({
    type: "registry.unknown-uploads",
    body: z.strictObject({ names: z.array(z.string()).max(1000) }),
    run: async (transactor, body) => {
      const rows = await transactor
        .tables<RegistryTables>()
        .selectFrom("upload")
        .select("id")
        .where("id", "in", body.names)
        .execute();
      const known = new Set(rows.map((row) => row.id));
      return body.names.filter((name) => !known.has(name));
    },
  }),
  defineOperation({
    type: "registry.claim-expired",
    body: z.strictObject({ claim: z.string(), limit: z.int().positive() }),
    run: async (transactor, body, { time }) => {
      const tables = transactor.tables<RegistryTables>();
      const rows = await tables
        .selectFrom("upload")
        .select("id")
        .where("expires", "<=", time)
        .where("claimed_until", "<=", time)
        .where("owner", "<>", NOBODY)
        .limit(body.limit)
        .execute();
      for (const { id } of rows) {
        await tables
          .updateTable("upload")
          .set({ claim: body.claim, claimed_until: time + CLAIM_MS })
          .where("id", "=", id)
          .execute();
      }
      return rows.map((row) => row.id);
    },
  }),
  // Sessions that ended, whose names say no more that they are open. Nothing is staged of them.
  defineOperation({
    type: "registry.sweep-ended",
    body: z.strictObject({ limit: z.int().positive().max(1000) }),
    run: async (transactor, body, { time }) => {
      const tables = transactor.tables<RegistryTables>();
      const rows = await tables
        .selectFrom("upload")
        .select("id")
        .where("owner", "=", NOBODY)
        .where("expires", "<=", time)
        .limit(body.limit)
        .execute();
      const ids = rows.map((row) => row.id);
      if (ids.length > 0) await tables.deleteFrom("upload").where("id", "in", ids).execute();
      return ids.length;
    },
  }),
];
