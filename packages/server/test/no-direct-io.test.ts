import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { alignedMemory } from "../src/storage/aligned-memory.ts";
import { writeNewFile } from "../src/storage/durable.ts";
import { temporaryDirectory } from "./core.ts";

const refused = vi.hoisted(() => ({ times: 0 }));

// A file system without direct I/O: it makes the file, and then refuses (open(2), O_DIRECT).
vi.mock("node:fs", async (importOriginal) => {
  const fs = await importOriginal<typeof import("node:fs")>();
  const { constants } = fs;
  function open(path: string, flags: string | number, mode: number, done: (error: unknown, fd?: number) => void): void {
    if (typeof flags === "string" || (flags & constants.O_DIRECT) === 0) return fs.open(path, flags, mode, done);
    refused.times += 1;
    fs.writeFileSync(path, "");
    done(Object.assign(new Error("EINVAL: invalid argument, open"), { code: "EINVAL" }));
  }
  return { ...fs, open };
});

it("writes through the cache where the file system has no direct I/O, and asks it once", async () => {
  const directory = await temporaryDirectory();
  const piece = alignedMemory.take();
  try {
    piece.fill(7);
    for (const name of ["first", "second"]) {
      await writeNewFile(join(directory.path, name), piece);
      expect((await readFile(join(directory.path, name))).equals(piece)).toBe(true);
    }
    expect(refused.times).toBe(1);
  } finally {
    alignedMemory.giveBack(piece);
    await directory.dispose();
  }
});
