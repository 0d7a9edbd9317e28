import { type Digest, parseDigest } from "@assay/evidence";
import { sql } from "kysely";
import { z } from "zod";
import { generationOf } from "../collection/generation.ts";
import { defineOperation, type JsonObject, type Refusal } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { preparedWrite } from "../storage/prepared-write.ts";
import { canonicalDigest } from "./alias-queries.ts";
import { isNamedDigest, isSha512, type NamedDigest, type Sha512 } from "./digest.ts";
import { CLAIM_MS, LEASE_MS, REGISTRY_LIMITS, SESSION_NAME_MS, UPLOAD_MS } from "./limits.ts";
import { countUploads, findBlob, findUpload, isAwaited, manifestsNaming } from "./queries.ts";
import { noRoomNow } from "./quota-rule.ts";
import { findRepository } from "./repository-queries.ts";
import type { RegistryTables } from "./schema.ts";
import { isOpened, type SessionPlace } from "./session-name.ts";

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));
/** Another name of the bytes, which whoever asks has computed from them. */
const sha512 = z.string().refine(isSha512, "not a sha512 digest").nullable();
const named = z.custom<NamedDigest>(isNamedDigest, "not a digest");
const size = z.int().nonnegative();
/** How long a lease lasts, ms. */
const leaseMs = z.int().min(1).max(LEASE_MS);
const begun = z.strictObject({ id: z.uuid(), owner: z.string(), org: z.string(), repository: z.string() });
/** A session that may be a name yet. `now`, ms: by the clock that names are made by, which is not the writer's. */
const opened = begun.extend({ now: z.int().nonnegative() });
const claimed = z.strictObject({ id: z.uuid(), claim: z.string() });

type Lease = {
  readonly org: string;
  readonly repository: string;
  readonly digest: string;
  /** Another name, where somebody named it by that. */
  readonly sha512: string | null;
  readonly size: number;
};

type LeaseUntil = Lease & { readonly expires: number };

const putLease = preparedWrite((transactor, at: LeaseUntil) =>
  transactor
    .tables<RegistryTables>()
    .insertInto("blob_lease")
    .values({
      org: at.org,
      repository: at.repository,
      digest: at.digest,
      sha512: at.sha512,
      size: at.size,
      expires: at.expires,
    })
    .onConflict((conflict) =>
      conflict.columns(["repository", "digest"]).doUpdateSet((is) => ({
        size: is.ref("excluded.size"),
        expires: is.ref("excluded.expires"),
        named: sql.lit(0),
        // A name once known stays as long as the lease does.
        sha512: is.fn.coalesce("excluded.sha512", "blob_lease.sha512"),
      })),
    ),
);

async function lease(transactor: Transactor, blob: Lease, expires: number): Promise<void> {
  await putLease(transactor, { ...blob, expires });
}

const refusalSchema = z.object({
  code: z.string(),
  status: z.int(),
  message: z.string(),
  hint: z.string().optional(),
  detail: z.json().optional(),
});

/** The refusal that an operation answered with. */
export function operationRefusal(answer: JsonObject): Refusal {
  const { hint, detail, ...refusal } = refusalSchema.parse(answer["refusal"]);
  return { ...refusal, ...(hint === undefined ? {} : { hint }), ...(detail === undefined ? {} : { detail }) };
}

const asJson = (refusal: Refusal): JsonObject => JSON.parse(JSON.stringify(refusal)) as JsonObject;

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

/** A blob whose bytes were put into the store under a generation of their digest. */
interface StoredWhole {
  readonly org: string;
  readonly repository: string;
  readonly digest: Digest;
  readonly generation: number;
  readonly sha512: Sha512 | null;
  readonly size: number;
  readonly leaseMs: number;
}

/** Lets a repository have a blob that came whole, if its bytes are where they count. */
async function takeWhole(
  transactor: Transactor,
  { org, repository, digest, generation, sha512, size, leaseMs }: StoredWhole,
  time: number,
): Promise<
  | { readonly state: "collected" }
  | { readonly state: "full"; readonly refusal: JsonObject }
  | { readonly state: "finished"; readonly awaited: boolean }
> {
  // INVARIANT: the bytes were put there under the generation that counts, read before they were put (collection/naming.ts). Nothing else kept
  // them from being collected since: nobody named them.
  if ((await generationOf(transactor, digest)) !== generation) return { state: "collected" };
  const full = await noRoomNow(transactor, { org, repository }, { digest, size }, time);
  if (full !== undefined) return { state: "full", refusal: asJson(full) };
  await lease(transactor, { org, repository, digest, sha512, size }, time + leaseMs);
  return { state: "finished", awaited: await isAwaited(transactor, repository, [digest, sha512 ?? digest], size) };
}

