import { createHash } from "node:crypto";
import { type Digest, digestOf, isDigest } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { OciError } from "./errors.ts";

declare const sha512Brand: unique symbol;

/** `"sha512:"` and 128 lower-case hexadecimal digits: another name of bytes, whose own name is their {@link Digest}. */
export type Sha512 = string & { readonly [sha512Brand]: true };

/** A digest as a client or a manifest writes it. It is resolved to a {@link Digest} before anything is decided (digest-alias.ts). */
export type NamedDigest = Digest | Sha512;

/** The algorithms whose digests name bytes here (OCI image-spec, "Registered algorithms"). */
export type DigestAlgorithm = "sha256" | "sha512";

/** The grammar of any digest (OCI image-spec, "Digests"). */
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

const SHA512 = /^sha512:[0-9a-f]{128}$/;

export function isSha512(text: unknown): text is Sha512 {
  return typeof text === "string" && SHA512.test(text);
}

export function isNamedDigest(text: unknown): text is NamedDigest {
  return isDigest(text) || isSha512(text);
}

/** The SHA-512 digest whose 64 bytes are written in hexadecimal digits. */
export function sha512OfHex(hex: string): Sha512 {
  const text = `sha512:${hex}`;
  if (!isSha512(text)) throw new TypeError("not the 128 hexadecimal digits of a SHA-512");
  return text;
}

/** The algorithm that a digest is written in. */
export function algorithmOf(named: NamedDigest): DigestAlgorithm {
  return isSha512(named) ? "sha512" : "sha256";
}

/** The digest of bytes in the algorithm that another digest is written in. */
export function digestLike(other: NamedDigest, bytes: Uint8Array): NamedDigest {
  return isSha512(other) ? sha512OfHex(createHash("sha512").update(bytes).digest("hex")) : digestOf(nodeCrypto, bytes);
}

/**
 * Reads a digest from a path or query.
 *
 * @throws OciError 400 `UNSUPPORTED` for a well-formed digest of another algorithm, 400 `DIGEST_INVALID` for anything else.
 */
export function readDigest(text: string): NamedDigest {
  if (isNamedDigest(text)) return text;
  const shown = JSON.stringify(text.slice(0, 200));
  if (ANY_DIGEST.test(text) && !/^sha(?:256|512):/.test(text)) {
    throw new OciError(
      400,
      "UNSUPPORTED",
      `${shown} is a digest of an algorithm this registry does not support: use sha256 or sha512`,
    );
  }
  throw new OciError(
    400,
    "DIGEST_INVALID",
    `${shown} is not a digest: write "sha256:" and 64 lower-case hexadecimal digits, or "sha512:" and 128`,
  );
}

/**
 * Reads `?digest-algorithm=` (end-4c); sha256 when it is absent.
 *
 * @throws OciError 400 `UNSUPPORTED`.
 */
export function readAlgorithm(query: URLSearchParams): DigestAlgorithm {
  const text = query.get("digest-algorithm");
  if (text === null || text === "sha256") return "sha256";
  if (text === "sha512") return text;
  throw new OciError(
    400,
    "UNSUPPORTED",
    `this registry computes sha256 and sha512, not ${JSON.stringify(text.slice(0, 50))}`,
  );
}
