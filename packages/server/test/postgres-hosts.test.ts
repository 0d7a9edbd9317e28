import { cp, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseVkey, type RecordReceipt, toHex, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CheckpointFile } from "../src/log/checkpoint-file.ts";
import { LogChecker, readLogNotes, readLogState } from "../src/log/check.ts";
import { bornLog } from "../src/record/born-log.ts";
import { newestCheckpointPath } from "../src/log/log.ts";
import type { LogTables } from "../src/log/schema.ts";
import { EventChecker, storedEvents } from "../src/record/check-events.ts";
import { RECORD_LOG, recordLogDirectory } from "../src/record/open.ts";
import type { WriteDatabase } from "../src/storage/database.ts";
import { ServerError } from "../src/errors.ts";
import { type Core, type NoteTables, openCore, take, temporaryDirectory } from "./core.ts";
import { copyDatabase, placeOf } from "./database.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let other: Awaited<ReturnType<typeof temporaryDirectory>>;
let hosts: Core[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
  other = await temporaryDirectory();
});

afterEach(async () => {
  for (const host of hosts) await host.stop().catch(() => undefined);
  hosts = [];
  await directory.dispose();
  await other.dispose();
});

/** A host on the database of the first directory, with the first directory's keys. */
async function host(
  dataDirectory = directory.path,
  wrap: (database: WriteDatabase) => WriteDatabase = (d) => d,
): Promise<Core> {
  const opened = await openCore(dataDirectory, wrap, await placeOf(directory.path));
  hosts.push(opened);
  return opened;
}

/** A second data directory: the same keys, tiles of its own. */
async function hostElsewhere(): Promise<Core> {
  await cp(join(directory.path, "keys"), join(other.path, "keys"), { recursive: true });
  await cp(join(directory.path, "master.key"), join(other.path, "master.key"));
  return await host(other.path);
}

async function receiptsOf(appended: ReturnType<Core["writer"]["append"]>): Promise<RecordReceipt[]> {
  const outcome = await appended;
  if (!outcome.ok) throw new Error(outcome.refusal.message);
  return outcome.receipts;
}

/** Events, leaves, chains, state, tiles and checkpoints of one host's directory: everything must hold. */
async function problems(of: Core): Promise<string[]> {
  const directory = recordLogDirectory(of.directory);
  const notes = await readLogNotes(directory);
  const reader = of.database.reader();
  const state = async () => await readLogState(reader, RECORD_LOG);
  const log = await LogChecker.open({
    name: RECORD_LOG,
    crypto: nodeCrypto,
    directory,
    notes,
    state: await state(),
    born: await bornLog(reader),
    committed: async () => (await state())?.size ?? 0,
  });
  if (log === undefined) throw new Error("a log can be checked from its first entry");
  const checker = new EventChecker({ crypto: nodeCrypto, reader });
  const found: { where: string; problem: string }[] = [];
  for await (const event of storedEvents(reader)) {
    const checked = await checker.check(event);
    found.push(...checked.findings);
    for (const entry of checked.entries) if (entry !== undefined) log.append(entry);
  }
  for await (const finding of log.finish()) found.push(finding);
  return found.map(({ where, problem }) => `${where}: ${problem}`);
}

async function checkpointSize(path: string): Promise<number> {
  return Number((await readFile(path, "utf8")).split("\n")[1]);
}

