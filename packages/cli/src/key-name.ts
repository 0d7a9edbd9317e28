import type { TrustEntry } from "@assay/evidence";

/** How a signer proves who it is. */
export type SignerKind = TrustEntry["kind"];

/**
 * A key as people read it everywhere and as a policy names it: `sha256:` and 64 hexadecimal digits (of its SPKI), or `openpgp:` and the
 * fingerprint of a certificate's primary key. Whole, so that it can be copied into a policy or another command. The JSON has the digits alone.
 */
export function keyName(kind: "key" | "openpgp", keyId: string): string {
  return kind === "key" ? `sha256:${keyId}` : `openpgp:${keyId}`;
}

/**
 * The same for a signer of which only the id is known: 40 digits are a fingerprint, 64 a key's or, as the same digest, a certificate
 * identity's. `isOpenPgp` says of what is known to be OpenPGP that 64 are a fingerprint, too (version 6).
 */
export function signerName(keyId: string, isOpenPgp = false): string {
  return keyName(isOpenPgp || keyId.length === 40 ? "openpgp" : "key", keyId);
}

/** An entry of trust, or whom it is about: the key's name, or whom the certificate is issued for, by whom, under which root. */
export function entryName(entry: TrustEntry): string {
  switch (entry.kind) {
    case "key":
      return `key ${keyName("key", entry.keyId)}`;
    case "openpgp":
      return keyName("openpgp", entry.keyId);
    case "certificate":
      return `${entry.subject.value}${entry.issuer === null ? "" : ` by ${entry.issuer}`}, root ${entry.root}`;
  }
}

/** Base64 of 32 bytes in its one canonical spelling: the hint by which cosign names a key in a bundle. */
const BASE64 = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/**
 * The digits of a key that somebody names, in any spelling that programs show: with `sha256:` or `openpgp:` or without, base64 as in
 * bundles, a fingerprint in capitals and groups as gpg prints it. Undefined for what is no key's name.
 */
export function keyDigits(text: string): string | undefined {
  if (BASE64.test(text)) return Buffer.from(text, "base64").toString("hex");
  const digits = text
    .replace(/^(?:sha256|openpgp):/, "")
    .replaceAll(" ", "")
    .toLowerCase();
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(digits) ? digits : undefined;
}
