import { LIMITS, type SubjectMatch } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { publicKeyIn, readKeyFile } from "../signing/key.ts";

/** The options that say who an entry is about: exactly one way of saying it. */
export type WhomOptions = {
  readonly key?: string;
  readonly gpg?: string;
  readonly certificateIdentity?: string;
  readonly certificateIdentityPattern?: string;
  readonly certificateOidcIssuer?: string;
  readonly root?: string;
};

/** Who an entry is about, as the server is told; `keyId` where it can be said before asking. */
export type Whom = {
  readonly json: Readonly<Record<string, string | null | SubjectMatch>>;
  readonly keyId: string | undefined;
};

/** Reads whom the options mean. Errors: `usage` for none or several ways, those of the files named. */
export async function readWhom(options: WhomOptions): Promise<Whom> {
  const { key, gpg, certificateIdentity, certificateIdentityPattern } = options;
  const ways = [key, gpg, certificateIdentity, certificateIdentityPattern].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw usageError(
      "usage",
      ways.length === 0 ? "nobody is named" : "an entry is about one identity",
      "Name one by --key, --gpg, --certificate-identity or --certificate-identity-pattern.",
    );
  }
  if (key !== undefined) return await readKey(key, options);
  if (gpg !== undefined) return await readOpenPgp(gpg, options);
  const { root, certificateOidcIssuer } = options;
  if (root === undefined) {
    throw usageError(
      "usage",
      "a certificate's holder is named without --root",
      "Name the trust root that vouches for the certificate; `assay trust root list` shows them, `assay trust root set` makes one.",
    );
  }
  const subject: SubjectMatch =
    certificateIdentity === undefined
      ? { kind: "pattern", value: certificateIdentityPattern ?? "" }
      : { kind: "exact", value: certificateIdentity };
  return { json: { kind: "certificate", root, issuer: certificateOidcIssuer ?? null, subject }, keyId: undefined };
}

async function readKey(file: string, options: WhomOptions): Promise<Whom> {
  refuseCertificateOptions(options);
  const pem = await readKeyFile(file);
  if (/-----BEGIN PGP PUBLIC KEY BLOCK-----/.test(pem)) {
    throw usageError("key-invalid", `${file} is an OpenPGP certificate`, "Give it by --gpg instead of --key.");
  }
  if (/-----BEGIN CERTIFICATE-----/.test(pem)) {
    throw usageError(
      "key-invalid",
      `${file} is an X.509 certificate`,
      "Trust whom it was issued for: `assay trust root set ROOT --ca FILE`, then --root ROOT --certificate-identity.",
    );
  }
  // A private key given by mistake must not leave this machine.
  const { keyId } = publicKeyIn(pem, file);
  return { json: { kind: "key", publicKeyPem: pem }, keyId };
}

async function readOpenPgp(file: string, options: WhomOptions): Promise<Whom> {
  refuseCertificateOptions(options);
  const certificate = Buffer.from(await readInput(file, LIMITS.openPgpCertificate)).toString("utf8");
  if (/-----BEGIN PGP PRIVATE KEY BLOCK-----/.test(certificate)) {
    throw usageError(
      "private-key-refused",
      `${file} is a private key`,
      "Give what `gpg --armor --export FINGERPRINT` writes. The private key did not leave this machine.",
    );
  }
  if (!certificate.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
    throw usageError(
      "key-invalid",
      `${file} is no armoured OpenPGP public key`,
      "Give what `gpg --armor --export FINGERPRINT` writes.",
    );
  }
  // Read here too, so that the fingerprint that is trusted is the one this file has, whatever the server says of it.
  const { openPgp } = await import("@assay/evidence/openpgp");
  const { fingerprint } = openPgp.readCertificate(certificate);
  return { json: { kind: "openpgp", certificate }, keyId: fingerprint };
}

function refuseCertificateOptions({ certificateOidcIssuer, root }: WhomOptions): void {
  if (certificateOidcIssuer === undefined && root === undefined) return;
  throw usageError(
    "usage",
    "--root and --certificate-oidc-issuer go with --certificate-identity",
    "A key or an OpenPGP certificate is trusted for itself.",
  );
}
