import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { alignedMemory } from "../src/storage/aligned-memory.ts";
import { writeNewFile } from "../src/storage/durable.ts";
import { temporaryDirectory } from "./core.ts";

const refused = vi.hoisted(() => ({ times: 0 }));

// A file system without direct I/O.
vi.mock("node:fs", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs")>();
  function openSync(path: string, flags: string | number, mode?: number): number {
    if (typeof flags === "string" || (flags & fs.constants.O_DIRECT) === 0) return fs.openSync(path, flags, mode);
    refused.times += 1;
    throw Object.assign(new Error("EINVAL: invalid argument, open"), { code: "EINVAL" });
  }
  return { ...fs, openSync };
});

it("writes through the cache where the file system has no direct I/O, and asks it once", async () => {
  const directory = await temporaryDirectory();
  const piece = alignedMemory.take();
  try {
    piece.fill(7);
    for (const name of ["first", "second"]) {
      writeNewFile(join(directory.path, name), piece);
      expect((await readFile(join(directory.path, name))).equals(piece)).toBe(true);
    }
    expect(refused.times).toBe(1);
  } finally {
    alignedMemory.giveBack(piece);
    await directory.dispose();
  }
});
