import type { Digest } from "@assay/evidence";
import { sql } from "kysely";
import { z } from "zod";
import { generationOf } from "../collection/generation.ts";
import { defineOperation, type JsonObject } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { preparedWrite } from "../storage/prepared-write.ts";
import { canonicalDigest } from "./alias-queries.ts";
import { isSha512, type Sha512 } from "./digest.ts";
import { asJson, digest, leaseMs, named, sha512, size } from "./operation-shapes.ts";
import { findBlob, isAwaited, manifestsNaming } from "./queries.ts";
import { noRoomNow } from "./quota-rule.ts";
import { findRepository } from "./repository-queries.ts";
import type { RegistryTables } from "./schema.ts";

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

/** Begins or renews a blob's lease. @param expires ms since the epoch. */
export async function lease(transactor: Transactor, blob: Lease, expires: number): Promise<void> {
  await putLease(transactor, { ...blob, expires });
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
export async function takeWhole(
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
/** Leases: a blob's link to a repository while no manifest there names it. */
export const leaseOperations = [
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
