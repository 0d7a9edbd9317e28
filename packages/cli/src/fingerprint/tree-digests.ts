import { createHash, type Hash, hash } from "node:crypto";
import { type BytePath, pathBytes } from "./bytepath.ts";

/** What is known of one entry of a tree when it is digested. `content` is lower hex SHA-256, `size` in bytes. */
export type TreeEntry =
  | {
      readonly kind: "file";
      readonly path: BytePath;
      readonly size: number;
      readonly executable: boolean;
      readonly content: string;
    }
  | { readonly kind: "directory"; readonly path: BytePath }
  | { readonly kind: "link"; readonly path: BytePath; readonly target: BytePath };

/**
 * The Kosli fingerprint of a directory: SHA-256 over hex digits, for each entry in walk order those of its name's hash,
 * and for a file (or a link to one) those of its content, for a link to a directory those of its text.
 * It binds neither depth nor type nor mode; `StructureDigest` does.
 */
export class KosliDigest {
  readonly #hash: Hash = createHash("sha256");
  // Gathered before they are hashed: a call per entry would cost more than the hashing.
  #pending = "";

  add(name: BytePath, detail: { content: string } | { linkToDirectory: BytePath } | "directory"): void {
    this.#pending += hash("sha256", pathBytes(name));
    if (detail !== "directory") {
      this.#pending += "content" in detail ? detail.content : hash("sha256", pathBytes(detail.linkToDirectory));
    }
    if (this.#pending.length > 1 << 16) this.#flush();
  }

  /** Lower hex. */
  digest(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #flush(): void {
    this.#hash.update(this.#pending, "latin1");
    this.#pending = "";
  }
}

/** The name and first bytes of the format; any change of it is a new name. */
export const STRUCTURE_FORMAT = "assay-dir-v1";

const TYPES = { file: 1, directory: 2, link: 3 } as const;

/**
 * The structure-binding digest "assay-dir-v1": SHA-256 over the ASCII text `assay-dir-v1\n`, then for each entry, in the
 * same order as the walk (a directory before what it holds, names in byte order), with integers big-endian:
 *
 *     u32  length of the rest of this entry
 *     u8   1 file, 2 directory, 3 symbolic link
 *     u8   1 if its owner may execute it (files only), else 0
 *     u32  length of the path, then the path from the root, parts separated by "/"
 *     file:  u64 size, then the 32 bytes of the SHA-256 of its content
 *     link:  u32 length of its text, then the text
 *
 * Two trees have the same digest only if they have the same entries of the same type at the same paths with the same
 * content, executable bit or link text. Owners, times and other mode bits are not bound; links are never followed.
 */
export class StructureDigest {
  readonly #hash: Hash = createHash("sha256").update(`${STRUCTURE_FORMAT}\n`);

  add(entry: TreeEntry): void {
    this.#hash.update(encodeEntry(entry));
  }

  /** Lower hex. */
  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** The bytes of one entry. */
export function encodeEntry(entry: TreeEntry): Buffer {
  const path = pathBytes(entry.path);
  const tail =
    entry.kind === "file"
      ? fileTail(entry.size, entry.content)
      : entry.kind === "link"
        ? linkTail(entry.target)
        : NOTHING;
  const head = Buffer.allocUnsafe(10);
  head.writeUInt32BE(6 + path.length + tail.length, 0);
  head.writeUInt8(TYPES[entry.kind], 4);
  head.writeUInt8(entry.kind === "file" && entry.executable ? 1 : 0, 5);
  head.writeUInt32BE(path.length, 6);
  return Buffer.concat([head, path, tail]);
}

const NOTHING = Buffer.alloc(0);

function fileTail(size: number, content: string): Buffer {
  const tail = Buffer.allocUnsafe(40);
  tail.writeBigUInt64BE(BigInt(size), 0);
  tail.write(content, 8, "hex");
  return tail;
}

function linkTail(target: BytePath): Buffer {
  const text = pathBytes(target);
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(text.length, 0);
  return Buffer.concat([length, text]);
}
