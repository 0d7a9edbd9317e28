import type { WebhookFormat } from "./endpoint.ts";

/** What became of a delivery so far: `failed` is tried again, `dead` is not, unless somebody replays it. */
export const DELIVERY_STATES = ["delivered", "failed", "dead"] as const;

export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** The tables of this room (migration 0016). */
export interface WebhookTables {
  /** Projected: where an organisation is told what, as it stood from `from_seq` on. */
  webhook: {
    org: string;
    name: string;
    /** The sequence of the event that made it: another endpoint of the same name later is another. */
    id: number;
    /** That event's place in its organisation: what came after is told. */
    born_org_sequence: number;
    url: string;
    /** JSON array of kinds. */
    kinds: string;
    /** JSON array of patterns; null: everywhere, and what lies in no repository. */
    repositories: string | null;
    format: WebhookFormat;
    /** Names the secret, which is derived and lies nowhere (secret.ts). */
    secret: string;
    /** The former secret's name, and until when it signs too, ms. */
    previous_secret: string | null;
    previous_until: number | null;
    /** Since when it is told nothing, ms: what comes waits in the record. Null: it is told. */
    paused_time: number | null;
    set_time: number;
    set_by: string;
    from_seq: number;
    to_seq: number | null;
  };
  /** Unrecorded: how far an endpoint has been told. */
  webhook_cursor: {
    org: string;
    webhook: number;
    /** The organisation's events up to this one (its org sequence) are told, dead, or nothing to tell. */
    position: number;
    /** The event (sequence) that a job is to deliver next; null: none was found yet. */
    head: number | null;
  };
  /** Unrecorded: what became of each delivery. */
  webhook_delivery: {
    org: string;
    webhook: number;
    /** The event's. */
    sequence: number;
    /** What the message says happened: its CloudEvents type. */
    type: string;
    state: DeliveryState;
    /** Requests made. */
    attempts: number;
    /** The newest answer's HTTP status; null when there was none. */
    status: number | null;
    /** Why the newest attempt failed; null when it did not. */
    error: string | null;
    /** When it was first and last tried, ms. */
    first_time: number;
    last_time: number;
  };
}
