import type { JsonValue, RecordReceipt } from "@assay/evidence";
import type { Command, JsonObject, Refusal } from "./command.ts";
import type { RecordStamp } from "./stamp.ts";

/** What came of an append: receipts for the events recorded (none when nothing changed) and each command's result. */
export type Appended =
  | { readonly ok: true; readonly receipts: RecordReceipt[]; readonly results: JsonValue[] }
  | { readonly ok: false; readonly refusal: Refusal };

/**
 * The one way to change anything. `append` decides and records; several commands given together are accepted or refused as one.
 * When it resolves with receipts, what they name is durable.
 */
export interface RecordClient {
  /** Absent where others write the record too, or from another process. */
  readonly stamp?: RecordStamp | undefined;
  append(commands: Command | readonly Command[]): Promise<Appended>;
  /** Changes unrecorded state (leases, sessions, counters), durably. */
  operate(type: string, body: JsonObject): Promise<JsonValue>;
}
