import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import { makeDurableDirectory, writeDurable } from "../storage/durable.ts";
import type { MasterKey } from "./master.ts";

/** What a key is for. One key, one purpose. */
export type KeyPurpose = "log-record" | "registry-token" | "workload-token" | "vsa" | "witness" | "webhook" | "mirror";

/** Purposes whose keys sign nothing: secrets are derived from them. */
export type DerivingPurpose = "webhook" | "mirror";

/** Purposes whose keys sign. */
export type SigningPurpose = Exclude<KeyPurpose, DerivingPurpose>;

/** Ed25519 for notes and tokens; P-256 where outside verifiers (cosign) expect ECDSA. */
export type ServiceKeyAlgorithm = "ed25519" | "ecdsa-p256-sha256";

/** The algorithm of each purpose. */
export const KEY_ALGORITHMS: Readonly<Record<KeyPurpose, ServiceKeyAlgorithm>> = {
  "log-record": "ed25519",
  "registry-token": "ed25519",
  "workload-token": "ed25519",
  vsa: "ecdsa-p256-sha256",
  witness: "ed25519",
  // Signs nothing: secrets that others hold too are derived from it (`derive`).
  webhook: "ed25519",
  // Signs nothing: what this server asks other registries with is encrypted under what is derived from it.
  mirror: "ed25519",
};

const keyFileSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  purpose: z.enum(["log-record", "registry-token", "workload-token", "vsa", "witness", "webhook", "mirror"]),
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
 * The service's private keys: files of the data directory, each encrypted under the master key. `sign(purpose, bytes)`, and what `derive`
 * makes, is all that leaves.
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
    for (const name of Keyring.fileNames(directory)) {
      const { key, privateKey } = openKeyFile(directory, name, master);
      keys.set(key.purpose, { key, privateKey });
    }
    return new Keyring(keys);
  }

  /** The names of the key files in `directory`. */
  static fileNames(directory: string): string[] {
    return readdirSync(directory)
      .filter((name) => name.endsWith(".key.json"))
      .toSorted();
  }

  /**
   * Opens one key file, more strictly than {@link Keyring.open}: every byte of it must be as {@link Keyring.create} writes it.
   *
   * @throws ServerError `key-unreadable`.
   */
  static inspect(directory: string, name: string, master: MasterKey): ServiceKey {
    const { key, file, text } = openKeyFile(directory, name, master);
    const canonical = Object.values(file.sealed).every(
      (part) => Buffer.from(part, "base64").toString("base64") === part,
    );
    if (file.publicKey !== key.publicKeyPem || file.algorithm !== key.algorithm || !canonical) {
      throw new ServerError("key-unreadable", `${name} says something else than its private key does`);
    }
    if (text !== formatKeyFile(file))
      throw new ServerError("key-unreadable", `${name} is not written as a key file is`);
    return key;
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
    // COMMIT POINT of a private key. Before: there is none of this purpose, and nothing names it. After: it is on disk; only then does an
    // event say so (record/open.ts). A crash in between leaves a key that the next start finds and records.
    await writeDurable(join(directory, `${purpose}.key.json`), formatKeyFile(file));
    return key;
  }

  /**
   * Seals one key file under another master key; durable when it resolves. Nothing else of the file changes.
   *
   * @returns false when it is under that key already.
   * @throws ServerError `key-unreadable` when it opens under neither; then it is left as it is.
   */
  static async reseal(directory: string, name: string, from: MasterKey, to: MasterKey): Promise<boolean> {
    if (opensUnder(directory, name, to)) return false;
    const { file, privateKey } = openKeyFile(directory, name, from);
    const secret = privateKey.export({ format: "der", type: "pkcs8" });
    const resealed = { ...file, sealed: to.seal(`${file.purpose}/${file.id}`, secret) };
    secret.fill(0);
    // COMMIT POINT of one key's new seal. Before: the file is under the old master key; after: under the new one. Both open the same key.
    await writeDurable(join(directory, name), formatKeyFile(resealed));
    return true;
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
  sign(purpose: SigningPurpose, bytes: Uint8Array): Uint8Array {
    const { key, privateKey } = this.#entry(purpose);
    return new Uint8Array(sign(key.algorithm === "ed25519" ? null : "sha256", bytes, privateKey));
  }

  /**
   * A secret of 32 bytes that only this key gives for a label, the same each time (HKDF-SHA256, RFC 5869, of the Ed25519 seed). So secrets
   * that are shared with others need be kept nowhere: with the key they are there, and lie under the master key as it does.
   *
   * Only for purposes whose keys sign nothing: one key, one use.
   */
  derive(purpose: DerivingPurpose, label: string): Uint8Array {
    const seed = this.#entry(purpose).privateKey.export({ format: "jwk" }).d;
    if (seed === undefined) throw new ServerError("internal", `the key for ${purpose} has no seed`);
    const info = Buffer.from(`assay ${purpose} secret\n${label}`);
    return new Uint8Array(hkdfSync("sha256", Buffer.from(seed, "base64url"), new Uint8Array(32), info, 32));
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

function formatKeyFile(file: z.input<typeof keyFileSchema>): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

function opensUnder(directory: string, name: string, master: MasterKey): boolean {
  try {
    openKeyFile(directory, name, master);
    return true;
  } catch (error) {
    if (error instanceof ServerError && error.code === "key-unreadable") return false;
    throw error;
  }
}

function openKeyFile(
  directory: string,
  name: string,
  master: MasterKey,
): { key: ServiceKey; privateKey: KeyObject; file: z.output<typeof keyFileSchema>; text: string } {
  const text = readFileSync(join(directory, name), "utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ServerError("key-unreadable", `${name} is not a key file: it is not JSON`, { cause });
  }
  const parsed = keyFileSchema.safeParse(value);
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
  return { key, privateKey, file, text };
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
