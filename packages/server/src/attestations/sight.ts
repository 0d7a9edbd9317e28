import type { FastifyRequest } from "fastify";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorizeSight } from "../access/authorize.ts";
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
