import type { Authenticator } from "../access/authenticate.ts";
import type { RecordClient } from "../record/client.ts";
import type { Reader } from "../storage/database.ts";

/** What the routes of trust need. */
export interface TrustRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  /** Verifier keys of the record logs whose receipts count as time: written into every trust file. */
  readonly logs: readonly string[];
}
