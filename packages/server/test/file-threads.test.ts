import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, digestOf, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FileThreads, type PutRequest } from "../src/storage/file-threads.ts";
import { temporaryDirectory } from "./core.ts";

const refuse = vi.hoisted(() => ({ workers: false }));

// A system that has no more threads.
vi.mock("node:worker_threads", async (importOriginal) => {
  const threads = await importOriginal<typeof import("node:worker_threads")>();
  class Worker extends threads.Worker {
    constructor(...args: ConstructorParameters<typeof threads.Worker>) {
      if (refuse.workers) throw new Error("EAGAIN");
      super(...args);
    }
  }
  return { ...threads, Worker };
});

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeEach(async () => {
  directory = await temporaryDirectory();
});

afterEach(() => directory.dispose());

function request(text: string): PutRequest {
  const body = utf8Encode(text);
  return {
    body,
    sha256: digestHex(digestOf(nodeCrypto, body)),
    temporary: join(directory.path, `${text}.tmp`),
    path: join(directory.path, text),
    directory: directory.path,
  };
}

it("starts threads as they are needed, not one for each blob, and ends them when there is nothing to do", async () => {
  const threads = new FileThreads({ idleMs: 100 });
  expect(threads.size).toBe(0);
  await threads.put(request("a"));
  await threads.put(request("b"));
  expect(threads.size).toBe(1);
  const many = Array.from({ length: 12 }, (_, index) => threads.put(request(`c${index}`)));
  expect(threads.size).toBe(4);
  await Promise.all(many);
  expect((await readdir(directory.path)).length).toBe(14);
  await vi.waitFor(() => expect(threads.size).toBe(0), 5_000);
  expect(await threads.put(request("d"))).toEqual({ state: "put" });
  expect(await readFile(join(directory.path, "d"), "utf8")).toBe("d");
});

it("has more threads where a disk takes its time, to have more syncs under way", async () => {
  const threads = new FileThreads({ slowMs: 0 });
  await threads.put(request("a"));
  await Promise.all(Array.from({ length: 20 }, (_, index) => threads.put(request(`b${index}`))));
  expect(threads.size).toBe(8);
});

it("says how far a blob came that cannot be put, and what the system said", async () => {
  const threads = new FileThreads({ idleMs: 0 });
  expect(await threads.put({ ...request("a"), sha256: "0".repeat(64) })).toEqual({
    state: "other",
    sha256: request("a").sha256,
  });
  expect(await readdir(directory.path)).toEqual([]);
  await mkdir(join(directory.path, "b.tmp"));
  expect(await threads.put(request("b"))).toMatchObject({ state: "unwritten", details: { code: "EEXIST" } });
  const unnamed = { ...request("c"), path: join(directory.path, "nowhere", "c") };
  expect(await threads.put(unnamed)).toMatchObject({
    state: "unnamed",
    details: { code: "ENOENT", syscall: "rename" },
  });
  expect(threads.failures).toBe(0);
  const unsynced = { ...request("d"), directory: join(directory.path, "nowhere") };
  expect(await threads.put(unsynced)).toMatchObject({ state: "unsynced", details: { code: "ENOENT" } });
  expect(threads.failures).toBe(1);
});

it("fails the blob that a thread had in hand when it died, and goes on with another", async () => {
  const threads = new FileThreads();
  // No thread can read this.
  const deadly = { ...request("a"), body: null } as unknown as PutRequest;
  const after = Array.from({ length: 8 }, (_, index) => threads.put(request(`b${index}`)));
  const dying = threads.put(deadly);
  await expect(dying).rejects.toMatchObject({ code: "storage-failed" });
  for (const answer of await Promise.all(after)) expect(answer).toEqual({ state: "put" });
  expect(await threads.put(request("c"))).toEqual({ state: "put" });
});

it("leaves to the threads there are what no other can be started for, and refuses only when there is none", async () => {
  const threads = new FileThreads();
  const first = threads.put(request("a"));
  refuse.workers = true;
  try {
    const more = Array.from({ length: 6 }, (_, index) => threads.put(request(`b${index}`)));
    expect(threads.size).toBe(1);
    for (const answer of await Promise.all([first, ...more])) expect(answer).toEqual({ state: "put" });
    const none = new FileThreads();
    const refused = Array.from({ length: 3 }, (_, index) => none.put(request(`c${index}`)));
    for (const one of refused) await expect(one).rejects.toMatchObject({ code: "storage-failed" });
    refuse.workers = false;
    expect(await none.put(request("d"))).toEqual({ state: "put" });
    // What was refused is put by nobody.
    expect((await readdir(directory.path)).filter((name) => name.startsWith("c"))).toEqual([]);
  } finally {
    refuse.workers = false;
  }
});
