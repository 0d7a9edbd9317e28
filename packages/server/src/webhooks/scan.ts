import type { RecordedEvent } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { filterOfRow } from "./endpoint.ts";
import { type Fact, factOf, isTold, tells } from "./fact.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { eventTypesAfter, type StoredFact, storedFact, type WebhookRow, webhookVersions } from "./queries.ts";

/** Reads an event's stored bytes as its newest version. Filled by the composition, which knows every room's events. */
export type Lift = (stored: StoredFact) => RecordedEvent;

/** How far was looked (org sequence), and the first event on the way that the endpoint is told. */
export interface Scanned {
  readonly to: number;
  readonly next: { readonly sequence: number; readonly orgSequence: number } | undefined;
  /** Whether the organisation has nothing newer. */
  readonly end: boolean;
}

/**
 * Looks for the next event after `position` that an endpoint is told, one step far. What counts for an event is what the endpoint was set to
 * hear when it came; for one from before the endpoint was made, what it was made with.
 */
export async function scan(reader: Reader, lift: Lift, webhook: WebhookRow, position: number): Promise<Scanned> {
  const rows = await eventTypesAfter(reader, webhook.org, position, WEBHOOK_LIMITS.scanStep);
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return { to: position, next: undefined, end: true };
  const versions = await webhookVersions(reader, webhook, first.sequence, last.sequence);
  for (const row of rows) {
    if (!tells(row.type)) continue;
    const version = versions.findLast(({ from_seq }) => from_seq <= row.sequence) ?? versions[0];
    const fact = await factAt(reader, lift, webhook.org, row.sequence);
    if (version === undefined || fact === undefined || !isTold(filterOfRow(version), fact.fact)) continue;
    const next = { sequence: row.sequence, orgSequence: row.org_sequence };
    return { to: row.org_sequence - 1, next, end: false };
  }
  return { to: last.org_sequence, next: undefined, end: rows.length < WEBHOOK_LIMITS.scanStep };
}

/** What an organisation's event tells, with the event; undefined when it is not there, is another's, or tells nothing. */
export async function factAt(
  reader: Reader,
  lift: Lift,
  org: string,
  sequence: number,
): Promise<{ readonly event: RecordedEvent; readonly fact: Fact } | undefined> {
  const stored = await storedFact(reader, org, sequence);
  if (stored === undefined) return undefined;
  const event = lift(stored);
  const fact = factOf(event);
  return fact === undefined ? undefined : { event, fact };
}
