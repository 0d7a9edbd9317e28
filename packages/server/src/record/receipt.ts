import { type RecordReceipt, toBase64, toHex } from "@assay/evidence";

/** Forms the receipt of an event from what was recorded and a proof that was checked. */
export function formReceipt(
  event: {
    readonly sequence: number;
    readonly salt: Uint8Array;
    readonly bytes: Uint8Array;
    readonly commitment: Uint8Array;
  },
  proof: { readonly size: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: string },
): RecordReceipt {
  return {
    sequence: event.sequence,
    salt: toBase64(event.salt),
    event: toBase64(event.bytes),
    commitment: toHex(event.commitment),
    size: proof.size,
    proof: proof.proof.map(toHex),
    checkpoint: proof.checkpoint,
  };
}
