import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SettledRecord } from "../src/record/settled.ts";
import { RecordStamp } from "../src/record/stamp.ts";
import type { ReadDatabase, Reader } from "../src/storage/database.ts";
import { openReader } from "../src/storage/open.ts";
import { prepared, recorded } from "../src/storage/prepared.ts";
import { type Core, type NoteTables, openCore, take, temporaryDirectory } from "./core.ts";
import { openRaw, placeOf } from "./database.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let core: Core;
let readers: ReadDatabase[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
  core = await openCore(directory.path);
});

afterEach(async () => {
  for (const reader of readers) await reader.close();
  readers = [];
  await core.stop();
  await directory.dispose();
});

/** A reader as another process has it. */
async function another(): Promise<ReadDatabase> {
  const reader = openReader(await placeOf(directory.path));
  readers.push(reader);
  return reader;
}

const notesOf = (reader: Reader, at: { text: string; after: string; most: number }) =>
  reader
    .tables<NoteTables>()
    .selectFrom("note")
    .select(["name", "text"])
    .where("name", ">", at.after)
    .where("text", "=", at.text)
    .where("sequence", ">=", 0)
    .orderBy("name")
    .limit(at.most);

const askPrepared = prepared(notesOf);
const askRecorded = recorded(notesOf);

describe("a prepared query", () => {
  it("gives each value its own place, in whatever order they are given, for any reader and inside a transaction", async () => {
    for (const name of ["a", "b", "c", "d"]) await core.writer.append(take(name, name === "c" ? "other" : "text"));
    const one = await another();
    expect(await askPrepared(one, { most: 2, text: "text", after: "a" })).toEqual([
      { name: "b", text: "text" },
      { name: "d", text: "text" },
    ]);
    expect(await askPrepared(one, { after: "a", text: "text", most: 1 })).toEqual([{ name: "b", text: "text" }]);
    expect(await askPrepared(await another(), { after: "", text: "other", most: 9 })).toEqual([
      { name: "c", text: "other" },
    ]);
    await core.database.transaction(async (batch) => {
      await batch.tables<NoteTables>().insertInto("note").values({ name: "e", text: "text", sequence: 9 }).execute();
      expect(await askPrepared(batch, { after: "d", text: "text", most: 9 })).toEqual([{ name: "e", text: "text" }]);
      await batch.tables<NoteTables>().deleteFrom("note").where("name", "=", "e").execute();
    });
    expect(await askPrepared(one, { after: "d", text: "text", most: 9 })).toEqual([]);
  });

  it("is not asked without one of its values", async () => {
    const given = { after: "", text: "" } as unknown as { text: string; after: string; most: number };
    await expect(askPrepared(await another(), given)).rejects.toThrow("a query was not given its most");
  });
});

