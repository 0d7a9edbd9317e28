import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { ServerError } from "../errors.ts";
import { syncDirectorySync } from "../storage/durable.ts";

/** AES-256-GCM, 96-bit nonce, 128-bit tag (NIST SP 800-38D). */
const CIPHER = "aes-256-gcm";

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

  constructor(key: Buffer) {
    if (key.length !== 32) {
      throw new ServerError("config-invalid", `the master key has ${key.length} bytes, not 32`, {
        hint: "ASSAY_MASTER_KEY is 32 random bytes in base64 or hex: `openssl rand -base64 32`",
      });
    }
    this.#key = key;
  }

  /** Reads a key given in base64 or hex. @throws ServerError `config-invalid`. */
  static parse(text: string): MasterKey {
    const trimmed = text.trim();
    return new MasterKey(
      /^[0-9a-fA-F]{64}$/.test(trimmed) ? Buffer.from(trimmed, "hex") : Buffer.from(trimmed, "base64"),
    );
  }

  /** Reads `master.key` of a data directory, or makes it (mode 0600, durable) when `create` allows. */
  static fromDirectory(dataDirectory: string, create: boolean): MasterKey {
    const path = join(dataDirectory, "master.key");
    if (!existsSync(path)) {
      if (!create) {
        throw new ServerError("key-missing", `there is no master key at ${path}`, {
          hint: "put back the master.key that belongs to this data directory, or set ASSAY_MASTER_KEY",
        });
      }
      const descriptor = openSync(path, "wx", 0o600);
      try {
        writeSync(descriptor, `${randomBytes(32).toString("base64")}\n`);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      syncDirectorySync(dirname(path));
    }
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new ServerError("key-unreadable", `${path} can be read by others`, { hint: `chmod 600 ${path}` });
    }
    return MasterKey.parse(readFileSync(path, "utf8"));
  }

  /** The configured key (ASSAY_MASTER_KEY), else the one of the data directory; see {@link fromDirectory} for `create`. */
  static choose(configured: string | undefined, dataDirectory: string, create: boolean): MasterKey {
    return configured === undefined ? MasterKey.fromDirectory(dataDirectory, create) : MasterKey.parse(configured);
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
      throw new ServerError("key-unreadable", `the key ${label} does not open under this master key`, {
        cause,
        hint: "set the ASSAY_MASTER_KEY (or put back the master.key) that this data directory was made with",
      });
    }
  }

  #derive(salt: Buffer): Buffer {
    return Buffer.from(hkdfSync("sha256", this.#key, salt, "assay/keys/v1", 32));
  }
}
