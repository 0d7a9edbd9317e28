import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import process from "node:process";
import { ServerError } from "../errors.ts";
import { isMissing, readIfThere } from "../storage/durable.ts";
import { AGE_MAGIC, decrypt, type DecryptionChoice } from "./encryption.ts";
import { damaged, INDEX, type Index, MAX_INDEX, readIndex, sha256 } from "./format.ts";
import { parseHeader, readTar, wholeMember } from "./tar-reader.ts";

/** Bytes a read of an archive gets at a time. */
const READ_BYTES = 1024 * 1024;

const BLOCK = 512;

/** The name of the index that an encrypted archive leaves beside it, in the clear. */
export function indexBeside(archive: string): string {
  return `${archive}.index.json`;
}

/** The bytes of an archive's tar, decrypted where it is encrypted. `-` is standard input. @throws ServerError `archive-locked`. */
export async function* archiveBytes(path: string, choice: DecryptionChoice): AsyncGenerator<Uint8Array> {
  const source: AsyncIterable<Uint8Array> =
    path === "-" ? process.stdin : createReadStream(path, { highWaterMark: READ_BYTES });
  const pieces = source[Symbol.asyncIterator]();
  // Enough of the first bytes to tell by, whatever pieces they come in.
  let head: Uint8Array = new Uint8Array(0);
  try {
    while (head.length < AGE_MAGIC.length) {
      const next = await pieces.next();
      if (next.done === true) break;
      head = Buffer.concat([head, next.value]);
    }
  } catch (cause) {
    throw isMissing(cause)
      ? new ServerError("config-invalid", `there is no archive ${path}`, { cause })
      : new ServerError("archive-damaged", `${path} cannot be read: ${String(cause)}`, { cause });
  }
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    yield head;
    try {
      for (;;) {
        const next = await pieces.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  };
  if (AGE_MAGIC.equals(head.subarray(0, AGE_MAGIC.length))) yield* decrypt(whole(), choice);
  else yield* whole();
}

/** An archive's index, and its id. */
export interface ArchiveIndex {
  readonly index: Index;
  readonly id: string;
}

/**
 * Reads the index of an archive that a new one is to go on from: at its end. An encrypted one is read from its beginning, where something
 * opens it, else the index beside it. The index file alone will do too.
 *
 * @throws ServerError `archive-damaged`, `archive-locked`.
 */
export async function readArchiveIndex(path: string, choice: DecryptionChoice): Promise<ArchiveIndex> {
  const bytes = await indexBytes(path, choice);
  return { index: readIndex(bytes), id: sha256(bytes) };
}

async function indexBytes(path: string, choice: DecryptionChoice): Promise<Uint8Array> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw new ServerError("config-invalid", `there is no archive ${path}`, { cause });
  }
  try {
    const { size } = await handle.stat();
    const head = Buffer.alloc(AGE_MAGIC.length);
    await handle.read(head, 0, head.length, 0);
    if (head[0] === 0x7b) {
      if (size > MAX_INDEX) throw damaged(`${path} is larger than an index can be`);
      return await handle.readFile();
    }
    if (!head.equals(AGE_MAGIC)) return await lastMember(handle, size);
  } finally {
    await handle.close();
  }
  if (choice.identityFile === undefined && choice.passphraseFile === undefined) {
    const beside = await readIfThere(indexBeside(path));
    if (beside !== undefined) return Buffer.from(beside);
  }
  for await (const member of readTar(archiveBytes(path, choice))) {
    if (member.name === INDEX) return await wholeMember(member, MAX_INDEX);
  }
  throw damaged("it has no index: the archive was cut off");
}

/**
 * The index of a tar file, found from its end: its header is the last block that is one, and JSON holds no NUL, which every header does.
 */
async function lastMember(handle: Awaited<ReturnType<typeof open>>, size: number): Promise<Uint8Array> {
  if (size % BLOCK !== 0) throw damaged("it ends in the middle: the archive was cut off");
  const end = size - 2 * BLOCK;
  const window = Buffer.alloc(READ_BYTES);
  for (let high = end; high > 0 && end - high < MAX_INDEX; ) {
    const low = Math.max(0, high - READ_BYTES);
    await handle.read(window, 0, high - low, low);
    for (let at = high - low - BLOCK; at >= 0; at -= BLOCK) {
      const block = window.subarray(at, at + BLOCK);
      if (!block.subarray(0, INDEX.length + 1).equals(Buffer.from(`${INDEX}\0`))) continue;
      const header = parseHeader(block);
      const start = low + at + BLOCK;
      if (start + Math.ceil(header.size / BLOCK) * BLOCK !== end) throw damaged("its end is damaged");
      const bytes = Buffer.alloc(header.size);
      await handle.read(bytes, 0, header.size, start);
      return bytes;
    }
    high = low;
  }
  throw damaged("it has no index: the archive was cut off");
}
