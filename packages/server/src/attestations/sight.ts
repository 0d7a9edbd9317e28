import type { FastifyRequest } from "fastify";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorizeSight } from "../access/authorize.ts";
import { encodeCursor, pageOf } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import type { Reader } from "../storage/database.ts";
import { repositoriesOf } from "./queries.ts";

/** What one reader may see of an organisation's evidence: all of it, or what was given to repositories that they may read. */
export interface EvidenceSight {
  /** Whether they see everything, and so may be told how much there is. */
  readonly whole: boolean;
  sees(repository: string): boolean;
  /** Those of the pieces that they may see. What they may not see is not there for them. */
  visible<T extends { readonly digest: string }>(rows: readonly T[]): Promise<T[]>;
}

/** Who asks, and what they may see. @throws Problem 401; the refusal, one for an organisation that is not there and one that is not theirs. */
export async function evidenceSight(
  { reader, authenticator }: { readonly reader: Reader; readonly authenticator: Authenticator },
  request: FastifyRequest,
  org: string,
): Promise<EvidenceSight> {
  const actor = await requireActor(authenticator, request);
  const sight = await authorizeSight(reader, actor, "evidence.read", org);
  if (sight.refusal !== undefined) throw Problem.fromRefusal(sight.refusal);
  const { whole } = sight;
  const sees = (repository: string): boolean => sight.sees(repository);
  return {
    whole,
    sees,
    async visible(rows) {
      if (whole || rows.length === 0) return [...rows];
      const digests = [...new Set(rows.map((row) => row.digest))];
      const places = await repositoriesOf(reader, org, digests, Number.MAX_SAFE_INTEGER);
      const seen = new Set(places.filter((place) => sees(place.repository)).map((place) => place.digest));
      return rows.filter((row) => seen.has(row.digest));
    },
  };
}

/** Rows read at once for who sees a part of them only, and reads that one answer makes at most. */
const STEP = 200;
const MOST_STEPS = 20;

/** A part of a list. */
export interface Listed<T> {
  readonly rows: readonly T[];
  /** Where the list goes on, though fewer rows than asked for were found so far; undefined when it was looked through to its end. */
  readonly scannedTo: number | undefined;
}

/**
 * The next rows of a list that a reader may see, as many as wanted if there are so many. What they may not see is passed over before
 * anything is counted: a page that is short, or a place to go on from, would tell of it. Only behind very many rows that are not theirs
 * is there a place to go on from all the same, because one answer reads so many and no more.
 *
 * @param after where the list begins: a row's place.
 * @param ask reads the rows behind a place, at most so many.
 * @param place a row's place in the list's order.
 */
export async function visiblePage<T extends { readonly digest: string }>(
  sight: EvidenceSight,
  page: { readonly after: number | undefined; readonly wanted: number },
  ask: (after: number | undefined, limit: number) => Promise<Listed<T>>,
  place: (row: T) => number,
): Promise<Listed<T>> {
  const { wanted } = page;
  if (sight.whole) return await ask(page.after, wanted);
  const seen: T[] = [];
  let { after } = page;
  for (let step = 0; step < MOST_STEPS; step++) {
    const { rows, scannedTo } = await ask(after, STEP);
    seen.push(...(await sight.visible(rows)));
    if (seen.length >= wanted) return { rows: seen.slice(0, wanted), scannedTo: undefined };
    const last = rows.at(-1);
    if (last !== undefined && rows.length >= STEP) after = place(last);
    else if (scannedTo === undefined) return { rows: seen, scannedTo };
    else after = scannedTo;
  }
  return { rows: seen, scannedTo: after };
}

/** The page out of what was listed with one more than `limit`: its rows, and the cursor of the next; null at the list's end. */
export function listedPage<T>(
  { rows, scannedTo }: Listed<T>,
  limit: number,
  asOf: number,
  place: (row: T) => number,
): { items: T[]; next: string | null } {
  const { items, next } = pageOf(rows, limit, asOf, place);
  return { items, next: next ?? (scannedTo === undefined ? null : encodeCursor({ asOf, position: scannedTo })) };
}