describe("what follows from the record", () => {
  it("is asked once while the record does not grow, and anew when it has, whoever wrote", async () => {
    const settled = new SettledRecord(await another());
    const everything = { after: "", text: "", most: 9 };
    await core.writer.append(take("a"));
    const first = await askRecorded(await settled.now(), everything);
    expect(first).toEqual([{ name: "a", text: "" }]);
    expect(await askRecorded(await settled.now(), everything)).toBe(first);
    // Other values are another question.
    expect(await askRecorded(await settled.now(), { ...everything, text: "x" })).toEqual([]);
    await core.writer.append(take("b"));
    expect(await askRecorded(await settled.now(), everything)).toEqual([
      { name: "a", text: "" },
      { name: "b", text: "" },
    ]);
  });

  it("cannot be changed by who asks for it", async () => {
    await core.writer.append(take("a"));
    const [row] = await askRecorded(await new SettledRecord(await another()).now(), { after: "", text: "", most: 9 });
    expect(() => Object.assign(row ?? {}, { text: "changed" })).toThrow(TypeError);
  });

  it("is asked of the database by everybody else, and by a query that is not of the record", async () => {
    const reader = await another();
    const settled = new SettledRecord(reader);
    const everything = { after: "", text: "", most: 9 };
    await core.writer.append(take("a"));
    const now = await settled.now();
    await askRecorded(now, everything);
    // What no event says: nobody is to take it for recorded.
    const raw = await openRaw(directory.path);
    await raw.run("insert into note (name, text, sequence) values ('b', '', 0)");
    await raw.close();
    expect(await askRecorded(now, everything)).toHaveLength(1);
    expect(await askPrepared(now, everything)).toHaveLength(2);
    expect(await askRecorded(reader, everything)).toHaveLength(2);
  });

  it("is never older than the newest event, in several processes that ask all the time while one writes", async () => {
    const processes = await Promise.all([another(), another(), another()]);
    let written = 0;
    let done = false;
    const asking = processes.map(async (reader) => {
      const settled = new SettledRecord(reader);
      let asked = 0;
      while (!done || asked === 0) {
        const before = written;
        const found = await askRecorded(await settled.now(), { after: "", text: "", most: 1000 });
        expect(found.length).toBeGreaterThanOrEqual(before);
        asked += 1;
        // A database in this process answers without a wait: whoever writes comes in between only here.
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    for (let n = 0; n < 60; n += 1) {
      await core.writer.append(take(`n${n}`));
      written += 1;
      if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    done = true;
    await Promise.all(asking);
  });
});

describe("what follows from the record, by a stamp that the writer sets", () => {
  const stamp = new RecordStamp();
  const everything = { after: "", text: "", most: 9 };
  let looks = 0;
  let settled: SettledRecord;

  beforeEach(async () => {
    await core.stop();
    core = await openCore(directory.path, undefined, undefined, stamp);
    const reader = await another();
    const counting: Reader = {
      tables<T>() {
        looks += 1;
        return reader.tables<T>();
      },
    };
    settled = new SettledRecord(counting, new RecordStamp(stamp.shared));
    await settled.now();
    looks = 0;
  });

  it("is looked up again after events were committed, and only then", async () => {
    await settled.now();
    await core.writer.operate("note.count", { name: "a" });
    await settled.now();
    expect(looks).toBe(0);
    await core.writer.append(take("a"));
    expect(await askRecorded(await settled.now(), everything)).toEqual([{ name: "a", text: "" }]);
    const before = looks;
    expect(await askRecorded(await settled.now(), everything)).toHaveLength(1);
    expect(looks).toBe(before);
    // Refused: nothing was recorded.
    expect(await core.writer.append(take("a"))).toMatchObject({ ok: false });
    await settled.now();
    expect(looks).toBe(before);
  });

  it("is looked up each time while events are being committed, and afterwards when they were given up", async () => {
    stamp.begin();
    for (const expected of [1, 2]) {
      await settled.now();
      expect(looks).toBe(expected);
    }
    stamp.end();
    await settled.now();
    await settled.now();
    expect(looks).toBe(3);
  });

  it("is looked up again when it was overtaken by a commit", async () => {
    const reader = await another();
    let looked = 0;
    const overtaken: Reader = {
      tables<T>() {
        looked += 1;
        // Committed between the look at the stamp and what the database answers.
        if (looked === 1) {
          stamp.begin();
          stamp.end();
        }
        return reader.tables<T>();
      },
    };
    const fresh = new SettledRecord(overtaken, stamp);
    for (const again of [true, true, false]) {
      const before = looked;
      await fresh.now();
      expect(looked > before).toBe(again);
    }
  });
});

describe("what follows from a reader's actor and the record", () => {
  it("is concluded once of each, and anew by the next reader", async () => {
    const settled = new SettledRecord(await another());
    let concluded = 0;
    const conclude = (of: object, name: string) => async () =>
      await (await settled.now()).conclude(of, name, async () => {
        concluded += 1;
        return concluded;
      });
    const [one, other] = [{}, {}];
    await core.writer.append(take("a"));
    for (const [of, name, expected] of [
      [one, "x", 1],
      [one, "x", 1],
      [one, "y", 2],
      [other, "x", 3],
    ] as const) {
      expect(await conclude(of, name)()).toBe(expected);
    }
    const nothing = async () => undefined;
    const now = await settled.now();
    expect(await now.conclude(one, "nothing", nothing)).toBeUndefined();
    expect(await now.conclude(one, "nothing", async () => 1)).toBeUndefined();
    await core.writer.append(take("b"));
    expect(await conclude(one, "x")()).toBe(4);
  });

  it("keeps no more than so much of all together, however many are asked of", async () => {
    const now = await new SettledRecord(await another()).now();
    const actors = Array.from({ length: 50 }, () => ({}));
    let concluded = 0;
    const ask = (actor: object, name: number): Promise<number> =>
      now.conclude(actor, String(name), async () => {
        concluded += 1;
        return concluded;
      });
    for (const actor of actors) for (let name = 0; name < 100; name += 1) await ask(actor, name);
    const [first = {}, last = {}] = [actors[0], actors.at(-1)];
    await ask(last, 99);
    expect(concluded).toBe(5000);
    await ask(first, 0);
    expect(concluded).toBe(5001);
  });
});
