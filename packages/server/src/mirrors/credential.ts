import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { parseJson } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { Reader } from "../storage/database.ts";
import { sealedCredential } from "./queries.ts";
import { type Credential, credentialSchema } from "./setting.ts";

/** AES-256-GCM, 96-bit nonce, 128-bit tag (NIST SP 800-38D). */
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A new credential's name. */
export function newCredentialId(): string {
  return randomBytes(16).toString("hex");
}

/**
 * Encrypts what another registry is asked with, under a key of its own that is derived from the service's `mirror` key: whoever has the
 * database, and not the keys, reads nothing, and cannot put one organisation's credential in another's place.
 *
 * @returns base64 of nonce, tag and ciphertext.
 */
export function sealCredential(keyring: Keyring, org: string, id: string, credential: Credential): string {
  const label = `${org}/${id}`;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyring.derive("mirror", label), nonce);
  cipher.setAAD(Buffer.from(label));
  const text = Buffer.concat([cipher.update(JSON.stringify(credential), "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString("base64");
}

/**
 * What another registry is asked with.
 *
 * @throws ServerError `upstream-failed` when it is gone, or cannot be opened with this server's keys.
 */
export async function openCredential(reader: Reader, keyring: Keyring, org: string, id: string): Promise<Credential> {
  const hint = "set the credential again";
  const sealed = await sealedCredential(reader, org, id);
  if (sealed === undefined) {
    throw new ServerError("upstream-failed", "the credential for this upstream is not here any more", { hint });
  }
  const label = `${org}/${id}`;
  const bytes = Buffer.from(sealed, "base64");
  try {
    const decipher = createDecipheriv(CIPHER, keyring.derive("mirror", label), bytes.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(label));
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    return credentialSchema.parse(parseJson(text, { maxBytes: 64 * 1024, maxDepth: 4 }));
  } catch (cause) {
    throw new ServerError(
      "upstream-failed",
      "the credential for this upstream cannot be opened with this server's keys",
      {
        cause,
        hint,
      },
    );
  }
}
