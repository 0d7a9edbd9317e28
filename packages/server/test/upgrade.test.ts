/** Two releases of one program on one database: what expands while both run, and what contracts once the older is gone. */
import { nodeCrypto } from "@assay/evidence/node";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { finishUpgrade, upgradeState } from "../src/admin/upgrade.ts";
import { ServerError } from "../src/errors.ts";
import { MasterKey } from "../src/keys/master.ts";
import { EventChecker, storedEvents } from "../src/record/check-events.ts";
import { defineEvent, type RecordPart } from "../src/record/command.ts";
import { recordPart } from "../src/record/heads.ts";
import { openRecord } from "../src/record/open.ts";
import { RecordParts } from "../src/record/parts.ts";
import { refill } from "../src/record/refill.ts";
import { keysPart } from "../src/record/service-keys.ts";
import type { RecordWriter } from "../src/record/writer.ts";
import type { WriteDatabase } from "../src/storage/database.ts";
import { finishMigration, judgeSchema, migrate, programName, schemaFence } from "../src/storage/migrate.ts";
import type { Migration } from "../src/storage/migrations/migration.ts";
import { lockPlace, openReader, openWriter } from "../src/storage/open.ts";
import { CORE_MIGRATIONS, notePart, take, temporaryDirectory } from "./core.ts";
import { ENGINE, openRaw, placeOf } from "./database.ts";

/** Release N: the core's own steps. */
const OLD: readonly Migration[] = CORE_MIGRATIONS;

/** Release N+1 counts a note's characters. It adds the column; once N is gone it fills what N left empty, and drops N's `scratch`. */
const NEW: readonly Migration[] = [
  ...OLD,
  {
    name: "9999-note-length",
    async up({ schema }) {
      await schema.alterTable("note").addColumn("length", "integer").execute();
    },
  },
  {
    name: "9999-note-without-scratch",
    kind: "contract",
    async up({ schema }) {
      await schema.dropTable("scratch").execute();
      return "refill";
    },
  },
];

/** Release N+2 goes on from there. */
const NEXT: readonly Migration[] = [
  ...NEW,
  {
    name: "9999-note-width",
    async up({ schema }) {
      await schema.alterTable("note").addColumn("width", "integer").execute();
    },
  },
];

const newNotePart: RecordPart = {
  ...notePart,
  events: [
    defineEvent({
      type: "note.taken",
      version: 1,
      body: z.strictObject({ name: z.string(), text: z.string() }),
      project: async (transactor, { body, sequence }) => {
        await transactor
          .tables<{ note: { name: string; text: string; sequence: number; length: number } }>()
          .insertInto("note")
          .values({ name: body.name, text: body.text, sequence, length: body.text.length })
          .execute();
      },
    }),
  ],
  operations: [],
};

const oldParts = new RecordParts([recordPart, keysPart, notePart]);
const newParts = new RecordParts([recordPart, keysPart, newNotePart]);
const refillNew = (batch: Parameters<typeof refill>[0]) => refill(batch, newParts, nodeCrypto);

