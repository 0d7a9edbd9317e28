import { type RecordReceipt, toBase64, toHex } from "@assay/evidence";

/**
 * Forms the receipt of an event from what was recorded and a proof that was checked. A redacted event (its salt is empty) is left out:
 * its receipt proves the commitment's place, and names the event that redacted it.
 */
export function formReceipt(
  event: {
    readonly sequence: number;
    readonly salt: Uint8Array;
    readonly bytes: Uint8Array;
    readonly commitment: Uint8Array;
    /** The sequence of the event that redacted it. */
    readonly redacted?: number | undefined;
  },
  proof: { readonly size: number; readonly proof: readonly Uint8Array[]; readonly checkpoint: string },
): RecordReceipt {
  return {
    sequence: event.sequence,
    ...(event.salt.length === 0 ? {} : { salt: toBase64(event.salt), event: toBase64(event.bytes) }),
    commitment: toHex(event.commitment),
    size: proof.size,
    proof: proof.proof.map(toHex),
    checkpoint: proof.checkpoint,
    ...(event.redacted === undefined ? {} : { redacted: event.redacted }),
  };
}
