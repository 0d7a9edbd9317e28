import { createHmac, randomBytes } from "node:crypto";
import type { Keyring } from "../keys/keyring.ts";

/** A new secret's name. */
export function newSecretId(): string {
  return randomBytes(16).toString("hex");
}

/**
 * The secret an endpoint shares with us: derived from the service's webhook key, which lies under the master key, and the name the record
 * has for it. It is kept nowhere, so no copy of the database holds it, and whoever can write the database cannot make one that we sign with
 * and they know.
 */
export function secretBytes(keyring: Keyring, org: string, id: string): Uint8Array {
  return keyring.derive("webhook", `${org}/${id}`);
}

/** A secret as people hand it to their receiver (Standard Webhooks 1.0, "Signature scheme"): `whsec_` and base64. */
export function shownSecret(secret: Uint8Array): string {
  return `whsec_${Buffer.from(secret).toString("base64")}`;
}

/** A secret that nobody has yet: the name the record keeps, and what is shown of it once. Without the service's key there is none. */
export function newSecret(keyring: Keyring, org: string): { readonly id: string; readonly shown: string } {
  const id = newSecretId();
  return { id, shown: shownSecret(secretBytes(keyring, org, id)) };
}

/** What a message is signed as: its id, when it is sent (s since the epoch), and its body. */
export interface Signed {
  readonly id: string;
  readonly timestamp: number;
  readonly body: Uint8Array;
}

/**
 * The headers of a signed message (Standard Webhooks 1.0): `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, one for each secret in
 * force, so that a receiver may know either while they change.
 */
export function signatureHeaders(message: Signed, secrets: readonly Uint8Array[]): Record<string, string> {
  const content = Buffer.concat([Buffer.from(`${message.id}.${message.timestamp}.`), message.body]);
  return {
    "webhook-id": message.id,
    "webhook-timestamp": String(message.timestamp),
    "webhook-signature": secrets
      .map((secret) => `v1,${createHmac("sha256", secret).update(content).digest("base64")}`)
      .join(" "),
  };
}

/** The names of the secrets that sign at `now` (ms): the newest first, and the former while it overlaps. */
export function secretsInForce(
  row: { readonly secret: string; readonly previous_secret: string | null; readonly previous_until: number | null },
  now: number,
): string[] {
  const former =
    row.previous_secret !== null && row.previous_until !== null && now < row.previous_until
      ? [row.previous_secret]
      : [];
  return [row.secret, ...former];
}