/** Upload sessions: one row each, and at most one claim on it, which is the right to write its bytes. */
const uploadOperations = [
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

/** Leases: a blob's link to a repository while no manifest there names it. */
const leaseOperations = [
  defineOperation({
    // {@link WholeBlobs.take}: a blob that came in one request, of no session.
    type: "registry.take-blob",
    body: z.strictObject({
      org: z.string(),
      repository: z.string(),
      digest,
      generation: z.int().nonnegative(),
      sha512,
      size,
      leaseMs,
    }),
    run: async (transactor, body, { time }) => await takeWhole(transactor, body, time),
  }),
  defineOperation({
    type: "registry.mount-blob",
    body: z.strictObject({ org: z.string(), repository: z.string(), from: z.string(), digest: named, leaseMs }),
    run: async (transactor, { org, repository, from, digest: asked, leaseMs: lasts }, { time }) => {
      const canonical = await canonicalDigest(transactor, from, asked, time);
      const source = canonical && (await findBlob(transactor, from, canonical, time));
      if (canonical === undefined || source === undefined) return { mounted: false };
      const mount = { digest: canonical, size: source.size };
      const full = await noRoomNow(transactor, { org, repository }, mount, time);
      if (full !== undefined) return { mounted: false, refusal: asJson(full) };
      const name = isSha512(asked) ? asked : null;
      await lease(transactor, { org, repository, digest: canonical, sha512: name, size: source.size }, time + lasts);
      return { mounted: true, awaited: await isAwaited(transactor, repository, [canonical, asked], source.size) };
    },
  }),
  defineOperation({
    type: "registry.renew-lease",
    body: z.strictObject({ org: z.string(), repository: z.string(), digest, leaseMs }),
    run: async (transactor, { leaseMs: lasts, ...body }, { time }) => {
      const blob = await findBlob(transactor, body.repository, body.digest, time);
      if (blob !== undefined) await lease(transactor, { ...body, sha512: null, size: blob.size }, time + lasts);
      return { visible: blob !== undefined };
    },
  }),
  defineOperation({
    type: "registry.release-blob",
    body: z.strictObject({ repository: z.string(), digest }),
    run: async (transactor, body, { time }) => {
      const manifests = await manifestsNaming(transactor, body.repository, body.digest, 10);
      if (manifests.length > 0) return { state: "needed", manifests };
      const done = await transactor
        .tables<RegistryTables>()
        .deleteFrom("blob_lease")
        .where("repository", "=", body.repository)
        .where("digest", "=", body.digest)
        .where("expires", ">", time)
        .executeTakeFirst();
      return { state: done.numDeletedRows > 0n ? "released" : "unknown" };
    },
  }),
  // After a repository ended: what lies there by a lease alone is nobody's any more.
  defineOperation({
    type: "registry.drop-leases",
    body: z.strictObject({ repository: z.string() }),
    run: async (transactor, { repository }) => {
      const ended = (await findRepository(transactor, repository))?.ended;
      if (ended === undefined) return 0;
      const done = await transactor
        .tables<RegistryTables>()
        .deleteFrom("blob_lease")
        .where("repository", "=", repository)
        .executeTakeFirst();
      return Number(done.numDeletedRows);
    },
  }),
  defineOperation({
    type: "registry.sweep-leases",
    body: z.strictObject({}),
    run: async (transactor, _body, { time }) => {
      const done = await transactor
        .tables<RegistryTables>()
        .deleteFrom("blob_lease")
        .where("expires", "<=", time)
        .executeTakeFirst();
      return Number(done.numDeletedRows);
    },
  }),
];

/** Pulls counted at once in one operation. */
export const PULLS_PER_OPERATION = 1000;

const countPulls = defineOperation({
  type: "registry.count-pulls",
  body: z.strictObject({
    pulls: z
      .array(
        z.strictObject({
          org: z.string(),
          repository: z.string(),
          digest: z.string(),
          actor: z.string(),
          day: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
          count: z.int().positive(),
        }),
      )
      .max(PULLS_PER_OPERATION),
  }),
  run: async (transactor, body) => {
    for (const pull of body.pulls) {
      await transactor
        .tables<RegistryTables>()
        .insertInto("pull_count")
        .values(pull)
        .onConflict((conflict) =>
          conflict
            .columns(["repository", "digest", "actor", "day"])
            .doUpdateSet((is) => ({ count: is("pull_count.count", "+", pull.count) })),
        )
        .execute();
    }
    return null;
  },
});

const countRefusedMove = defineOperation({
  type: "registry.count-refused-move",
  body: z.strictObject({ org: z.string(), repository: z.string(), tag: z.string(), actor: z.string() }),
  run: async (transactor, body, { time }) => {
    const day = new Date(time).toISOString().slice(0, 10);
    await transactor
      .tables<RegistryTables>()
      .insertInto("refused_move_count")
      .values({ ...body, day, count: 1 })
      .onConflict((conflict) =>
        conflict
          .columns(["repository", "tag", "actor", "day"])
          .doUpdateSet((is) => ({ count: is("refused_move_count.count", "+", 1) })),
      )
      .execute();
    return null;
  },
});

/** After a repository was renamed: what was counted there counts under its new name. */
const carryCounts = defineOperation({
  type: "registry.carry-counts",
  body: z.strictObject({ from: z.string(), to: z.string() }),
  run: async (transactor, { from, to }) => {
    if ((await findRepository(transactor, from))?.ended?.heir !== to) return null;
    const tables = transactor.tables<RegistryTables>();
    await sql`insert into pull_count (repository, digest, actor, day, org, count)
      select cast(${to} as text), digest, actor, day, org, count from pull_count where repository = ${from}
      on conflict (repository, digest, actor, day) do update set count = pull_count.count + excluded.count`.execute(
      tables,
    );
    await tables.deleteFrom("pull_count").where("repository", "=", from).execute();
    await sql`insert into refused_move_count (repository, tag, actor, day, org, count)
      select cast(${to} as text), tag, actor, day, org, count from refused_move_count where repository = ${from}
      on conflict (repository, tag, actor, day) do update set count = refused_move_count.count + excluded.count`.execute(
      tables,
    );
    await tables.deleteFrom("refused_move_count").where("repository", "=", from).execute();
    return null;
  },
});

export const registryOperations = [...uploadOperations, ...leaseOperations, countPulls, countRefusedMove, carryCounts];
