import type { Selectable } from "kysely";
import type { ListPlace } from "../access/queries.ts";
import type { RecordTables } from "../record/schema.ts";
import type { Reader } from "../storage/database.ts";
import { countStanding, currentNamed, listStanding } from "../storage/named-rows.ts";
import type { DeliveryState, WebhookTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type WebhookRow = Selectable<WebhookTables["webhook"]>;
export type CursorRow = Selectable<WebhookTables["webhook_cursor"]>;
export type DeliveryRow = Selectable<WebhookTables["webhook_delivery"]>;

/** The endpoint of this name as it stands now. */
export function currentWebhook(reader: Reader, org: string, name: string): Promise<WebhookRow | undefined> {
  return currentNamed(reader, "webhook", org, name);
}

/** The endpoint of this id as it stands now; undefined when it was removed. */
export function webhookById(reader: Reader, org: string, id: number): Promise<WebhookRow | undefined> {
  return reader
    .tables<WebhookTables>()
    .selectFrom("webhook")
    .selectAll()
    .where("org", "=", org)
    .where("id", "=", id)
    .where("to_seq", "is", null)
    .executeTakeFirst();
}

/** An endpoint as it stood while events from `first` to `last` came, and as it was made: in order. */
export async function webhookVersions(
  reader: Reader,
  webhook: { readonly org: string; readonly id: number },
  first: number,
  last: number,
): Promise<Pick<WebhookRow, "kinds" | "repositories" | "from_seq">[]> {
  return await reader
    .tables<WebhookTables>()
    .selectFrom("webhook")
    .select(["kinds", "repositories", "from_seq"])
    .where("org", "=", webhook.org)
    .where("id", "=", webhook.id)
    .where((where) =>
      where.or([
        where("from_seq", "=", webhook.id),
        where.and([
          where("from_seq", "<=", last),
          where.or([where("to_seq", "is", null), where("to_seq", ">", first)]),
        ]),
      ]),
    )
    .orderBy("from_seq")
    .execute();
}

/** How many endpoints an organisation has now. */
export function countWebhooks(reader: Reader, org: string): Promise<number> {
  return countStanding(reader, "webhook", org);
}

/** An organisation's endpoints as of a sequence, in the order they were last set. */
export function listWebhooks(reader: Reader, org: string, place: ListPlace): Promise<WebhookRow[]> {
  return listStanding(reader, "webhook", org, place);
}

/** The endpoints an organisation has now. */
export function webhooksOf(reader: Reader, org: string): Promise<WebhookRow[]> {
  return reader
    .tables<WebhookTables>()
    .selectFrom("webhook")
    .selectAll()
    .where("org", "=", org)
    .where("to_seq", "is", null)
    .execute();
}

/** Every organisation's endpoints as they stand now, by organisation and name, those behind `after`. */
export function allWebhooks(
  reader: Reader,
  after: { readonly org: string; readonly name: string },
  limit: number,
): Promise<WebhookRow[]> {
  return reader
    .tables<WebhookTables>()
    .selectFrom("webhook")
    .selectAll()
    .where((where) => where(where.refTuple("org", "name"), ">", where.tuple(after.org, after.name)))
    .where("to_seq", "is", null)
    .orderBy("org")
    .orderBy("name")
    .limit(limit)
    .execute();
}

/** How far an endpoint was told; undefined before the first time. */
export function cursorOf(reader: Reader, org: string, webhook: number): Promise<CursorRow | undefined> {
  return reader
    .tables<WebhookTables>()
    .selectFrom("webhook_cursor")
    .selectAll()
    .where("org", "=", org)
    .where("webhook", "=", webhook)
    .executeTakeFirst();
}

/** What became of one delivery. */
export function findDelivery(
  reader: Reader,
  org: string,
  webhook: number,
  sequence: number,
): Promise<DeliveryRow | undefined> {
  return reader
    .tables<WebhookTables>()
    .selectFrom("webhook_delivery")
    .selectAll()
    .where("org", "=", org)
    .where("webhook", "=", webhook)
    .where("sequence", "=", sequence)
    .executeTakeFirst();
}

/** An endpoint's deliveries, those of the newest events first. */
export async function listDeliveries(
  reader: Reader,
  place: {
    readonly org: string;
    readonly webhook: number;
    readonly state: DeliveryState | undefined;
    readonly before: number | undefined;
    readonly limit: number;
  },
): Promise<DeliveryRow[]> {
  let query = reader
    .tables<WebhookTables>()
    .selectFrom("webhook_delivery")
    .selectAll()
    .where("org", "=", place.org)
    .where("webhook", "=", place.webhook)
    .where("sequence", "<", place.before ?? Number.MAX_SAFE_INTEGER)
    .orderBy("sequence", "desc")
    .limit(place.limit);
  if (place.state !== undefined) query = query.where("state", "=", place.state);
  return await query.execute();
}

/** The event of the `keep`-th newest delivery of an endpoint in a state: older ones are let go. */
export async function oldestKept(
  reader: Reader,
  webhook: { readonly org: string; readonly id: number },
  state: DeliveryState,
  keep: number,
): Promise<number | undefined> {
  const row = await reader
    .tables<WebhookTables>()
    .selectFrom("webhook_delivery")
    .select("sequence")
    .where("org", "=", webhook.org)
    .where("webhook", "=", webhook.id)
    .where("state", "=", state)
    .orderBy("sequence", "desc")
    .offset(keep)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.sequence;
}

/** An event as it lies in the record. */
export interface StoredFact {
  readonly sequence: number;
  readonly org_sequence: number;
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** What of an organisation's events after one (by org sequence) came: where they are and of which type, in order. */
export function eventTypesAfter(
  reader: Reader,
  org: string,
  after: number,
  limit: number,
): Promise<Pick<StoredFact, "sequence" | "org_sequence" | "type">[]> {
  return reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select(["sequence", "org_sequence", "type"])
    .where("org", "=", org)
    .where("org_sequence", ">", after)
    .orderBy("org_sequence")
    .limit(limit)
    .execute();
}

/** One event, if it is that organisation's. */
export function storedFact(reader: Reader, org: string, sequence: number): Promise<StoredFact | undefined> {
  return reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select(["sequence", "org_sequence", "type", "bytes"])
    .where("sequence", "=", sequence)
    .where("org", "=", org)
    .executeTakeFirst();
}

/**
 * The org sequence of the last event of an organisation before `sequence`; -1 when there is none. Both grow together, so it is found by
 * halving.
 */
export async function orgSequenceBefore(reader: Reader, org: string, sequence: number): Promise<number> {
  const tables = reader.tables<RecordTables>();
  const head = await tables.selectFrom("org_head").select("org_sequence").where("org", "=", org).executeTakeFirst();
  let low = -1;
  let high = (head?.org_sequence ?? -1) + 1;
  // INVARIANT: the event at `low` is before `sequence`, that at `high` is not.
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const row = await tables
      .selectFrom("event")
      .select("sequence")
      .where("org", "=", org)
      .where("org_sequence", "=", middle)
      .executeTakeFirst();
    if (row !== undefined && row.sequence < sequence) low = middle;
    else high = middle;
  }
  return low;
}
