import type { Crypto } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Batch } from "../storage/database.ts";
import { EventChecker, type StoredEvent, storedEvents } from "./check-events.ts";
import type { Finding } from "./finding.ts";
import type { RecordParts } from "./parts.ts";
import { clearProjections, replayEvents } from "./replay.ts";

/**
 * Empties every projected table and fills it again from the events, in the caller's transaction, which must be the only one that writes.
 * Events that do not hold against their leaves, chains and redactions are never replayed.
 *
 * @returns how many events there are.
 * @throws ServerError `check-failed` when the events themselves are damaged, and what lifting and projecting an event throw; then the
 *   transaction must not be committed.
 */
export async function refill(
  batch: Batch,
  parts: RecordParts,
  crypto: Crypto,
  tell: (line: string) => void = () => undefined,
): Promise<number> {
  const checker = new EventChecker({ crypto, reader: batch });
  const stop = ({ where, problem, action }: Finding): never => {
    throw new ServerError("check-failed", `${where}: ${problem}`, { hint: action });
  };
  await clearProjections(batch, parts);
  let count = 0;
  const checked = async function* (): AsyncGenerator<StoredEvent> {
    for await (const event of storedEvents(batch)) {
      const [first] = (await checker.check(event)).findings;
      if (first !== undefined) stop(first);
      yield event;
      count += 1;
      if (count % 1000 === 0) tell(`events: ${count}`);
    }
  };
  await replayEvents(batch, parts, checked());
  for await (const finding of checker.finish()) stop(finding);
  return count;
}
