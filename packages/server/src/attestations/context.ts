import type { RecordReceipt } from "@assay/evidence";
import type { Authenticator } from "../access/authenticate.ts";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import type { ArtifactBytes } from "./artifact-bytes.ts";

/** What the routes of attestations need. */
export interface AttestationsRoutesContext extends ArtifactBytes {
  readonly blobs: BlobStore;
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  readonly prover: { receipt(sequence: number): Promise<RecordReceipt | undefined> };
  /** Verifier keys of the record logs whose receipts count as time. */
  readonly logs: readonly string[];
  /** Where clients reach this server, without a slash at the end: what links in answers begin with. */
  readonly publicUrl: string;
}
