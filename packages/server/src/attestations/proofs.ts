import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type Crypto, type PublicKey, verifyMessageHash } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";

/** Signatures whose check is remembered. One takes some 200 bytes. */
const REMEMBERED = 32_768;

/**
 * The cryptography that evidence is judged with: Node's, remembering which signatures it has checked. That a key made a signature over
 * some bytes is so for ever; nothing that depends on trust, time or place is ever asked here, so nothing of it can become stale.
 */
export class RememberingCrypto implements Crypto {
  readonly #inner: Crypto;
  readonly #limit: number;
  readonly createHash?: NonNullable<Crypto["createHash"]>;
  /** In order of last use, the least recent first. */
  readonly #known = new Map<string, boolean>();

  constructor(inner: Crypto, limit = REMEMBERED) {
    this.#inner = inner;
    this.#limit = limit;
    if (inner.createHash !== undefined) this.createHash = inner.createHash.bind(inner);
  }

  sha256(data: Uint8Array): Uint8Array {
    return this.#inner.sha256(data);
  }

  async verify(key: PublicKey, signature: Uint8Array, data: Uint8Array): Promise<boolean> {
    return this.#remembered(nameOf("", key, signature, data), () => this.#inner.verify(key, signature, data));
  }

  async verifyAs(
    key: PublicKey,
    scheme: Parameters<Crypto["verifyAs"]>[1],
    signature: Uint8Array,
    data: Uint8Array,
  ): Promise<boolean> {
    const name = nameOf(JSON.stringify(scheme), key, signature, data);
    return this.#remembered(name, () => this.#inner.verifyAs(key, scheme, signature, data));
  }

  /** In plain JavaScript, milliseconds for some keys: others have their turn before each that is not known. */
  async verifyHashed(
    key: PublicKey,
    scheme: Parameters<Crypto["verifyAs"]>[1],
    signature: Uint8Array,
    hashed: Uint8Array,
  ): Promise<boolean> {
    return this.#remembered(nameOf(`hashed ${JSON.stringify(scheme)}`, key, signature, hashed), async () => {
      await setImmediate();
      return verifyMessageHash(key, scheme, signature, hashed);
    });
  }

  async #remembered(name: string, check: () => boolean | Promise<boolean>): Promise<boolean> {
    const known = this.#known.get(name);
    if (known !== undefined) {
      this.#known.delete(name);
      this.#known.set(name, known);
      return known;
    }
    const good = await check();
    this.#known.set(name, good);
    if (this.#known.size > this.#limit) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return good;
  }
}

/** Names one check by everything its outcome depends on. Each part has its length before it, so that no two checks share a name. */
function nameOf(scheme: string, key: PublicKey, signature: Uint8Array, data: Uint8Array): string {
  const hash = createHash("sha256");
  for (const part of [scheme, key.algorithm, key.keyId, signature, data]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest("base64");
}

/** One for the process. */
export const judgingCrypto: Crypto = new RememberingCrypto(nodeCrypto);
