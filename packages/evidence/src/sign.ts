/** Making statements and bundles. The private key stays with the caller, who gives a function that signs. */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { formatBundle, type MessageDigest } from "./bundle.ts";
import { IN_TOTO_PAYLOAD_TYPE, pae } from "./dsse.ts";
import { utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import type { JsonObject } from "./json.ts";
import { keyHint, type PublicKey } from "./keys.ts";
import { nobleCrypto } from "./noblecrypto.ts";
import { parseStatement, STATEMENT_V1, type Subject } from "./statement.ts";

/** Signs bytes with the private half of a {@link PublicKey}, by that key's algorithm (ECDSA in DER). */
export type Signer = (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** What a statement says. */
export type StatementContent = {
  readonly subjects: readonly Subject[];
  readonly predicateType: string;
  readonly predicate: JsonObject;
};

/** Payload bytes of an in-toto Statement v1. Throws what `parseStatement` would throw for it. */
export function buildStatement({ subjects, predicateType, predicate }: StatementContent): Uint8Array {
  const bytes = utf8Encode(JSON.stringify({ _type: STATEMENT_V1, subject: subjects, predicateType, predicate }));
  // What we could not read ourselves we do not let anyone sign.
  parseStatement(bytes);
  return bytes;
}

/** JSON bytes of a bundle around a signed statement. Throws `statement-invalid` and, for a signer that does not fit, `sign-invalid`. */
export async function signStatement(request: {
  readonly payloadBytes: Uint8Array;
  readonly sign: Signer;
  readonly publicKey: PublicKey;
}): Promise<Uint8Array> {
  const { payloadBytes: payload, publicKey } = request;
  parseStatement(payload);
  const signature = await signChecked(request.sign, publicKey, pae(IN_TOTO_PAYLOAD_TYPE, payload));
  const envelope = { payloadType: IN_TOTO_PAYLOAD_TYPE, payload, signature, keyid: undefined };
  return formatBundle({ hint: keyHint(publicKey), content: { kind: "dsse", envelope } });
}

/** JSON bytes of a bundle around a signature over `message` itself. Throws `sign-invalid` for a signer that does not fit. */
export async function signMessage(request: {
  readonly message: Uint8Array;
  readonly sign: Signer;
  readonly publicKey: PublicKey;
}): Promise<Uint8Array> {
  const { message, publicKey } = request;
  const signature = await signChecked(request.sign, publicKey, message);
  const messageDigest = digestFor(publicKey, message);
  return formatBundle({ hint: keyHint(publicKey), content: { kind: "message", messageDigest, signature } });
}

/** A signature is verified before it leaves: a wrong key or a faulty signer must not be found out by the receiver. */
async function signChecked(sign: Signer, publicKey: PublicKey, bytes: Uint8Array): Promise<Uint8Array> {
  const signature = await sign(bytes);
  if (!nobleCrypto.verify(publicKey, signature, bytes)) {
    throw new EvidenceError("sign-invalid", "The signature made does not verify with the public key given.");
  }
  return signature;
}

/**
 * The digest that is signed, or for Ed25519, which signs the message itself, the one that names the artifact: clients want
 * some digest in every bundle, even where cosign's own signer leaves it out.
 */
function digestFor(key: PublicKey, message: Uint8Array): MessageDigest {
  switch (key.algorithm) {
    case "ecdsa-p256-sha256":
    case "rsa-pkcs1-sha256":
    case "ed25519":
      return { algorithm: "SHA2_256", digest: sha256(message) };
    case "ecdsa-p384-sha384":
      return { algorithm: "SHA2_384", digest: sha384(message) };
    case "ecdsa-p521-sha512":
      return { algorithm: "SHA2_512", digest: sha512(message) };
  }
}
