/** Writes tar archives (POSIX ustar) that are the same bytes for the same files: no times, owners or order of a machine get in. */

/** One regular file. `path` has forward slashes and is at most 255 bytes, as ustar's two name fields hold it. */
export type TarFile = { path: string; content: Uint8Array };

const BLOCK = 512;

/** Splits a path into ustar's `name` (100 bytes) and `prefix` (155 bytes). */
function splitPath(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
    const prefix = path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix };
  }
  throw new Error(`${path} is too long for a tar archive`);
}

function header({ path, content }: TarFile): Buffer {
  const { name, prefix } = splitPath(path);
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0);
  block.write("0000644\0", 100); // mode
  block.write("0000000\0", 108); // uid
  block.write("0000000\0", 116); // gid
  block.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136); // modification time
  block.write("        ", 148); // the checksum counts its own field as blanks
  block.write("0", 156); // a regular file
  block.write("ustar\x0000", 257);
  block.write(prefix, 345);
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** The archive of `files`, sorted by path. */
export function tar(files: readonly TarFile[]): Buffer {
  const parts: Buffer[] = [];
  for (const file of files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    const padding = (BLOCK - (file.content.length % BLOCK)) % BLOCK;
    parts.push(header(file), Buffer.from(file.content), Buffer.alloc(padding));
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}
