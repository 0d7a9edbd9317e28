import {
  type Checkpoint,
  consistencyProof,
  formatCheckpoint,
  formatNote,
  formatVkey,
  leafHash,
  NOTE_ED25519,
  nodeHash,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  rootHash,
  toHex,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "@assay/evidence/node";
import type { Answer } from "./server.ts";

/** The key of a log that a test signs with. */
export class LogKey {
  readonly name: string;
  readonly #key: PrivateKey = generateKeyPair("ed25519");

  constructor(name: string) {
    this.name = name;
  }

  get #raw(): Uint8Array {
    // The last 32 bytes of an Ed25519 SubjectPublicKeyInfo are the key (RFC 8410).
    return this.#key.publicKey.spki.slice(-32);
  }

  get vkey(): string {
    return formatVkey(this.name, NOTE_ED25519, this.#raw);
  }

  sign(checkpoint: Checkpoint): string {
    const text = formatCheckpoint(checkpoint);
    const line = noteSignatureLine(noteKey(this.name, NOTE_ED25519, this.#raw), this.#key.sign(noteSignedBytes(text)));
    return formatNote(text, [line]);
  }
}

/** A log over given entries, which answers as the service does below /logs/record; honest about these very entries. */
export class PretendedLog {
  readonly #key: LogKey;
  readonly #leaves: readonly Uint8Array[];

  constructor(key: LogKey, entries: readonly string[]) {
    this.#key = key;
    this.#leaves = entries.map((entry) => leafHash(nodeCrypto, Buffer.from(entry)));
  }

  get checkpoint(): string {
    const size = this.#leaves.length;
    return this.#key.sign({
      origin: this.#key.name,
      size,
      root: rootHash(nodeCrypto, size, this.#node),
      extensions: [],
    });
  }

  answer(url: string): Answer {
    const { pathname, searchParams } = new URL(url, "http://log.test");
    switch (pathname) {
      case "/logs/record/vkey":
        return { type: "text/plain", body: `${this.#key.vkey}\n` };
      case "/logs/record/checkpoint":
        return { type: "text/plain", body: this.checkpoint };
      case "/logs/record/proof/consistency": {
        const old = Number(searchParams.get("old"));
        const size = this.#leaves.length;
        const proof = consistencyProof(nodeCrypto, old, size, this.#node).map(toHex);
        return { body: JSON.stringify({ old, size, proof, checkpoint: this.checkpoint }) };
      }
      default:
        return { status: 404, body: "{}" };
    }
  }

  readonly #node = (level: number, index: number): Uint8Array => {
    const leaf = this.#leaves[index];
    if (level > 0) return nodeHash(nodeCrypto, this.#node(level - 1, 2 * index), this.#node(level - 1, 2 * index + 1));
    if (leaf === undefined) throw new RangeError(`the log has no leaf ${index}`);
    return leaf;
  };
}
