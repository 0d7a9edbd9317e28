/** DSSE: the Dead Simple Signing Envelope, v1 (secure-systems-lab/dsse: envelope.md, protocol.md). */
import { concatBytes, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import type { JsonValue } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";

/** Payload type of in-toto statements; the only one whose payload this package reads. */
export const IN_TOTO_PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** An envelope with its one signature. Nothing in it is verified. */
export type Envelope = {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  /** Whom the envelope claims to be signed by: a hint, absent when empty. */
  readonly keyid: string | undefined;
};

/**
 * Reads an envelope. Exactly one signature is demanded, as Sigstore bundles do: with several, "who signed" would depend on
 * which one a reader looks at. Throws `envelope-invalid`, `too-large`.
 */
export function parseEnvelope(json: JsonValue | undefined): Envelope {
  const members = new Members(json, "dsseEnvelope", "envelope-invalid").only(["payload", "payloadType", "signatures"]);
  const payloadType = members.string("payloadType", LIMITS.typeLength);
  if (payloadType === "") throw members.wrong("payloadType", "is empty");
  const payload = members.bytes("payload", LIMITS.payloadBytes);
  const [first, ...others] = members.array("signatures", LIMITS.materialEntries);
  if (first === undefined || others.length > 0) {
    throw new EvidenceError("envelope-invalid", "dsseEnvelope.signatures does not hold exactly one signature.");
  }
  const entry = new Members(first, "dsseEnvelope.signatures[0]", "envelope-invalid").only(["sig", "keyid"]);
  const signature = entry.bytes("sig", LIMITS.signatureBytes);
  if (signature.length === 0) throw entry.wrong("sig", "is empty");
  const keyid = entry.optionalString("keyid", LIMITS.typeLength);
  return { payloadType, payload, signature, keyid: keyid === "" ? undefined : keyid };
}

/** The bytes a DSSE signature is made over: Pre-Authentication Encoding, "DSSEv1 <n> <type> <n> <payload>". */
export function pae(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8Encode(payloadType);
  return concatBytes(utf8Encode(`DSSEv1 ${type.length} `), type, utf8Encode(` ${payload.length} `), payload);
}
