import { createHash, randomInt, timingSafeEqual } from "node:crypto";

/** How every API key starts: so that it is recognised in a log or a commit, and told from other credentials. */
export const API_KEY_PREFIX = "assay_";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** 43 characters of 62 hold 256 bits; 16 of 36 (the id, which is no secret) make collisions unthinkable at 10^9 keys. */
const SECRET_LENGTH = 43;
const ID_LENGTH = 16;

const KEY = /^assay_([0-9a-z]{16})_([0-9A-Za-z]{43})$/;

/** An API key as its owner holds it: `assay_<id>_<secret>`. */
export interface ApiKey {
  /** Public: names the key in lists and in the record. */
  readonly id: string;
  readonly secret: string;
}

function randomText(length: number, alphabet: number): string {
  let text = "";
  for (let index = 0; index < length; index += 1) text += ALPHABET.charAt(randomInt(alphabet));
  return text;
}

/** A new key. Only {@link hashSecret} of its secret may be written anywhere. */
export function generateApiKey(): ApiKey & { readonly text: string } {
  const id = randomText(ID_LENGTH, 36).toLowerCase();
  const secret = randomText(SECRET_LENGTH, ALPHABET.length);
  return { id, secret, text: `${API_KEY_PREFIX}${id}_${secret}` };
}

/** Reads a key's text; undefined when it is none. */
export function parseApiKey(text: string): ApiKey | undefined {
  const [, id, secret] = KEY.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Lower-case hex SHA-256 of a secret. 256 random bits need no slow hash. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("hex");
}

/** Compares two lower-case hex SHA-256 hashes in a time that depends on neither. */
export function equalHashes(left: string, right: string): boolean {
  const a = Buffer.from(left, "hex");
  const b = Buffer.from(right, "hex");
  return a.length === 32 && b.length === 32 && timingSafeEqual(a, b);
}
