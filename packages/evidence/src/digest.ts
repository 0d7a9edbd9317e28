import type { Crypto } from "./crypto.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

declare const digestBrand: unique symbol;

/** The name of an artifact or document: `"sha256:"` and 64 lower-case hexadecimal digits. Made by the functions below only. */
export type Digest = string & { readonly [digestBrand]: true };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is a digest. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && DIGEST.test(text);
}

/** The digest written in `text`. Throws `digest-invalid`. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) {
    throw new EvidenceError("digest-invalid", `Not a sha256 digest: ${JSON.stringify(String(text).slice(0, 100))}.`);
  }
  return text;
}

/** The 64 hexadecimal digits of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** The digest of `bytes`. */
export function digestOf(crypto: Crypto, bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${toHex(crypto.sha256(bytes))}`);
}
