import type { RecordReceipt } from "@assay/evidence";
import type { Authenticator } from "../access/authenticate.ts";
import type { ArtifactBytes } from "../attestations/artifact-bytes.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { RecordClient } from "../record/client.ts";
import type { PullGate } from "../registry/pull-gate.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";

/** What deciding needs. */
export interface GateContext extends ArtifactBytes {
  readonly blobs: BlobStore;
  readonly reader: Reader;
  readonly record: RecordClient;
  /** Signs verification summaries (purpose "vsa"). */
  readonly keyring: Pick<Keyring, "key" | "sign">;
  readonly prover: { receipt(sequence: number): Promise<RecordReceipt | undefined> };
  /** Names this server as the verifier, and is where its links lead. Without a slash at the end. */
  readonly publicUrl: string;
  /** Verifier keys of the record logs whose receipts count as time. */
  readonly logs: readonly string[];
  /** The clock, ms since 1970; the system's when absent. */
  readonly now?: () => number;
}

/** What the routes of the gate need. */
export interface GateRoutesContext extends GateContext {
  readonly authenticator: Authenticator;
  /** What a repository serves to whom: a promotion takes out of it no more than a pull. */
  readonly pullGate: PullGate;
}
