import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign as nodeSign } from "node:crypto";
import { EvidenceError, type KeyAlgorithm, type PublicKey, parseSpki } from "../src/index.ts";
import { NODE_HASH } from "./nodecrypto.ts";

/** A private key that can sign and be written, but does not show itself in logs or JSON. */
export class PrivateKey {
  readonly #key: KeyObject;
  readonly publicKey: PublicKey;

  private constructor(key: KeyObject) {
    this.#key = key;
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    // The same strict reading as for everyone's keys: what we would not verify with, we do not sign with.
    this.publicKey = parseSpki(spki);
  }

  get algorithm(): KeyAlgorithm {
    return this.publicKey.algorithm;
  }

  /** Wraps Node's key object. Throws `key-unsupported`. */
  static fromKeyObject(key: KeyObject): PrivateKey {
    return new PrivateKey(key);
  }

  /** Signature over `data` by the key's algorithm: DER for ECDSA, 64 bytes for Ed25519, PKCS#1 v1.5 for RSA. */
  sign(data: Uint8Array): Uint8Array {
    const signature = nodeSign(NODE_HASH[this.algorithm], data, { key: this.#key, dsaEncoding: "der" });
    return Uint8Array.from(signature);
  }

  /** Unencrypted PKCS #8 DER (RFC 5958). Secret. */
  toPkcs8(): Uint8Array {
    return Uint8Array.from(this.#key.export({ format: "der", type: "pkcs8" }));
  }

  /** Unencrypted PKCS #8 PEM. Secret. */
  toPem(): string {
    return this.#key.export({ format: "pem", type: "pkcs8" }).toString();
  }

  toJSON(): { algorithm: KeyAlgorithm; keyId: string } {
    return { algorithm: this.algorithm, keyId: this.publicKey.keyId };
  }
}

/** A new key. RSA keys have 3072 bits. */
export function generateKeyPair(algorithm: KeyAlgorithm): PrivateKey {
  switch (algorithm) {
    case "ecdsa-p256-sha256":
      return PrivateKey.fromKeyObject(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    case "ecdsa-p384-sha384":
      return PrivateKey.fromKeyObject(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey);
    case "ecdsa-p521-sha512":
      return PrivateKey.fromKeyObject(generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey);
    case "rsa-pkcs1-sha256":
      return PrivateKey.fromKeyObject(generateKeyPairSync("rsa", { modulusLength: 3072 }).privateKey);
    case "ed25519":
      return PrivateKey.fromKeyObject(generateKeyPairSync("ed25519").privateKey);
  }
}

/** Reads an unencrypted PKCS #8, SEC 1 or PKCS #1 PEM. Throws `private-key-invalid`, `key-unsupported`. */
export function privateKeyFromPem(pem: string): PrivateKey {
  return read(() => createPrivateKey({ key: pem, format: "pem" }));
}

/** Reads unencrypted PKCS #8 DER. Throws `private-key-invalid`, `key-unsupported`. */
export function privateKeyFromPkcs8(der: Uint8Array): PrivateKey {
  return read(() => createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" }));
}

/** Signature over `data`; the same as `key.sign(data)`. */
export function sign(key: PrivateKey, data: Uint8Array): Uint8Array {
  return key.sign(data);
}

function read(make: () => KeyObject): PrivateKey {
  let key: KeyObject;
  try {
    key = make();
  } catch (cause) {
    throw new EvidenceError("private-key-invalid", "Not an unencrypted private key that can be read.", { cause });
  }
  return PrivateKey.fromKeyObject(key);
}
