import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import { makeDurableDirectory, writeDurable } from "../storage/durable.ts";
import type { MasterKey } from "./master.ts";

/** What a key is for. One key, one purpose. */
export type KeyPurpose = "log-record" | "registry-token" | "vsa";

/** Ed25519 for notes and tokens; P-256 where outside verifiers (cosign) expect ECDSA. */
export type ServiceKeyAlgorithm = "ed25519" | "ecdsa-p256-sha256";

/** The algorithm of each purpose. */
export const KEY_ALGORITHMS: Readonly<Record<KeyPurpose, ServiceKeyAlgorithm>> = {
  "log-record": "ed25519",
  "registry-token": "ed25519",
  vsa: "ecdsa-p256-sha256",
};

const keyFileSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  purpose: z.enum(["log-record", "registry-token", "vsa"]),
  algorithm: z.enum(["ed25519", "ecdsa-p256-sha256"]),
  publicKey: z.string(),
  sealed: z.strictObject({ salt: z.string(), nonce: z.string(), tag: z.string(), ciphertext: z.string() }),
});

/** A service key that can sign. */
export interface ServiceKey {
  /** Lower-case hex SHA-256 of the public key's SubjectPublicKeyInfo DER. */
  readonly id: string;
  readonly purpose: KeyPurpose;
  readonly algorithm: ServiceKeyAlgorithm;
  readonly publicKeyPem: string;
  readonly publicKey: KeyObject;
}

/**
 * The service's private keys: files of the data directory, each encrypted under the master key. `sign(purpose, bytes)` is all
 * that leaves.
 */
export class Keyring {
  readonly #keys: ReadonlyMap<KeyPurpose, { key: ServiceKey; privateKey: KeyObject }>;

  private constructor(keys: ReadonlyMap<KeyPurpose, { key: ServiceKey; privateKey: KeyObject }>) {
    this.#keys = keys;
  }

  /** Whether there are key files: then their master key must be there too, and is never made anew. */
  static hasKeys(directory: string): boolean {
    return existsSync(directory) && readdirSync(directory).some((name) => name.endsWith(".key.json"));
  }

  /** Opens every key file of `directory`. @throws ServerError `key-unreadable`. */
  static open(directory: string, master: MasterKey): Keyring {
    const keys = new Map<KeyPurpose, { key: ServiceKey; privateKey: KeyObject }>();
    for (const name of readdirSync(directory).toSorted()) {
      if (!name.endsWith(".key.json")) continue;
      const parsed = keyFileSchema.safeParse(JSON.parse(readFileSync(join(directory, name), "utf8")));
      if (!parsed.success) {
        throw new ServerError("key-unreadable", `${name} is not a key file: ${z.prettifyError(parsed.error)}`);
      }
      const file = parsed.data;
      const privateKey = createPrivateKey({
        key: master.open(`${file.purpose}/${file.id}`, file.sealed),
        format: "der",
        type: "pkcs8",
      });
      const key = describe(file.purpose, file.algorithm, createPublicKey(privateKey));
      if (key.id !== file.id) throw new ServerError("key-unreadable", `${name} holds the private key of another id`);
      keys.set(file.purpose, { key, privateKey });
    }
    return new Keyring(keys);
  }

  /** Makes a new key and writes its file; durable when it resolves. */
  static async create(directory: string, master: MasterKey, purpose: KeyPurpose): Promise<ServiceKey> {
    await makeDurableDirectory(directory);
    const algorithm = KEY_ALGORITHMS[purpose];
    const pair =
      algorithm === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = describe(purpose, algorithm, pair.publicKey);
    const secret = pair.privateKey.export({ format: "der", type: "pkcs8" });
    const file: z.input<typeof keyFileSchema> = {
      id: key.id,
      purpose,
      algorithm,
      publicKey: key.publicKeyPem,
      sealed: master.seal(`${purpose}/${key.id}`, secret),
    };
    secret.fill(0);
    await writeDurable(join(directory, `${purpose}.key.json`), `${JSON.stringify(file, null, 2)}\n`);
    return key;
  }

  /** The key of an id, whatever its purpose. */
  find(id: string): ServiceKey | undefined {
    for (const { key } of this.#keys.values()) if (key.id === id) return key;
    return undefined;
  }

  has(purpose: KeyPurpose): boolean {
    return this.#keys.has(purpose);
  }

  /** The key of a purpose. @throws ServerError `key-missing`. */
  key(purpose: KeyPurpose): ServiceKey {
    return this.#entry(purpose).key;
  }

  /** Signs with the key of a purpose: Ed25519 (RFC 8032), or ECDSA over SHA-256 in DER. */
  sign(purpose: KeyPurpose, bytes: Uint8Array): Uint8Array {
    const { key, privateKey } = this.#entry(purpose);
    return new Uint8Array(sign(key.algorithm === "ed25519" ? null : "sha256", bytes, privateKey));
  }

  #entry(purpose: KeyPurpose): { key: ServiceKey; privateKey: KeyObject } {
    const entry = this.#keys.get(purpose);
    if (entry === undefined) {
      throw new ServerError("key-missing", `there is no key for ${purpose}`, {
        hint: "put back the keys directory that belongs to this data directory",
      });
    }
    return entry;
  }
}

function describe(purpose: KeyPurpose, algorithm: ServiceKeyAlgorithm, publicKey: KeyObject): ServiceKey {
  const spki = publicKey.export({ format: "der", type: "spki" });
  return {
    id: createHash("sha256").update(spki).digest("hex"),
    purpose,
    algorithm,
    publicKeyPem: publicKey.export({ format: "pem", type: "spki" }).toString(),
    publicKey,
  };
}

/** The raw 32 bytes of an Ed25519 public key, as signed notes carry them. */
export function rawEd25519(key: ServiceKey): Uint8Array {
  const jwk = key.publicKey.export({ format: "jwk" });
  if (jwk.crv !== "Ed25519" || jwk.x === undefined) throw new ServerError("internal", `${key.id} is no Ed25519 key`);
  return new Uint8Array(Buffer.from(jwk.x, "base64url"));
}
