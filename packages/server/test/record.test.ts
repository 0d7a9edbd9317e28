import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromBase64, parseVkey, utf8Decode, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeEnvelope } from "../src/record/event.ts";
import { recordLogDirectory } from "../src/record/open.ts";
import type { RecordTables } from "../src/record/schema.ts";
import type { Batch } from "../src/storage/database.ts";
import { ADMIN, type Core, type NoteTables, openCore, take, temporaryDirectory } from "./core.ts";
import { copyDatabase, ENGINE, openRaw } from "./database.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let core: Core;

beforeEach(async () => {
  directory = await temporaryDirectory();
  core = await openCore(directory.path);
});

afterEach(async () => {
  await core.stop().catch(() => undefined);
  await directory.dispose();
});

async function notes(of: Core): Promise<string[]> {
  const rows = await of.database
    .reader()
    .tables<NoteTables>()
    .selectFrom("note")
    .select("name")
    .orderBy("name")
    .execute();
  return rows.map((row) => row.name);
}

async function events(of: Core): Promise<number[]> {
  const rows = await of.database
    .reader()
    .tables<RecordTables>()
    .selectFrom("event")
    .select("sequence")
    .orderBy("sequence")
    .execute();
  return rows.map((row) => row.sequence);
}

describe("append", () => {
  it("answers with a receipt that verifies offline under the log's key alone", async () => {
    const appended = await core.writer.append(take("a", "text"));
    if (!appended.ok) throw new Error(appended.refusal.message);
    const receipt = appended.receipts[0];
    if (receipt === undefined) throw new Error("no receipt");
    const verified = await verifyReceipt(nodeCrypto, receipt, [parseVkey(core.log.vkey)]);
    expect(verified.sequence).toBe(receipt.sequence);
    expect(JSON.parse(utf8Decode(fromBase64(receipt.event ?? "")))).toMatchObject({
      type: "note.taken",
      actor: "admin",
      org: "default",
      body: { name: "a", text: "text" },
    });
  });

  it("gives sequences without a gap, equal to the leaf index, whatever is refused between them", async () => {
    const answers = await Promise.all([
      core.writer.append(take("a")),
      core.writer.append(take("a")),
      core.writer.append(take("b")),
      core.writer.append({ ...take("c"), type: "note.explode" }).catch(() => undefined),
      core.writer.append(take("d")),
    ]);
    expect(answers.map((answer) => answer?.ok)).toEqual([true, false, true, undefined, true]);
    expect(await notes(core)).toEqual(["a", "b", "d"]);
    const all = await events(core);
    expect(all).toEqual(all.map((_, index) => index));
    expect(core.log.size).toBe(all.length);
  });

  it("accepts several commands as one, or none of them", async () => {
    const refused = await core.writer.append([take("a"), take("a")]);
    expect(refused.ok).toBe(false);
    expect(await notes(core)).toEqual([]);
    const accepted = await core.writer.append([take("a"), take("b")]);
    expect(accepted.ok && accepted.receipts.length).toBe(2);
  });

  it("lets exactly one of two concurrent requests for one name pass", async () => {
    for (let round = 0; round < 20; round += 1) {
      const both = await Promise.all([
        core.writer.append(take(`n${round}`, "x")),
        core.writer.append(take(`n${round}`, "y")),
      ]);
      expect(both.filter((answer) => answer.ok)).toHaveLength(1);
    }
  });

  it("chains the events of each organisation and shows none of another's", async () => {
    await core.writer.append(take("a", "", "one"));
    await core.writer.append(take("b", "", "two"));
    await core.writer.append(take("c", "", "one"));
    const rows = await core.database
      .reader()
      .tables<RecordTables>()
      .selectFrom("event")
      .innerJoin("leaf", "leaf.sequence", "event.sequence")
      .select(["event.bytes", "leaf.commitment", "event.org_sequence"])
      .where("event.org", "=", "one")
      .orderBy("event.sequence")
      .execute();
    const parsed = rows.map((row) => JSON.parse(utf8Decode(row.bytes)) as { prev: string | null; orgSeq: number });
    expect(parsed.map((event) => event.orgSeq)).toEqual([0, 1]);
    expect(parsed[0]?.prev).toBeNull();
    expect(parsed[1]?.prev).toBe(Buffer.from(rows[0]?.commitment ?? []).toString("hex"));
  });

  it("keeps unrecorded state through operations without an event", async () => {
    const before = core.log.size;
    await core.writer.operate("note.count", { name: "x" });
    await core.writer.operate("note.count", { name: "x" });
    const row = await core.database.reader().tables<NoteTables>().selectFrom("scratch").selectAll().executeTakeFirst();
    expect(row).toEqual({ name: "x", count: 2 });
    expect(core.log.size).toBe(before);
  });

  it("writes the heads of changed organisations down once", async () => {
    await core.writer.append(take("a"));
    const heads = {
      type: "record.write-heads",
      org: "_system",
      actor: { id: "system", credential: { kind: "system" } },
      body: {},
    } as const;
    const first = await core.writer.append(heads);
    expect(first.ok && first.receipts.length).toBe(1);
    const second = await core.writer.append(heads);
    expect(second.ok && second.receipts.length).toBe(0);
    const stranger = await core.writer.append({ ...heads, actor: ADMIN });
    expect(stranger.ok).toBe(false);
  });

  it("writes down the newest heads, also behind others in one batch", async () => {
    const heads = {
      type: "record.write-heads",
      org: "_system",
      actor: { id: "system", credential: { kind: "system" } },
      body: {},
    } as const;
    await core.writer.append(take("a"));
    // While the first is being written the others wait, and are then one batch.
    const [, , written] = await Promise.all([
      core.writer.append(take("b")),
      core.writer.append(take("c")),
      core.writer.append(heads),
      core.writer.append(take("d")),
    ]);
    if (!written?.ok) throw new Error("the heads were not written");
    const reader = core.database.reader().tables<RecordTables>();
    for (const { sequence } of written.receipts) {
      const row = await reader
        .selectFrom("event")
        .select("bytes")
        .where("sequence", "=", sequence)
        .executeTakeFirstOrThrow();
      const { body } = decodeEnvelope(row.bytes);
      const newest = await reader
        .selectFrom("event")
        .select(["sequence", "org_sequence"])
        .where("org", "=", String(body["org"]))
        .where("sequence", "<", sequence)
        .orderBy("sequence", "desc")
        .limit(1)
        .executeTakeFirstOrThrow();
      expect(body).toMatchObject({ orgSeq: newest.org_sequence, sequence: newest.sequence });
    }
    expect(written.receipts.length).toBeGreaterThan(0);
  });
});

