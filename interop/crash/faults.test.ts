/**
 * Syscalls of a real server process that fail or take long (strace's fault injection): every failed write is answered as failed, nothing
 * promised is lost, nothing is half there, and the server goes on by itself.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkDirectory } from "../../packages/server/src/admin/check.ts";
import { freePort } from "../../packages/server/test/free-port.ts";
import { sha256 } from "../../packages/server/test/pushing.ts";
import { type ServerProcess, startProcess } from "../../packages/server/test/server-process.ts";
import { lostOverHttp, RefusedWrite, WriteLoad } from "../../packages/server/test/write-load.ts";
import { type Fault, withFault } from "./faults.ts";

let directory: string;
let server: ServerProcess;
let load: WriteLoad;
/** An artifact for evidence to be about. */
let artifact: string;

/** One thread does what the pool does with files, so that which of its calls fails is no chance; and one thing is put after another. */
const start = async (): Promise<ServerProcess> =>
  await startProcess(directory, await freePort(), { UV_THREADPOOL_SIZE: "1" });

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-faults-"));
  server = await start();
  load = new WriteLoad(server.url);
  artifact = await load.push("default/app", "v0", { layer: 3000, whole: 2000, chunk: 4000 });
});

afterAll(async () => {
  server.signal("SIGKILL");
  await server.ended;
  rmSync(directory, { recursive: true });
});

const organisation = (): Promise<void> => load.organisation(`o${randomUUID().slice(0, 8)}`);
const blob = (): Promise<void> => load.blob("default/app", randomBytes(300_000));
/** Whose directory has to be made. */
const firstOfDirectory = async (): Promise<void> => {
  const there = new Set(readdirSync(join(directory, "blobs", "sha256")));
  for (let tries = 0; tries < 10_000; tries += 1) {
    const bytes = randomBytes(2000);
    if (!there.has(sha256(bytes).slice("sha256:".length, "sha256:".length + 2)))
      return await load.blob("default/app", bytes);
  }
  throw new Error("every directory is there");
};
/** Too large to be held in memory. */
const stagedBlob = (): Promise<void> => load.whole("default/app", randomBytes(1_300_000));
const evidence = (): Promise<void> => load.judge("default", artifact);

const error = (name: string): string => `error=${name}`;
const writer = "assay-writer";
const files = "libuv-worker";
const putter = "assay-files";
const newest = (): string => join(directory, "logs", "record", "newest-checkpoint.tmp");

interface Case {
  readonly what: string;
  readonly fault: () => Fault;
  readonly write: () => Promise<void>;
}

/** Faults that a write does not survive. */
const FATAL: readonly Case[] = [
  // The commit.
  {
    what: "the sync of the database's log fails",
    fault: () => ({ thread: writer, calls: ["fsync", "fdatasync"], inject: error("EIO"), when: "1" }),
    write: organisation,
  },
  {
    what: "the disk is full at the first page of a commit",
    fault: () => ({ thread: writer, calls: ["pwrite64"], inject: error("ENOSPC"), when: "1" }),
    write: organisation,
  },
  {
    what: "a later page of a commit cannot be written",
    fault: () => ({ thread: writer, calls: ["pwrite64"], inject: error("EIO"), when: "4" }),
    write: organisation,
  },
  // The newest checkpoint: the event stands, but nobody is told so before what proves it is down.
  {
    what: "the newest checkpoint cannot be opened",
    fault: () => ({ thread: writer, calls: ["openat"], inject: error("EMFILE"), when: "1", path: newest() }),
    write: organisation,
  },
  {
    what: "the newest checkpoint finds the disk full",
    fault: () => ({ thread: writer, calls: ["write", "pwrite64"], inject: error("ENOSPC"), when: "1", path: newest() }),
    write: organisation,
  },
  {
    what: "the newest checkpoint cannot be synced",
    fault: () => ({ thread: writer, calls: ["fdatasync"], inject: error("EIO"), when: "1", path: newest() }),
    write: organisation,
  },
  {
    what: "the newest checkpoint cannot be renamed",
    fault: () => ({ thread: writer, calls: ["rename"], inject: error("EIO"), when: "1" }),
    write: organisation,
  },
  // Blobs.
  {
    what: "an upload's file cannot be made",
    fault: () => ({ thread: putter, calls: ["openat"], inject: error("ENOSPC"), when: "1" }),
    write: blob,
  },
  {
    what: "the disk is full in the middle of an upload",
    fault: () => ({ thread: putter, calls: ["pwrite64"], inject: error("ENOSPC"), when: "1" }),
    write: blob,
  },
  {
    what: "the disk is full in the middle of an upload that is staged",
    fault: () => ({ thread: files, calls: ["writev"], inject: error("ENOSPC"), when: "1" }),
    write: stagedBlob,
  },
  {
    what: "an upload that is staged cannot be synced",
    fault: () => ({ thread: files, calls: ["fsync"], inject: error("EIO"), when: "1" }),
    write: stagedBlob,
  },
  {
    what: "an upload cannot be synced",
    fault: () => ({ thread: putter, calls: ["fsync"], inject: error("EIO"), when: "1" }),
    write: blob,
  },
  {
    what: "a directory for blobs cannot be synced",
    fault: () => ({ thread: files, calls: ["fsync"], inject: error("EIO"), when: "1" }),
    write: firstOfDirectory,
  },
  {
    what: "a blob's name cannot be synced",
    fault: () => ({ thread: putter, calls: ["fsync"], inject: error("EIO"), when: "2" }),
    write: blob,
  },
  {
    what: "a blob cannot be renamed",
    fault: () => ({ thread: putter, calls: ["rename"], inject: error("EIO"), when: "1" }),
    write: blob,
  },
  {
    what: "evidence cannot be synced",
    fault: () => ({ thread: putter, calls: ["fsync"], inject: error("EIO"), when: "1" }),
    write: evidence,
  },
];

