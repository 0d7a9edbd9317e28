import type { RecordClient } from "../record/client.ts";
import { HourCounter } from "./hour-counter.ts";
import { MAX_COUNTS_PER_FLUSH } from "./operations.ts";

/**
 * Who is counted when nobody proved who they are: a user name somebody typed is no identity. Also whose the tokens are that the registry gives
 * out for public repositories without a credential: no principal that anybody can make has this form, and it has no role anywhere.
 */
export const ANONYMOUS = "(anonymous)";

/** Counts refused requests per identity, route and hour. They are no events: who has no identity never appends. */
export function denialCounter(record: Pick<RecordClient, "operate">, now: () => number): HourCounter {
  return new HourCounter(
    (denials) => record.operate("access.count-denials", { denials: denials.map((denial) => ({ ...denial })) }),
    MAX_COUNTS_PER_FLUSH,
    now,
  );
}
