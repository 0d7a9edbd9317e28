import type { NotationAlgorithm, SignedAttributes } from "./notation-attributes.ts";

/** What the two envelope formats (notation-jws.ts, notation-cose.ts) have in common. Nothing in it is verified. */
export type NotationEnvelope = {
  readonly format: "jws" | "cose";
  /** DER certificates, the signer's first. */
  readonly certificates: readonly Uint8Array[];
  readonly algorithm: NotationAlgorithm;
  /** The bytes that are signed. */
  readonly signedBytes: Uint8Array;
  /** The signature as the format writes it, which is also what a timestamp is over: of ECDSA r ‖ s, of fixed width. */
  readonly signature: Uint8Array;
  /** The payload's JSON. */
  readonly payload: Uint8Array;
  readonly attributes: SignedAttributes;
  /** An RFC 3161 TimeStampToken; unsigned. */
  readonly timestamp: Uint8Array | undefined;
};
