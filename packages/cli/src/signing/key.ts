import { readFile, stat } from "node:fs/promises";
import { decryptCosignKey, EvidenceError, LIMITS, parsePublicKeyPem, type PublicKey } from "@assay/evidence";
import { type PrivateKey, privateKeyFromPem, privateKeyFromPkcs8 } from "@assay/evidence/node";
import { CliError, Exit, fileError, usageError } from "../errors.ts";
import type { Session } from "../session.ts";
import { keyPassword } from "./password.ts";

const ENCRYPTED = /-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----/;
const PRIVATE = /-----BEGIN (?:EC |RSA )?PRIVATE KEY-----/;
const PUBLIC = /-----BEGIN PUBLIC KEY-----/;

/** What a key file is, by its label alone. */
export type KeyFileKind = "encrypted-private" | "private" | "public";

/** The kind of key in a PEM text, or undefined if it holds none. */
export function keyFileKind(pem: string): KeyFileKind | undefined {
  if (ENCRYPTED.test(pem)) return "encrypted-private";
  if (PRIVATE.test(pem)) return "private";
  return PUBLIC.test(pem) ? "public" : undefined;
}

/** Reads a small text file. Errors: those of the file system, `key-invalid` if it is too large to be a key. */
export async function readKeyFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LIMITS.pemLength)
      throw new CliError("key-invalid", `${path} is too large to be a key file`, { exit: Exit.usage });
    return await readFile(path, "utf8");
  } catch (error) {
    throw fileError(path, error);
  }
}

/**
 * The private key that signs: `--key`, else ASSAY_KEY. Encrypted files of `assay key generate` and of cosign are opened
 * with the password; unencrypted PEM is taken as it is. Errors: `key-missing`, `key-invalid`, `key-password` (all exit
 * 2), and those of the file system.
 */
export async function signingKey(session: Session, flag: string | undefined): Promise<PrivateKey> {
  const path = flag ?? session.env.ASSAY_KEY;
  if (path === undefined || path === "") {
    throw usageError(
      "key-missing",
      "no key to sign with",
      "Give --key FILE or set ASSAY_KEY; `assay key generate` makes a key. The server does not sign for you.",
    );
  }
  const pem = await readKeyFile(path);
  const kind = keyFileKind(pem);
  if (kind === undefined || kind === "public") {
    throw usageError(
      "key-invalid",
      `${path} is ${kind === "public" ? "a public key" : "no key file"}`,
      "Give the private key file.",
    );
  }
  try {
    if (kind === "private") return privateKeyFromPem(pem);
    return privateKeyFromPkcs8(decryptCosignKey(pem, await keyPassword(session, "open")));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError(error.code, `${path}: ${error.message}`, { exit: Exit.usage, hint: error.hint, cause: error });
  }
}

/** The public key in a PEM file's text, naming the file in errors. */
export function publicKeyIn(pem: string, path: string): PublicKey {
  try {
    return parsePublicKeyPem(pem);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError(error.code, `${path}: ${error.message}`, { exit: Exit.usage, hint: error.hint, cause: error });
  }
}