async function until(condition: () => Promise<boolean>, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("two hosts on one database", () => {
  it.each(["one directory", "a directory each"])(
    "append at once without a fork or a gap, every receipt verifies, and each decides on the other's facts (%s)",
    async (where) => {
      const one = await host();
      const two = where === "one directory" ? await host() : await hostElsewhere();
      const receipts: RecordReceipt[] = [];
      let refused = 0;
      const load = async (of: Core, name: string): Promise<void> => {
        for (let round = 0; round < 40; round += 1) {
          receipts.push(...(await receiptsOf(of.writer.append(take(`${name}-${round}`, "", name)))));
          // Both want this one; it is taken once.
          const both = await of.writer.append(take(`both-${round}`, name));
          if (both.ok) receipts.push(...both.receipts);
          else refused += 1;
        }
      };
      await Promise.all([load(one, "one"), load(one, "also-one"), load(two, "two"), load(two, "also-two")]);
      expect(refused).toBe(3 * 40);
      const sequences = receipts.map((receipt) => receipt.sequence).toSorted((left, right) => left - right);
      const first = sequences[0] ?? 0;
      expect(sequences).toEqual(sequences.map((_, index) => first + index));
      for (const receipt of receipts) await verifyReceipt(nodeCrypto, receipt, [parseVkey(one.log.vkey)]);
      // Both publish everything, also what the other appended last.
      for (const of of [one, two]) {
        const path = join(recordLogDirectory(of.directory), "checkpoint");
        await until(async () => (await checkpointSize(path)) === first + sequences.length);
        await of.log.published();
        expect(await problems(of)).toEqual([]);
      }
    },
  );

  it("raise the epoch when the log's row passes from one to the other, and only then", async () => {
    const one = await host();
    const two = await host();
    const epoch = async (): Promise<number> => {
      const row = await one.database
        .reader()
        .tables<LogTables>()
        .selectFrom("log_state")
        .select("epoch")
        .executeTakeFirst();
      return row?.epoch ?? -1;
    };
    await one.writer.append(take("a"));
    const start = await epoch();
    await one.writer.append(take("b"));
    expect(await epoch()).toBe(start);
    await two.writer.append(take("c"));
    expect(await epoch()).toBe(start + 1);
    await two.writer.append(take("d"));
    await one.writer.append(take("e"));
    expect(await epoch()).toBe(start + 2);
  });

  it("found one record when they start together", async () => {
    const [one, two] = await Promise.all([host(), host()]);
    expect(one.log.vkey).toBe(two.log.vkey);
    await one.writer.append(take("a"));
    await two.writer.append(take("b"));
    await two.log.published();
    expect(await problems(two)).toEqual([]);
  });

  it("follow each other's appends without appending themselves", async () => {
    const one = await host();
    const two = await hostElsewhere();
    await one.writer.append(take("a"));
    await until(async () => two.log.size === one.log.size);
    await two.log.published();
    expect(await checkpointSize(join(recordLogDirectory(two.directory), "checkpoint"))).toBe(one.log.size);
  });

  it("give times that never step back, whatever the database's clock does", async () => {
    const hour = 3_600_000;
    const one = await host();
    const two = await host(directory.path, (database) => ({
      ...database,
      now: async () => (await database.now()) - hour,
    }));
    const ahead = await host(directory.path, (database) => ({
      ...database,
      now: async () => (await database.now()) + hour,
    }));
    for (const of of [one, two, ahead, two, one, ahead, one])
      await receiptsOf(of.writer.append(take(`n${Math.random()}`)));
    for (const of of [one, two, ahead]) await of.log.published();
    expect(await problems(one)).toEqual([]);
  });

  it("ask for the first host's keys when a host has none", async () => {
    await host();
    await expect(host(other.path)).rejects.toMatchObject({ code: "key-missing" });
  });
});

describe("a commit whose answer is lost", () => {
  /** A host of which some commits are not answered: they come about (`done`), or they do not. */
  async function losing(): Promise<{ of: Core; lose: (fate: "done" | "undone", times: number) => void }> {
    let fate: "done" | "undone" = "done";
    let left = 0;
    const of = await host(directory.path, (database) => ({
      ...database,
      async transaction(work, options) {
        if (left === 0) return await database.transaction(work, options);
        left -= 1;
        const lost = new ServerError("write-unconfirmed", "the answer was lost");
        if (fate === "done") await database.transaction(work, options);
        else {
          const undo = new Error("undo");
          await database
            .transaction(async (batch) => {
              await work(batch);
              throw undo;
            }, options)
            .catch((error: unknown) => {
              if (error !== undo) throw error;
            });
        }
        throw lost;
      },
    }));
    return {
      of,
      lose(which, times) {
        fate = which;
        left = times;
      },
    };
  }

  it("is found in the record and answered as what it is, receipts and all, though another host has gone on", async () => {
    const { of: one, lose } = await losing();
    const two = await host();
    // The first answer, and that of the first attempt to find out.
    lose("done", 2);
    const [first, second] = await Promise.all([
      receiptsOf(one.writer.append(take("a"))),
      receiptsOf(one.writer.append(take("b"))),
    ]);
    await receiptsOf(two.writer.append(take("c")));
    const third = await receiptsOf(one.writer.append(take("d")));
    expect([first, second, third].map((receipts) => receipts.length)).toEqual([1, 1, 1]);
    for (const receipt of [...first, ...second, ...third])
      await verifyReceipt(nodeCrypto, receipt, [parseVkey(one.log.vkey)]);
    expect((await one.writer.append(take("a"))).ok).toBe(false);
    await one.log.published();
    expect(await problems(one)).toEqual([]);
  });

  it("that did not come about is said to have recorded nothing, and can be sent again", async () => {
    const { of: one, lose } = await losing();
    const { size } = one.log;
    lose("undone", 1);
    await expect(one.writer.append(take("a"))).rejects.toMatchObject({
      code: "database-unavailable",
      message: expect.stringContaining("nothing was recorded") as string,
    });
    const [receipt] = await receiptsOf(one.writer.append(take("a")));
    expect(receipt?.sequence).toBe(size);
    await one.log.published();
    expect(await problems(one)).toEqual([]);
  });

  it("is reported as unconfirmed when it cannot be found out, and the next batch continues after it", async () => {
    const { of: one, lose } = await losing();
    lose("undone", Number.POSITIVE_INFINITY);
    const asked = one.writer.operate("note.count", { name: "x" });
    await expect(asked).rejects.toMatchObject({ code: "write-unconfirmed" });
    lose("done", 0);
    await receiptsOf(one.writer.append(take("a")));
    await one.log.published();
    expect(await problems(one)).toEqual([]);
  });
});

describe("a database that lost committed entries", () => {
  it("is not written to, and nothing is signed over it", async () => {
    const one = await host();
    await one.writer.append(take("a"));
    await one.stop();
    const putBack = await copyDatabase(directory.path);
    const two = await host();
    await two.writer.append(take("b"));
    await two.log.published();
    const signed = await readFile(newestCheckpointPath(recordLogDirectory(directory.path)), "utf8");
    // As a standby that was behind and is now the primary.
    await putBack();
    // The sessions ended with the old database; the next ones find the older state.
    await two.writer.append(take("c")).catch(() => undefined);
    await expect(two.writer.append(take("d"))).rejects.toMatchObject({ code: "log-behind-checkpoint" });
    await expect(host()).rejects.toMatchObject({ code: "log-behind-checkpoint" });
    expect(await readFile(newestCheckpointPath(recordLogDirectory(directory.path)), "utf8")).toBe(signed);
    const rows = await two.database.reader().tables<NoteTables>().selectFrom("note").select("name").execute();
    expect(rows.map((row) => row.name)).toEqual(["a"]);
  });

  it("is not written to when its leaves do not give its root", async () => {
    const one = await host();
    const two = await host();
    await one.writer.append(take("a"));
    await until(async () => two.log.size === one.log.size);
    await one.database.transaction(async (batch) => {
      const state = batch.tables<LogTables>();
      const row = await state.selectFrom("log_state").selectAll().executeTakeFirstOrThrow();
      await state
        .updateTable("log_state")
        .set({ root: nodeCrypto.sha256(row.root) })
        .execute();
    });
    await expect(two.writer.append(take("b"))).rejects.toMatchObject({ code: "log-inconsistent" });
  });
});

describe("checkpoint files of a shared directory", () => {
  const note = (size: number): string => `origin\n${size}\n${toHex(new Uint8Array(32))}\n`;

  it("are replaced by newer checkpoints only", async () => {
    const path = join(directory.path, "checkpoint");
    const files = [new CheckpointFile(directory.path), new CheckpointFile(directory.path)] as const;
    expect(files[0].advance(path, note(9))).toBe(true);
    expect(files[1].advance(path, note(10))).toBe(true);
    expect(files[0].advance(path, note(9))).toBe(false);
    expect(files[0].advance(path, note(10))).toBe(false);
    expect(await readFile(path, "utf8")).toBe(note(10));
    for (const file of files) file.close();
  });

  it("come back within a moment when a stopped host put an older one there", async () => {
    const one = await host();
    await one.writer.append(take("a"));
    await one.log.published();
    const path = join(recordLogDirectory(directory.path), "checkpoint");
    const old = await readFile(path);
    const { mtimeMs } = await stat(path);
    await one.writer.append(take("b"));
    await one.log.published();
    await writeFile(path, old);
    await until(async () => (await checkpointSize(path)) === one.log.size);
    expect((await stat(path)).mtimeMs).toBeGreaterThan(mtimeMs);
  });
});