interface Running {
  readonly writer: RecordWriter;
  stop(): Promise<void>;
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function directory(): Promise<string> {
  const { path, dispose } = await temporaryDirectory();
  cleanups.push(dispose);
  return path;
}

/** A server of a release: it migrates, opens the record and writes, until it is stopped. */
async function start(path: string, migrations: readonly Migration[], parts: RecordParts): Promise<Running> {
  const place = await placeOf(path);
  const lock = lockPlace(place);
  const database: WriteDatabase = openWriter(place, programName(migrations));
  let running = true;
  const close = async (): Promise<void> => {
    if (!running) return;
    running = false;
    await database.close();
    lock.release();
  };
  cleanups.push(close);
  try {
    await migrate(database, migrations, { refill: refillNew });
    const { writer } = await openRecord({
      database,
      dataDirectory: path,
      master: MasterKey.fromDirectory(path, true),
      parts,
      founding: [],
      host: undefined,
      fence: schemaFence(migrations),
    });
    const stop = async (): Promise<void> => {
      if (running) await writer.stop();
      await close();
    };
    cleanups.push(stop);
    return { writer, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

async function rows(path: string, sql: string): Promise<Record<string, unknown>[]> {
  const raw = await openRaw(path);
  try {
    return await raw.all(sql);
  } finally {
    await raw.close();
  }
}

async function append(writer: RecordWriter, name: string, text: string): Promise<number> {
  const appended = await writer.append(take(name, text));
  if (!appended.ok) throw new Error(appended.refusal.message);
  return appended.receipts[0]?.sequence ?? -1;
}

async function damage(path: string): Promise<unknown[]> {
  const reader = openReader(await placeOf(path));
  try {
    const checker = new EventChecker({ crypto: nodeCrypto, reader });
    const found: unknown[] = [];
    for await (const event of storedEvents(reader)) found.push(...(await checker.check(event)).findings);
    for await (const finding of checker.finish()) found.push(finding);
    return found;
  } finally {
    await reader.close();
  }
}

describe("a release that expands the schema", () => {
  /** Finishes the upgrade: what the older release wrote is filled up, and the older release is shut out. */
  async function finishes(path: string): Promise<void> {
    expect(await upgradeState(await placeOf(path), OLD)).toMatchObject({ newer: ["9999-note-length"], pending: [] });
    expect(await upgradeState(await placeOf(path), NEW)).toMatchObject({
      newer: [],
      pending: [{ name: "9999-note-without-scratch", kind: "contract" }],
    });
    expect(await damage(path)).toEqual([]);

    expect(await finishUpgrade(await placeOf(path), NEW, refillNew)).toEqual(["9999-note-without-scratch"]);
    const notes = await rows(path, "select text, length from note");
    expect(notes.length).toBeGreaterThan(2);
    for (const { text, length } of notes) expect(Number(length)).toBe(String(text).length);
    await expect(rows(path, "select * from scratch")).rejects.toThrow("scratch");
    await expect(start(path, OLD, oldParts)).rejects.toMatchObject({ code: "schema-too-new" });
    expect(await finishUpgrade(await placeOf(path), NEW, refillNew)).toEqual([]);
    const again = await start(path, NEW, newParts);
    await append(again.writer, "after", "three");
    await again.stop();
    expect(await damage(path)).toEqual([]);
  }

  it.runIf(ENGINE === "postgres")(
    "leaves the release before at work: both write, and neither loses anything",
    async () => {
      const path = await directory();
      const old = await start(path, OLD, oldParts);
      await append(old.writer, "before", "one");
      const fresh = await start(path, NEW, newParts);
      const sequences = await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          append((index % 2 === 0 ? old : fresh).writer, `note ${index}`, `text ${index}`),
        ),
      );
      expect(new Set(sequences).size).toBe(60);
      // And an older one that starts only now.
      const late = await start(path, OLD, oldParts);
      await append(late.writer, "late", "");
      for (const running of [late, fresh, old]) await running.stop();
      await finishes(path);
    },
  );

  it.runIf(ENGINE === "sqlite")("can be gone back from until the upgrade is finished", async () => {
    const path = await directory();
    for (const [index, release] of [OLD, NEW, OLD, NEW].entries()) {
      const running = await start(path, release, release === OLD ? oldParts : newParts);
      expect(await append(running.writer, `note ${index}`, `text ${index}`)).toBeGreaterThan(index);
      await running.stop();
    }
    await finishes(path);
  });

  it.runIf(ENGINE === "sqlite")("is finished only when no server is at work", async () => {
    const path = await directory();
    const old = await start(path, OLD, oldParts);
    await expect(finishUpgrade(await placeOf(path), NEW, refillNew)).rejects.toMatchObject({
      code: "data-directory-busy",
    });
    await old.stop();
  });

  it.runIf(ENGINE === "postgres")("is finished only when no server of another release is at work", async () => {
    const path = await directory();
    const old = await start(path, OLD, oldParts);
    const fresh = await start(path, NEW, newParts);
    await expect(finishUpgrade(await placeOf(path), NEW, refillNew)).rejects.toThrow(
      "servers of another version are at work: 9999-note from 127.0.0.1",
    );
    expect((await upgradeState(await placeOf(path), NEW)).pending.length).toBe(1);
    await old.stop();
    // Those of this release may go on.
    expect(await finishUpgrade(await placeOf(path), NEW, refillNew)).toEqual(["9999-note-without-scratch"]);
    await append(fresh.writer, "after", "three");
    await fresh.stop();
  });

  it.runIf(ENGINE === "postgres")("shuts out an older server that nobody saw, at its next write", async () => {
    const path = await directory();
    const old = await start(path, OLD, oldParts);
    const fresh = await start(path, NEW, newParts);
    await append(old.writer, "before", "one");
    // As if the older one had been cut off while it was looked for: nobody asks who is at work.
    const database = openWriter(await placeOf(path));
    await finishMigration(database, NEW, { refill: refillNew, alone: () => Promise.resolve() });
    await database.close();
    await expect(append(old.writer, "too late", "two")).rejects.toMatchObject({ code: "schema-too-new" });
    await append(fresh.writer, "after", "three");
    await fresh.stop();
    await old.stop();
    expect((await rows(path, "select name from note order by sequence")).map(({ name }) => name)).toEqual([
      "before",
      "after",
    ]);
    expect(await damage(path)).toEqual([]);
  });

  it("does not go on from an upgrade that was never finished, and changes nothing", async () => {
    const path = await directory();
    await (await start(path, OLD, oldParts)).stop();
    await (await start(path, NEW, newParts)).stop();
    await expect(start(path, NEXT, newParts)).rejects.toMatchObject({ code: "upgrade-unfinished" });
    expect((await upgradeState(await placeOf(path), NEW)).pending.length).toBe(1);
    expect(await finishUpgrade(await placeOf(path), NEXT, refillNew)).toEqual([
      "9999-note-without-scratch",
      "9999-note-width",
    ]);
    await (await start(path, NEXT, newParts)).stop();
    expect((await upgradeState(await placeOf(path), NEW)).newer).toEqual(["9999-note-width"]);
  });

  it("brings a new database to its newest state at once", async () => {
    const path = await directory();
    await (await start(path, NEXT, newParts)).stop();
    expect((await upgradeState(await placeOf(path), NEXT)).pending).toEqual([]);
    await expect(rows(path, "select * from scratch")).rejects.toThrow("scratch");
  });

  it("leaves the schema as it was when a step fails in the middle", async () => {
    const path = await directory();
    await (await start(path, OLD, oldParts)).stop();
    const failing: Migration = {
      name: "9999-note-z",
      async up({ schema }) {
        await schema.alterTable("note").addColumn("half", "integer").execute();
        throw new Error("the power went");
      },
    };
    await expect(start(path, [...OLD, failing], oldParts)).rejects.toThrow("the power went");
    await expect(rows(path, "select half from note")).rejects.toThrow("half");
    await (await start(path, OLD, oldParts)).stop();
  });
});

describe("a database from before steps had a kind", () => {
  it("is taken on as it is: all its steps expanded", async () => {
    const path = await directory();
    await (await start(path, OLD, oldParts)).stop();
    const raw = await openRaw(path);
    await raw.run("alter table schema_migration drop column kind");
    await raw.close();
    expect((await upgradeState(await placeOf(path), NEW)).pending.length).toBe(2);
    await (await start(path, NEW, newParts)).stop();
    expect((await rows(path, "select distinct kind from schema_migration")).map(({ kind }) => kind)).toEqual([
      "expand",
    ]);
  });
});

describe("whether a program can work with a schema", () => {
  const up = async (): Promise<void> => undefined;
  const steps = fc
    .array(fc.constantFrom<"expand" | "contract">("expand", "contract"), { minLength: 1, maxLength: 12 })
    .map((kinds) =>
      kinds.map((kind, index): Migration => ({ name: `${String(index).padStart(4, "0")}-step`, kind, up })),
    );

  /** What a program makes of a schema, or the code of the error by which it refuses it. */
  function judged(...given: Parameters<typeof judgeSchema>): unknown {
    try {
      const { newer, pending } = judgeSchema(...given);
      return { newer, pending: pending.map(({ name }) => name) };
    } catch (error) {
      return error instanceof ServerError ? error.code : error;
    }
  }

  it("is whether it knows every contracting step: any older program, any newer schema", () => {
    fc.assert(
      fc.property(steps, fc.nat(12), fc.nat(12), (all, known, applied) => {
        const program = all.slice(0, known);
        const database = all.slice(0, applied).map(({ name, kind }) => ({ name, kind: kind ?? "expand" }));
        const unknown = database.slice(program.length);
        const refused = unknown.some(({ kind }) => kind === "contract");
        expect(judged(database, program)).toEqual(
          refused
            ? "schema-too-new"
            : {
                newer: unknown.map(({ name }) => name),
                pending: program.slice(database.length).map(({ name }) => name),
              },
        );
      }),
    );
  });

  it("is not so when the schema is of another line of steps", () => {
    const program = [
      { name: "0001-a", up },
      { name: "0002-b", up },
    ];
    expect(
      judged(
        [
          { name: "0001-a", kind: "expand" },
          { name: "0002-c", kind: "expand" },
        ],
        program,
      ),
    ).toBe("schema-too-new");
  });
});
