import { sql } from "kysely";
import type { NewEvent, Refusal } from "../record/command.ts";
import type { Reader, Transactor } from "../storage/database.ts";
import type { RegistryTables } from "./schema.ts";
import { type Content, growth, leasedIn, type Quota, quotasOver } from "./quota-queries.ts";
import { WARN_FROM } from "./quota-usage.ts";

/** Where something is to be kept. */
export interface QuotaPlace {
  readonly org: string;
  /** The whole name. */
  readonly repository: string;
}

/** Whether there is room for something: what is recorded with it, or why not. */
export type Room = { readonly events: readonly NewEvent[] } | { readonly refusal: Refusal };

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Bytes for people: "1.5 GiB". */
function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${UNITS[power] ?? "B"}`;
}

/** A scope as people call it. */
function scopeText({ scope, repository }: Pick<Quota, "scope" | "repository">): string {
  return repository === null ? `organisation ${scope}` : scope;
}

function full(quota: Limit, used: number, needed: number): Refusal {
  return {
    code: "quota-exceeded",
    status: 403,
    message: `the quota of ${scopeText(quota)} is ${sizeText(quota.bytes)}, of which ${sizeText(used)} are used: there is no room for ${sizeText(needed)} more`,
    hint: "delete what is not needed (`assay retention`), or ask an administrator for a larger quota",
    detail: { scope: quota.scope, bytes: quota.bytes, used, needed },
  };
}

type Limit = Quota & { readonly bytes: number };

/** The quotas that hold for a repository and say how much. */
async function limitsOver(reader: Reader, place: QuotaPlace): Promise<Limit[]> {
  return (await quotasOver(reader, place)).filter((quota): quota is Limit => quota.bytes !== null);
}

/**
 * Whether a repository and its organisation have room for manifests and what they hold. Asked inside the appending transaction, so that of two
 * pushes for which there is room once, one is refused. What is held there already takes none.
 */
export async function roomFor(reader: Reader, place: QuotaPlace, content: () => Promise<Content>): Promise<Room> {
  const quotas = await limitsOver(reader, place);
  if (quotas.length === 0) return { events: [] };
  const wanted = await content();
  const events: NewEvent[] = [];
  for (const quota of quotas) {
    const { scope, bytes, used, warned } = quota;
    const more = await growth(reader, scope, wanted);
    // What needs no room is taken also where less is allowed by now than is there.
    if (more <= 0) continue;
    if (used + more > bytes) return { refusal: full(quota, used, more) };
    if (!warned && (used + more) * 100 >= bytes * WARN_FROM) {
      events.push({ type: "registry.quota-neared", body: { scope, bytes, used: used + more } });
    }
  }
  return { events };
}

/**
 * Blobs that no manifest names which a scope with a quota may have: they are gone through at each upload's end. A manifest names at most half as
 * many, and should follow its blobs.
 */
const UNNAMED = 8_192;

/**
 * Why a repository and its organisation have no room for one more blob that no manifest names yet; undefined when they have. What lies there by
 * a lease counts, so that nobody fills a store with what they never name.
 *
 * @param blob its digest; null while that is not known.
 */
export async function noRoomForBlob(
  reader: Reader,
  place: QuotaPlace,
  blob: { readonly digest: string | null; readonly size: number },
  now: number,
): Promise<Refusal | undefined> {
  return await noRoomUnder(reader, await limitsOver(reader, place), blob, now);
}

async function noRoomUnder(
  reader: Reader,
  limits: readonly Limit[],
  blob: { readonly digest: string | null; readonly size: number },
  now: number,
): Promise<Refusal | undefined> {
  const digest = blob.digest ?? "";
  for (const quota of limits) {
    const more = await growth(reader, quota.scope, new Map([[digest, blob.size]]));
    if (more <= 0) continue;
    const leased = await leasedIn(reader, quota, now, digest);
    const used = quota.used + leased.bytes;
    if (used + more > quota.bytes) return full(quota, used, more);
    if (leased.blobs >= UNNAMED) {
      return {
        code: "blobs-unnamed",
        status: 403,
        message: `${leased.blobs} blobs lie in ${scopeText(quota)} that no manifest names`,
        hint: "push the manifests that name them, or wait: what is never named goes a day after it came",
      };
    }
  }
  return undefined;
}

/** {@link noRoomForBlob} of the answer that counts, in an operation. What was named since is passed over from then on. */
export async function noRoomNow(
  transactor: Transactor,
  place: QuotaPlace,
  blob: { readonly digest: string; readonly size: number },
  now: number,
): Promise<Refusal | undefined> {
  const limits = await limitsOver(transactor, place);
  if (limits.length === 0) return undefined;
  await sql`update blob_lease set named = 1 where org = ${place.org} and named = 0 and exists (
    select 1 from manifest_reference
    where manifest_reference.repository = blob_lease.repository and manifest_reference.digest = blob_lease.digest
      and manifest_reference.to_seq is null and manifest_reference.held = 1
  )`.execute(transactor.tables<RegistryTables>());
  return await noRoomUnder(transactor, limits, blob, now);
}
