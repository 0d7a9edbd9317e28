import { damaged } from "./format.ts";

/** Tar's unit (POSIX.1-2024, pax, "ustar Interchange Format"): headers have one block, contents are padded to whole ones. */
const BLOCK = 512;

/** Bytes of a pax header at most: ours hold a path and a size. */
const MAX_PAX = 4096;

/** One file of an archive. Its contents are to be read before the next one is asked for; what is not read is skipped. */
export interface TarMember {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/** Hands out a stream of bytes in the pieces that are asked for. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `limit`; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#rest = next.value;
    }
    const taken = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  /** Exactly `size` bytes. @throws ServerError `archive-damaged` when there are fewer. */
  async exactly(size: number): Promise<Uint8Array> {
    const out = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const piece = await this.some(size - at);
      if (piece === undefined) throw cutOff();
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }

  async return(): Promise<void> {
    await this.#source.return?.();
  }
}

function cutOff(): Error {
  return damaged("it ends in the middle: the archive was cut off");
}

/**
 * Reads the regular files of a tar archive, as a stream. It takes what the backup writes and nothing else, and looks at every byte: the
 * checksum of each header, the padding, the end, and that nothing follows it. A tar program is lenient where this must not be.
 *
 * @throws ServerError `archive-damaged`.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const bytes = new Bytes(source);
  try {
    let pax: Pax | undefined;
    for (;;) {
      const block = await bytes.exactly(BLOCK);
      if (isZero(block)) {
        if (pax !== undefined || !isZero(await bytes.exactly(BLOCK))) throw damaged("its end is damaged");
        if ((await bytes.some(1)) !== undefined) throw damaged("something follows the archive's end");
        return;
      }
      const header = parseHeader(block);
      const padding = (BLOCK - (header.size % BLOCK)) % BLOCK;
      if (header.type === "x") {
        if (pax !== undefined || header.size > MAX_PAX) throw damaged("a pax header is damaged");
        pax = parsePax(await bytes.exactly(header.size));
      } else {
        if (pax !== undefined && pax.size !== header.size)
          throw damaged("a pax header says another size than its file's");
        const { size } = header;
        const name = pax?.path ?? header.name;
        pax = undefined;
        let left = size;
        const content = (async function* () {
          while (left > 0) {
            const piece = await bytes.some(left);
            if (piece === undefined) throw cutOff();
            left -= piece.length;
            yield piece;
          }
        })();
        yield { name, size, content };
        while (left > 0) {
          const piece = await bytes.some(left);
          if (piece === undefined) throw cutOff();
          left -= piece.length;
        }
      }
      if (!isZero(await bytes.exactly(padding))) throw damaged("the padding after a file is not empty");
    }
  } finally {
    await bytes.return();
  }
}

/** A member whole. @throws ServerError `archive-damaged` above `limit` bytes. */
export async function wholeMember(member: TarMember, limit: number): Promise<Uint8Array> {
  if (member.size > limit) throw damaged(`${member.name} has ${member.size} bytes, more than ${limit}`);
  const out = new Uint8Array(member.size);
  let at = 0;
  for await (const piece of member.content) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

interface Header {
  readonly name: string;
  readonly size: number;
  readonly type: "0" | "x";
}

/** Reads a header block. Its checksum covers every byte of it, so a single altered byte never passes. */
export function parseHeader(block: Uint8Array): Header {
  let sum = 8 * 0x20;
  for (const [at, byte] of block.entries()) if (at < 148 || at >= 156) sum += byte;
  const checksum = text(block, 148, 8);
  if (checksum !== `${sum.toString(8).padStart(6, "0")} \0`) {
    throw damaged("a header is damaged: its checksum is wrong");
  }
  if (text(block, 257, 6) !== "ustar\0") throw damaged("a header is not one of ustar");
  const type = text(block, 156, 1);
  if (type !== "0" && type !== "x") throw damaged(`a member is of type ${JSON.stringify(type)}, not a regular file`);
  return { name: field(block, 0, 100), size: sizeField(block), type };
}

function text(block: Uint8Array, start: number, length: number): string {
  return Buffer.from(block.buffer, block.byteOffset + start, length).toString("latin1");
}

/** A field's text up to its first NUL. */
function field(block: Uint8Array, start: number, length: number): string {
  return text(block, start, length).replace(/\0.*$/s, "");
}

/** Octal, or from 8 GiB on binary with the first bit set. */
function sizeField(block: Uint8Array): number {
  let size: number;
  if (block[124] === 0x80) {
    size = block.subarray(125, 136).reduce((value, byte) => value * 256 + byte, 0);
  } else {
    const octal = field(block, 124, 12).trimEnd();
    size = /^[0-7]{1,11}$/.test(octal) ? Number.parseInt(octal, 8) : Number.NaN;
  }
  if (!Number.isSafeInteger(size)) throw damaged("a header's size is damaged");
  return size;
}

interface Pax {
  readonly path: string | undefined;
  readonly size: number;
}

/** The records `<length> <key>=<value>\n` of a pax header. */
function parsePax(bytes: Uint8Array): Pax {
  const records = new Map<string, string>();
  let rest = Buffer.from(bytes).toString();
  while (rest !== "") {
    const match = /^(\d{1,4}) ([a-z]+)=([^\n]*)\n/.exec(rest);
    const [whole, length, key, value] = match ?? [];
    if (
      whole === undefined ||
      key === undefined ||
      value === undefined ||
      Number(length) !== Buffer.byteLength(whole)
    ) {
      throw damaged("a pax header is damaged");
    }
    records.set(key, value);
    rest = rest.slice(whole.length);
  }
  const size = Number(records.get("size") ?? Number.NaN);
  if (!Number.isSafeInteger(size) || size < 0) throw damaged("a pax header is damaged");
  return { path: records.get("path"), size };
}
