import type { Selectable } from "kysely";
import type { ListPlace } from "../access/queries.ts";
import type { Reader } from "../storage/database.ts";
import { countStanding, listStanding } from "../storage/named-rows.ts";
import type { MirrorTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type MirrorRow = Selectable<MirrorTables["mirror"]>;

/** What a repository mirrors now; undefined: nothing. */
export function currentMirror(reader: Reader, repository: string): Promise<MirrorRow | undefined> {
  return reader
    .tables<MirrorTables>()
    .selectFrom("mirror")
    .selectAll()
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .executeTakeFirst();
}

/** Whether a repository mirrors something now, or did once. */
export async function wasMirror(reader: Reader, repository: string): Promise<boolean> {
  const row = await reader
    .tables<MirrorTables>()
    .selectFrom("mirror")
    .select("from_seq")
    .where("repository", "=", repository)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether any repository of this server mirrors anything. */
export async function anyMirror(reader: Reader): Promise<boolean> {
  const row = await reader
    .tables<MirrorTables>()
    .selectFrom("mirror")
    .select("repository")
    // Every name: said so that both databases go along the index of those that stand.
    .where("repository", ">", "")
    .where("to_seq", "is", null)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** How many repositories of an organisation mirror something now. */
export function countMirrors(reader: Reader, org: string): Promise<number> {
  return countStanding(reader, "mirror", org);
}

/** What repositories of an organisation mirror, as of a sequence, by the sequence it was set at. */
export function listMirrors(reader: Reader, org: string, place: ListPlace): Promise<MirrorRow[]> {
  return listStanding(reader, "mirror", org, place);
}

/** Whether it is on record that this release tag did not follow its upstream to this digest. */
export async function tagRefused(reader: Reader, repository: string, tag: string, digest: string): Promise<boolean> {
  const row = await reader
    .tables<MirrorTables>()
    .selectFrom("mirror_refused_tag")
    .select("sequence")
    .where("repository", "=", repository)
    .where("tag", "=", tag)
    .where("refused", "=", digest)
    .executeTakeFirst();
  return row !== undefined;
}

/** The newest release tags of a repository that did not follow their upstream. */
export async function refusedTags(
  reader: Reader,
  repository: string,
  limit: number,
): Promise<{ tag: string; refused: string; sequence: number }[]> {
  return await reader
    .tables<MirrorTables>()
    .selectFrom("mirror_refused_tag")
    .select(["tag", "refused", "sequence"])
    .where("repository", "=", repository)
    .orderBy("sequence", "desc")
    .limit(limit)
    .execute();
}

/** A credential as it is kept, encrypted. */
export async function sealedCredential(reader: Reader, org: string, id: string): Promise<string | undefined> {
  const row = await reader
    .tables<MirrorTables>()
    .selectFrom("mirror_credential")
    .select("sealed")
    .where("org", "=", org)
    .where("id", "=", id)
    .executeTakeFirst();
  return row?.sealed;
}

/** When the upstream was last asked about a tag, or about evidence for a digest, ms; undefined: never. */
export async function lastLook(reader: Reader, repository: string, reference: string): Promise<number | undefined> {
  const row = await reader
    .tables<MirrorTables>()
    .selectFrom("mirror_look")
    .select("time")
    .where("repository", "=", repository)
    .where("reference", "=", reference)
    .executeTakeFirst();
  return row?.time;
}
