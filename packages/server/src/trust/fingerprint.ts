import { EvidenceError, type TrustEntry } from "@assay/evidence";
import { openPgp } from "@assay/evidence/openpgp";
import { Problem } from "../http/problem.ts";
import type { EntryInput } from "./entry.ts";

/**
 * The fingerprint of an OpenPGP entry's certificate; undefined for other entries. The writer does not read certificates: what they say of
 * themselves cannot change before the append.
 *
 * @throws Problem 400 `private-key-refused`, or what is wrong with the certificate.
 */
export function fingerprintOf(input: EntryInput): string | undefined {
  if (input.kind !== "openpgp") return undefined;
  if (/-----BEGIN PGP PRIVATE KEY BLOCK-----/.test(input.certificate)) {
    throw new Problem(
      400,
      "private-key-refused",
      "this is a private key: trust takes public keys only, and nothing of it was stored",
      {
        hint: "send what `gpg --armor --export` writes. The private key has left its place: consider whether to replace it",
      },
    );
  }
  return readFingerprint(input.certificate);
}

/** Demands that each OpenPGP entry of a file is about the certificate it holds. @throws Problem 400 `trust-invalid`. */
export function checkFingerprints(entries: readonly TrustEntry[]): void {
  for (const entry of entries) {
    if (entry.kind !== "openpgp" || readFingerprint(entry.certificate) === entry.keyId) continue;
    throw new Problem(400, "trust-invalid", `the fingerprint of entry ${entry.id} is not that of its certificate`);
  }
}

function readFingerprint(certificate: string): string {
  try {
    return openPgp.readCertificate(certificate).fingerprint;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new Problem(400, error.code, error.message, { hint: error.hint, cause: error });
  }
}