describe("when the transaction does not commit", () => {
  it("nothing of the batch exists and the next batch continues the same tree", async () => {
    await core.stop();
    let failNext = false;
    core = await openCore(directory.path, (database) => ({
      ...database,
      transaction: <T>(work: (batch: Batch) => Promise<T>) =>
        database.transaction(async (batch) => {
          const result = await work(batch);
          if (failNext) throw new Error("disk full");
          return result;
        }),
    }));
    await core.writer.append(take("a"));
    const size = core.log.size;
    failNext = true;
    await expect(core.writer.append(take("b"))).rejects.toThrow("disk full");
    expect(core.log.size).toBe(size);
    failNext = false;
    const after = await core.writer.append(take("c"));
    if (!after.ok) throw new Error("refused");
    expect(after.receipts[0]?.sequence).toBe(size);
    expect(await notes(core)).toEqual(["a", "c"]);
    for (const receipt of after.receipts) await verifyReceipt(nodeCrypto, receipt, [parseVkey(core.log.vkey)]);
  });

  // SQLite alone ends a transaction by itself over such an error; PostgreSQL leaves it to be rolled back.
  it.runIf(ENGINE === "sqlite")(
    "because the disk is full, nothing of the batch exists, not even of the requests after the one that filled it (SQLite only: PostgreSQL leaves such a transaction to be rolled back)",
    async () => {
      const pages = (most: number) =>
        core.database.transaction((batch) =>
          sql`pragma max_page_count = ${sql.raw(String(most))}`.execute(batch.tables<unknown>()),
        );
      await core.writer.append(take("before"));
      const size = core.log.size;
      await pages(1);
      const outcomes = await Promise.allSettled([
        core.writer.append(take("a")),
        // SQLite gives up the whole transaction here, in the middle of the batch.
        core.writer.append(take("b", "x".repeat(200_000))),
        core.writer.append(take("c")),
        core.writer.append(take("d")),
      ]);
      expect(outcomes.map((outcome) => outcome.status)).toEqual(["rejected", "rejected", "rejected", "rejected"]);
      expect(outcomes[0]).toMatchObject({ reason: { code: "storage-failed" } });
      expect(await notes(core)).toEqual(["before"]);
      expect(await events(core)).toHaveLength(size);
      await pages(1_000_000);
      expect(await core.writer.append(take("after"))).toMatchObject({ ok: true, receipts: [{ sequence: size }] });
      await core.stop();
      core = await openCore(directory.path);
      expect(await notes(core)).toEqual(["after", "before"]);
    },
  );
});

