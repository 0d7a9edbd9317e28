/**
 * Encrypted private key files of cosign (sigstore/cosign: pkg/cosign/keys.go; secure-systems-lab/go-securesystemslib:
 * encrypted): PEM around JSON, scrypt and NaCl secretbox around PKCS #8.
 */
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { randomBytes } from "@noble/hashes/utils.js";
import { scrypt } from "@noble/hashes/scrypt.js";
import { toBase64, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { formatPem, parsePem } from "./pem.ts";

/** The label cosign writes today. */
export const COSIGN_KEY_LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY";
/** The label cosign wrote before. */
const FORMER_LABEL = "ENCRYPTED COSIGN PRIVATE KEY";

const SALT_SIZE = 32;
const NONCE_SIZE = 24;
const BOX_KEY_SIZE = 32;
const BOX_OVERHEAD = 16;

/** scrypt costs that cosign has written; others are refused, since N·r·p is memory and time somebody else would choose. */
const SCRYPT_N: readonly number[] = [2 ** 15, 2 ** 16, 2 ** 17];
const SCRYPT_R = 8;
const SCRYPT_P = 1;
const WRITTEN_N = 2 ** 16;

/**
 * Encrypts a PKCS #8 private key into the file cosign reads. Takes 64 MiB and some tenths of a second, by design.
 * The password may be empty, as cosign allows.
 */
export function encryptCosignKey(pkcs8: Uint8Array, password: string): string {
  const salt = randomBytes(SALT_SIZE);
  const nonce = randomBytes(NONCE_SIZE);
  const box = xsalsa20poly1305(deriveKey(password, salt, WRITTEN_N), nonce);
  const file = {
    kdf: { name: "scrypt", params: { N: WRITTEN_N, r: SCRYPT_R, p: SCRYPT_P }, salt: toBase64(salt) },
    cipher: { name: "nacl/secretbox", nonce: toBase64(nonce) },
    ciphertext: toBase64(box.encrypt(pkcs8)),
  };
  return formatPem(COSIGN_KEY_LABEL, utf8Encode(JSON.stringify(file)));
}

/**
 * Decrypts a cosign key file into PKCS #8 DER. Secret. Throws `cosign-key-invalid` for a file of another form and
 * `cosign-key-password` when the password does not open it (or the file was altered: the two cannot be told apart).
 */
export function decryptCosignKey(pem: string, password: string): Uint8Array {
  const der = parsePem(pem, [COSIGN_KEY_LABEL, FORMER_LABEL], "cosign-key-invalid");
  const { n, salt, nonce, ciphertext } = readFile(der);
  const box = xsalsa20poly1305(deriveKey(password, salt, n), nonce);
  try {
    return box.decrypt(ciphertext);
  } catch (cause) {
    throw new EvidenceError("cosign-key-password", "The password does not open the key file.", { cause });
  }
}

function deriveKey(password: string, salt: Uint8Array, n: number): Uint8Array {
  return scrypt(utf8Encode(password), salt, { N: n, r: SCRYPT_R, p: SCRYPT_P, dkLen: BOX_KEY_SIZE });
}

function readFile(bytes: Uint8Array): { n: number; salt: Uint8Array; nonce: Uint8Array; ciphertext: Uint8Array } {
  const json = parseJson(bytes, { maxBytes: LIMITS.pemLength, maxDepth: 8 });
  const file = new Members(json, "key file", "cosign-key-invalid").only(["kdf", "cipher", "ciphertext"]);
  const kdf = file.object("kdf").only(["name", "params", "salt"]);
  const params = kdf.object("params").only(["N", "r", "p"]);
  const cipher = file.object("cipher").only(["name", "nonce"]);
  if (kdf.string("name", 64) !== "scrypt") throw kdf.wrong("name", "is not scrypt");
  if (cipher.string("name", 64) !== "nacl/secretbox") throw cipher.wrong("name", "is not nacl/secretbox");
  const n = params.count("N");
  if (!SCRYPT_N.includes(n)) throw params.wrong("N", `is none of ${SCRYPT_N.join(", ")}`);
  if (params.count("r") !== SCRYPT_R) throw params.wrong("r", `is not ${SCRYPT_R}`);
  if (params.count("p") !== SCRYPT_P) throw params.wrong("p", `is not ${SCRYPT_P}`);
  const salt = kdf.bytes("salt", SALT_SIZE);
  if (salt.length !== SALT_SIZE) throw kdf.wrong("salt", `does not have ${SALT_SIZE} bytes`);
  const nonce = cipher.bytes("nonce", NONCE_SIZE);
  if (nonce.length !== NONCE_SIZE) throw cipher.wrong("nonce", `does not have ${NONCE_SIZE} bytes`);
  const ciphertext = file.bytes("ciphertext", LIMITS.pemLength);
  if (ciphertext.length <= BOX_OVERHEAD) throw file.wrong("ciphertext", "is too short");
  return { n, salt, nonce, ciphertext };
}