/** Lets a publication that is under way end, whose files the pool makes; and has a thread there that puts blobs, which end without work. */
const quiet = async (): Promise<void> => {
  await blob();
  await new Promise((resolve) => setTimeout(resolve, 300));
};

it.each(FATAL)("answers a write as failed when $what, and the next one succeeds", async ({ fault, write }) => {
  await quiet();
  let refused: unknown;
  const met = await withFault(server.pid, fault(), async () => {
    await write().catch((cause: unknown) => {
      refused = cause;
    });
  });
  expect(met.length).toBeGreaterThan(0);
  if (!(refused instanceof RefusedWrite)) throw new Error("it was not answered as failed", { cause: refused });
  expect([500, 503]).toContain(refused.status);
  // A code and a sentence, in the form of its door.
  expect(refused.answer).toMatch(/"code":"[A-Za-z-]+","message":"[^"]{10,}/);
  await write();
});

it("answers no sooner than a slow sync ends", async () => {
  await quiet();
  const started = performance.now();
  const fault = { thread: writer, calls: ["fsync"], inject: "delay_enter=400ms", when: "1" } as const;
  const met = await withFault(server.pid, fault, organisation);
  expect(met.length).toBe(1);
  expect(performance.now() - started).toBeGreaterThan(400);
});

it("never takes an upload whose sync failed for synced, however often it is closed again", async () => {
  const bytes = randomBytes(50_000);
  const location = await load.stage("default/app", bytes);
  const close = (): Promise<void> => load.close("default/app", location, sha256(bytes));
  await quiet();
  const answers: (number | undefined)[] = [];
  const closing = (): Promise<void> =>
    close().then(
      () => void answers.push(201),
      (refused: unknown) => void answers.push(refused instanceof RefusedWrite ? refused.status : undefined),
    );
  await withFault(server.pid, { thread: files, calls: ["fsync"], inject: error("EIO"), when: "1" }, closing);
  // The kernel has forgotten what it could not write: a sync that succeeds now would promise bytes that are nowhere.
  await closing();
  await closing();
  expect(answers[0]).toBeGreaterThanOrEqual(500);
  for (const status of answers.slice(1)) {
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  }
  await load.close("default/app", await load.stage("default/app", bytes), sha256(bytes));
});

it("puts a blob's name down again when the sync of its directory failed, though the bytes are there", async () => {
  const policy = randomBytes(2000);
  await quiet();
  // The first is the file's, the second the one after the rename.
  await withFault(server.pid, { thread: putter, calls: ["fsync"], inject: error("EIO"), when: "2" }, async () => {
    await expect(load.blob("default/app", policy)).rejects.toBeInstanceOf(RefusedWrite);
  });
  await load.blob("default/app", policy);
});

it("keeps a write whose publication fails, and publishes it with the next", async () => {
  await quiet();
  const fault = { thread: files, calls: ["fdatasync"], inject: error("EIO"), when: "1+" } as const;
  const met = await withFault(server.pid, fault, async () => {
    await organisation();
    await quiet();
  });
  expect(met.join()).toContain("/tile/");
  await organisation();
});

it("keeps every write when SQLite cannot sync its own file: they are in its log, which goes on", async () => {
  await quiet();
  const path = join(directory, "assay.db");
  const fault = { thread: writer, calls: ["fsync", "fdatasync"], inject: error("EIO"), when: "1+", path } as const;
  const met = await withFault(server.pid, fault, async () => {
    // Enough for SQLite to copy its log into its file, which it tries again with every commit from then on.
    for (let count = 0; count < 110; count += 1) await load.policy("default", 60_000);
  });
  expect(met.length).toBeGreaterThan(1);
  await load.policy("default", 60_000);
});

it("starts cleanly when it is killed right after a failed commit", async () => {
  await quiet();
  const fault = { thread: writer, calls: ["fsync", "fdatasync"], inject: error("EIO"), when: "1" } as const;
  await withFault(server.pid, fault, async () => {
    await expect(organisation()).rejects.toBeInstanceOf(RefusedWrite);
    server.signal("SIGKILL");
    await server.ended;
  });
  server = await start();
  load.url = server.url;
  await organisation();
});

it("has kept everything promised, and nothing by halves", async () => {
  expect(await lostOverHttp(server.url, load.promised())).toEqual([]);
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  const report = await checkDirectory({ dataDirectory: directory, tell: () => undefined });
  expect(report.findings).toEqual([]);
  expect(readdirSync(join(directory, "uploads"))).toEqual([]);
  server = await start();
  expect(await lostOverHttp(server.url, load.promised())).toEqual([]);
});