describe("opening", () => {
  it("continues after a crash that came between commit and publication", async () => {
    for (let index = 0; index < 300; index += 1) await core.writer.append(take(`n${index}`));
    const size = core.log.size;
    await core.crash();
    core = await openCore(directory.path);
    expect(core.log.size).toBe(size);
    const next = await core.writer.append(take("after"));
    if (!next.ok) throw new Error("refused");
    for (const receipt of next.receipts) await verifyReceipt(nodeCrypto, receipt, [parseVkey(core.log.vkey)]);
  });

  it("refuses an older copy of the database: it would sign a second history", async () => {
    await core.writer.append(take("a"));
    await core.stop();
    const putBack = await copyDatabase(directory.path);
    core = await openCore(directory.path);
    await core.writer.append(take("b"));
    await core.stop();
    await putBack();
    await expect(openCore(directory.path)).rejects.toMatchObject({ code: "log-behind-checkpoint" });
  });

  it("refuses a longer database of another history than the newest checkpoint was signed over", async () => {
    const logs = recordLogDirectory(directory.path);
    const kept = join(directory.path, "kept-checkpoint");
    await core.stop();
    const putBack = await copyDatabase(directory.path);
    core = await openCore(directory.path);
    await core.writer.append(take("signed"));
    await core.stop();
    await cp(join(logs, "newest-checkpoint"), kept);
    // The same record, gone on with from an older copy as if nothing had been signed since.
    await putBack();
    await rm(logs, { force: true, recursive: true });
    core = await openCore(directory.path);
    await core.writer.append([take("other"), take("history")]);
    await core.stop();
    await rm(logs, { recursive: true });
    await mkdir(logs);
    await cp(kept, join(logs, "newest-checkpoint"));
    await expect(openCore(directory.path)).rejects.toMatchObject({ code: "log-inconsistent" });
  });

  it("refuses a log whose leaves were altered", async () => {
    await core.writer.append(take("a"));
    await core.stop();
    const raw = await openRaw(directory.path);
    await raw.run(`update leaf set commitment = ${raw.bytes("00".repeat(32))} where sequence = 3`);
    await raw.close();
    await rm(join(recordLogDirectory(directory.path), "checkpoint"));
    await expect(openCore(directory.path)).rejects.toMatchObject({ code: "log-inconsistent" });
  });

  it("refuses published tiles that do not have the root of their checkpoint", async () => {
    await core.writer.append(take("a"));
    await core.log.published();
    const size = core.log.size;
    await core.stop();
    const tile = join(recordLogDirectory(directory.path), "tile", "0", "000.p", String(size));
    const bytes = await readFile(tile);
    bytes[5] = (bytes[5] ?? 0) ^ 1;
    await writeFile(tile, bytes);
    await expect(openCore(directory.path)).rejects.toMatchObject({ code: "log-inconsistent" });
  });

  it("refuses another master key rather than making new keys", async () => {
    await core.stop();
    await writeFile(join(directory.path, "master.key"), `${Buffer.alloc(32, 7).toString("base64")}\n`);
    await expect(openCore(directory.path)).rejects.toMatchObject({ code: "key-unreadable" });
  });

  // On PostgreSQL both go on: test/postgres-hosts.test.ts.
  it.runIf(ENGINE === "sqlite")(
    "lets the newer holder sequence and makes the older one fail without a trace (SQLite only: hosts on PostgreSQL take turns)",
    async () => {
      await core.writer.append(take("a"));
      await core.log.published();
      const other = await openCore(directory.path);
      await other.writer.append(take("b"));
      await expect(core.writer.append(take("c"))).rejects.toThrow(/UNIQUE constraint|another server/);
      expect(await notes(other)).toEqual(["a", "b"]);
      await other.stop();
      await core.crash();
      core = await openCore(directory.path);
      expect(await notes(core)).toEqual(["a", "b"]);
    },
  );
});
