import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ServerError } from "../errors.ts";
import { replaceSynced, syncDirectorySync } from "../storage/durable.ts";

/** AES-256-GCM, 96-bit nonce, 128-bit tag (NIST SP 800-38D). */
const CIPHER = "aes-256-gcm";

/** The master key's file in a data directory. */
export function masterKeyPath(dataDirectory: string): string {
  return join(dataDirectory, "master.key");
}

/** The file of a master key that is to take the other's place, while the private keys pass from one to the other. */
export function comingKeyPath(dataDirectory: string): string {
  return join(dataDirectory, "master.key.new");
}

/** A private key as it lies on disk: encrypted, and bound to the key it belongs to. */
export interface SealedKey {
  readonly salt: string;
  readonly nonce: string;
  readonly tag: string;
  readonly ciphertext: string;
}

/**
 * The key that encrypts the service's private keys. It comes from ASSAY_MASTER_KEY, else from a file in the data directory that
 * never goes into a backup: who can write the database can then not sign, and who steals a backup cannot either.
 */
export class MasterKey {
  readonly #key: Buffer;
  /** While the master key is being changed: the one that comes. Each private key is under one of the two. */
  readonly #next: MasterKey | undefined;

  constructor(key: Buffer, next?: MasterKey) {
    if (key.length !== 32) {
      throw new ServerError("config-invalid", `the master key has ${key.length} bytes, not 32`, {
        hint: "ASSAY_MASTER_KEY is 32 random bytes in base64 or hex: `openssl rand -base64 32`",
      });
    }
    this.#key = key;
    this.#next = next;
  }

  /** Reads a key given in base64 or hex. @throws ServerError `config-invalid`. */
  static parse(text: string, next?: MasterKey): MasterKey {
    const trimmed = text.trim();
    return new MasterKey(
      /^[0-9a-fA-F]{64}$/.test(trimmed) ? Buffer.from(trimmed, "hex") : Buffer.from(trimmed, "base64"),
      next,
    );
  }

  /** Reads `master.key` of a data directory, or makes it (mode 0600, durable) when `create` allows. */
  static fromDirectory(dataDirectory: string, create: boolean): MasterKey {
    const path = masterKeyPath(dataDirectory);
    if (!existsSync(path)) {
      if (!create) {
        throw new ServerError("key-missing", `there is no master key at ${path}`, {
          hint: "put back the master.key that belongs to this data directory, or set ASSAY_MASTER_KEY",
        });
      }
      // COMMIT POINT of the master key. Before: there is none, and no key that needs it. After the directory's sync: it is there whole,
      // before anything is encrypted under it. A crash in between leaves one or the other, never half a key that no start would accept.
      replaceSynced(path, `${randomBytes(32).toString("base64")}\n`);
      syncDirectorySync(dirname(path));
    }
    return MasterKey.#read(path, MasterKey.coming(dataDirectory));
  }

  static #read(path: string, next?: MasterKey): MasterKey {
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new ServerError("key-unreadable", `${path} can be read by others`, { hint: `chmod 600 ${path}` });
    }
    return MasterKey.parse(readFileSync(path, "utf8"), next);
  }

  /** The key that an unfinished change of the master key made (keys/rotation.ts); undefined when there is none. */
  static coming(dataDirectory: string): MasterKey | undefined {
    const path = comingKeyPath(dataDirectory);
    return existsSync(path) ? MasterKey.#read(path) : undefined;
  }

  /** The configured key (ASSAY_MASTER_KEY), else the one of the data directory; see {@link fromDirectory} for `create`. */
  static choose(configured: string | undefined, dataDirectory: string, create: boolean): MasterKey {
    return configured === undefined
      ? MasterKey.fromDirectory(dataDirectory, create)
      : MasterKey.parse(configured, MasterKey.coming(dataDirectory));
  }

  /** Encrypts a private key; `label` binds the ciphertext to its purpose and id. */
  seal(label: string, secret: Buffer): SealedKey {
    const salt = randomBytes(32);
    const nonce = randomBytes(12);
    const cipher = createCipheriv(CIPHER, this.#derive(salt), nonce);
    cipher.setAAD(Buffer.from(label));
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
    return {
      salt: salt.toString("base64"),
      nonce: nonce.toString("base64"),
      tag: cipher.getAuthTag().toString("base64"),
      ciphertext: ciphertext.toString("base64"),
    };
  }

  /** Decrypts what {@link seal} made. @throws ServerError `key-unreadable` under another master key or label. */
  open(label: string, sealed: SealedKey): Buffer {
    try {
      const decipher = createDecipheriv(
        CIPHER,
        this.#derive(Buffer.from(sealed.salt, "base64")),
        Buffer.from(sealed.nonce, "base64"),
        { authTagLength: 16 },
      );
      decipher.setAAD(Buffer.from(label));
      decipher.setAuthTag(Buffer.from(sealed.tag, "base64"));
      return Buffer.concat([decipher.update(Buffer.from(sealed.ciphertext, "base64")), decipher.final()]);
    } catch (cause) {
      if (this.#next !== undefined) return this.#next.open(label, sealed);
      throw new ServerError("key-unreadable", `the key ${label} does not open under this master key`, {
        cause,
        hint: "set the ASSAY_MASTER_KEY (or put back the master.key) that this data directory was made with",
      });
    }
  }

  /** This key, and another that a private key may be under instead. */
  with(other: MasterKey): MasterKey {
    return new MasterKey(this.#key, other);
  }

  /** Whether both are the same key. */
  equals(other: MasterKey): boolean {
    return timingSafeEqual(this.#key, other.#key);
  }

  #derive(salt: Buffer): Buffer {
    return Buffer.from(hkdfSync("sha256", this.#key, salt, "assay/keys/v1", 32));
  }
}
