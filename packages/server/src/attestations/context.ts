import type { RecordReceipt } from "@assay/evidence";
import type { Authenticator } from "../access/authenticate.ts";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";

/** What the routes of attestations need. */
export interface AttestationsRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly blobs: BlobStore;
  readonly authenticator: Authenticator;
  readonly prover: { receipt(sequence: number): Promise<RecordReceipt | undefined> };
  /** Verifier keys of the record logs whose receipts count as time. */
  readonly logs: readonly string[];
}
