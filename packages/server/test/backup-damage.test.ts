/** Archives that were damaged, cut, mixed up or belong to something else: found without restoring, and never restored. */
import { randomBytes } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import { beforeAll, describe, expect, it } from "vitest";
import { backUp } from "../src/backup/backup.ts";
import { parseHeader, readTar } from "../src/backup/tar-reader.ts";
import { restore } from "../src/backup/restore.ts";
import {
  check,
  containing,
  differences,
  emptyPlace,
  flipped,
  halt,
  makePlace,
  newArchive,
  type Place,
  quiet,
  refusal,
  start,
  verify,
  work,
} from "./backup-room.ts";
import { pushImage } from "./pushing.ts";

/** Bytes flipped, one at a time. */
const FLIPS = process.env["ASSAY_LONG"] === "1" ? 5_000 : 80;

let source: Place;
/** A full archive and two that go on from it. */
let chain: string[];
let checkpoints: string[];

beforeAll(async () => {
  source = await makePlace("own");
  const instance = await start(source);
  chain = [];
  checkpoints = [];
  for (const label of ["one", "two", "three"]) {
    await work(instance, label);
    await pushImage(instance.url, "default/app", label, randomBytes(700));
    await instance.published();
    const path = newArchive();
    await backUp({ ...source, to: path, since: chain.at(-1), tell: quiet });
    checkpoints.push(await readFile(join(source.dataDirectory, "logs", "record", "newest-checkpoint"), "utf8"));
    chain.push(path);
  }
  await halt(instance);
}, 60_000);

/** What is found in the chain with other bytes in the place of one archive. */
async function found(index: number, bytes: Uint8Array): Promise<string[]> {
  const path = newArchive();
  await writeFile(path, bytes);
  const { findings } = await verify(chain.map((archive, at) => (at === index ? path : archive)));
  await rm(path);
  return findings.map(({ where, problem }) => `${where}: ${problem}`);
}

describe("an archive with one altered byte", () => {
  it("is found, whichever byte it is", async () => {
    for (const [index, archive] of chain.entries()) {
      const bytes = await readFile(archive);
      const missed: number[] = [];
      for (let flip = 0; flip < FLIPS; flip += 1) {
        const at = Math.floor((bytes.length * (flip + Math.random())) / FLIPS);
        if ((await found(index, flipped(bytes, at))).length === 0) missed.push(at);
      }
      expect(missed).toEqual([]);
    }
  }, 600_000);
});

describe("an archive that was cut off", () => {
  it("is found, wherever it was cut", async () => {
    const bytes = await readFile(chain[0] ?? "");
    for (let block = 0; block < bytes.length / 512; block += 1) {
      const cut = await found(0, bytes.subarray(0, block * 512 + (block % 2) * 100));
      expect(cut.join(), `after block ${block}`).toMatch(/cut off|damaged/);
    }
  }, 120_000);

  it("is found when something follows its end", async () => {
    const bytes = await readFile(chain[0] ?? "");
    expect(await found(0, Buffer.concat([bytes, Buffer.alloc(512)]))).toEqual([containing("something follows")]);
  });
});

interface Member {
  name: string;
  bytes: Buffer;
}

/** Takes an archive apart and puts it together again, well formed. */
async function altered(archive: string, change: (members: Member[]) => Member[]): Promise<Buffer> {
  const bytes = await readFile(archive);
  const members: Member[] = [];
  const source = async function* () {
    yield bytes;
  };
  for await (const { name, content } of readTar(source())) {
    const pieces: Uint8Array[] = [];
    for await (const piece of content) pieces.push(Buffer.from(piece));
    members.push({ name, bytes: Buffer.concat(pieces) });
  }
  const tar = pack();
  for (const member of change(members)) tar.entry({ name: member.name, mtime: new Date() }, member.bytes);
  tar.finalize();
  const out: Uint8Array[] = [];
  for await (const piece of tar as unknown as AsyncIterable<Uint8Array>) out.push(piece);
  return Buffer.concat(out);
}

describe("archives that are well formed, and not what was written", () => {
  const full = (): string => chain[0] ?? "";
  const of = (members: readonly Member[], prefix: string): Member[] =>
    members.filter(({ name }) => name.startsWith(prefix));

  it.each<[string, (members: Member[]) => Member[], RegExp]>([
    [
      "two blobs change names",
      (members) => {
        const [one, two] = of(members, "blobs/");
        if (one !== undefined && two !== undefined) [one.bytes, two.bytes] = [two.bytes, one.bytes];
        return members;
      },
      /do not have this digest/,
    ],
    [
      "two blobs change places",
      (members) => [...members.slice(0, -3), ...members.slice(-3, -1).toReversed(), ...members.slice(-1)],
      /does not belong there/,
    ],
    [
      "a blob is left out",
      (members) => members.filter((member) => member !== of(members, "blobs/")[0]),
      /it is not there/,
    ],
    [
      "a key is left out",
      (members) => members.filter((member) => member !== of(members, "keys/")[0]),
      /is not the member/,
    ],
    ["the events are left out", (members) => members.filter(({ name }) => !name.startsWith("events/")), /says up to/],
    ["the index is left out", (members) => members.slice(0, -1), /cut off/],
    [
      "the index is not the last",
      (members) => [...members.slice(0, -2), ...members.slice(-2).toReversed()],
      /comes after the index/,
    ],
    [
      "a file is added",
      (members) => [...members.slice(0, -1), { name: "blobs/../../x", bytes: Buffer.alloc(1) }, ...members.slice(-1)],
      /does not belong there/,
    ],
    [
      "a table is added that nobody knows",
      (members) => {
        const events = members.findIndex(({ name }) => name.startsWith("events/"));
        const added = { name: "unrecorded/nobody/000000.jsonl", bytes: Buffer.from("{}\n") };
        return [...members.slice(0, events + 1), added, ...members.slice(events + 1)];
      },
      /is not the member/,
    ],
    [
      "an event says something else",
      (members) => {
        const [events] = of(members, "events/");
        if (events !== undefined) {
          const lines = events.bytes.toString().split("\n");
          const line = JSON.parse(lines[4] ?? "") as { event: string };
          const text = Buffer.from(line.event, "base64").toString();
          line.event = Buffer.from(text.replace('"time":1', '"time":2')).toString("base64");
          lines[4] = JSON.stringify(line);
          events.bytes = Buffer.from(lines.join("\n"));
        }
        return members;
      },
      /event 4: its bytes, salt and commitment do not belong together/,
    ],
    [
      "an event is redacted without a redaction",
      (members) => {
        const [events] = of(members, "events/");
        if (events !== undefined) {
          events.bytes = Buffer.from(events.bytes.toString().replace(/"salt":"[^"]+"/, '"salt":""'));
        }
        return members;
      },
      /event 0: its salt is gone, and no redaction names it/,
    ],
  ])("are found when %s", async (_what, change, problem) => {
    expect((await found(0, await altered(full(), change))).join("\n")).toMatch(problem);
  });

  it("are found when the chain is not whole, in another order, or of another record", async () => {
    const [one = "", two = "", three = ""] = chain;
    const problems = async (...paths: string[]): Promise<string> =>
      (await verify(paths)).findings.map(({ archive, problem }) => `${archive}: ${problem}`).join("\n");
    expect(await problems(one, two, three)).toBe("");
    expect(await problems(one, two)).toBe("");
    expect(await problems(two, three)).toMatch(/goes on from the archive [0-9a-f]{64}, which was not given/);
    expect(await problems(one, three)).toMatch(/goes on from the archive [0-9a-f]{64}, and the one before it is/);
    expect(await problems(one, three, two)).toMatch(/goes on from/);
    expect(await problems(one, one)).toMatch(/full archive/);
    const place = await makePlace("own");
    const other = await start(place);
    await work(other, "other");
    await other.published();
    const foreign = newArchive();
    await backUp({ ...place, to: foreign, tell: quiet });
    expect(await problems(foreign, two)).toMatch(/goes on from/);
    await expect(backUp({ ...place, to: newArchive(), since: one, tell: quiet })).rejects.toMatchObject({
      code: "backup-refused",
    });
  }, 60_000);

  it("are held against a key that is known and a checkpoint that was kept", async () => {
    const { chain: whole } = await verify(chain);
    const vkey = whole?.vkey ?? "";
    expect((await verify(chain, { vkey, against: checkpoints[1] })).findings).toEqual([]);
    const older = await verify(chain.slice(0, 2), { against: checkpoints[2] });
    expect(older.findings.map(({ problem }) => problem).join()).toMatch(/they are older/);
    const other = vkey.replace(/.$/, (last) => (last === "A" ? "B" : "A"));
    expect((await verify(chain, { vkey: other })).findings.map(({ problem }) => problem).join()).toMatch(
      /it is of the log/,
    );
    const forged = (checkpoints[1] ?? "").replace(/\n(\d+)\n/, "\n1\n");
    expect((await verify(chain, { against: forged })).findings.map(({ problem }) => problem).join()).toMatch(
      /not of this log/,
    );
  });
});

describe("a restore that does not come to its end", () => {
  it("of a damaged archive leaves a place that refuses to start, and that the next restore empties", async () => {
    const bytes = await readFile(chain[0] ?? "");
    const target = await emptyPlace(source, "own");
    for (const at of [0.3, 0.6, 0.9]) {
      const path = newArchive();
      await writeFile(path, flipped(bytes, Math.floor(bytes.length * at)));
      await expect(restore({ ...target, archives: [path], tell: quiet })).rejects.toMatchObject({
        code: "archive-damaged",
      });
      expect(await refusal(target)).toMatchObject({ code: "restore-unfinished" });
    }
    await restore({ ...target, archives: chain, tell: quiet });
    expect(await differences(source, target)).toEqual([]);
    await expect(restore({ ...target, archives: chain, tell: quiet })).rejects.toMatchObject({
      code: "restore-refused",
    });
    expect(await refusal(target)).toBeUndefined();
    expect(await check(target)).toEqual([]);
  }, 120_000);

  it("goes on from wherever it was cut off, and no server starts before its last step", async () => {
    const target = await emptyPlace(source, "own");
    const steps: string[] = [];
    const what = (line: string): string => line.replaceAll(/[\d.]+/g, "#");
    for (;;) {
      const ended = await restore({
        ...target,
        archives: chain,
        tell(line) {
          // What an S3 server lacks is said before anything is begun.
          if (line.includes("S3 server") || steps.includes(what(line))) return;
          steps.push(what(line));
          throw new Error("cut off");
        },
      }).catch((error: unknown) => error);
      if (!(ended instanceof Error)) break;
      expect(ended.message).toBe("cut off");
      expect(await refusal(target)).toMatchObject({ code: "restore-unfinished" });
    }
    expect(steps.length).toBeGreaterThanOrEqual(4);
    expect(await differences(source, target)).toEqual([]);
    expect(await refusal(target)).toBeUndefined();
    expect(await check(target)).toEqual([]);
  }, 120_000);

  it("needs the master key the archive's keys were sealed under, and says so", async () => {
    const target = await emptyPlace(source);
    const path = join(target.dataDirectory, "master.key");
    const right = await readFile(path);
    await rm(path);
    const attempt = () => restore({ ...target, archives: chain, tell: quiet });
    await expect(attempt()).rejects.toMatchObject({ code: "key-missing", hint: containing("master.key") });
    await writeFile(path, Buffer.alloc(32, 7).toString("base64"), { mode: 0o600 });
    await expect(attempt()).rejects.toMatchObject({
      code: "key-unreadable",
      hint: containing("ASSAY_MASTER_KEY"),
    });
    await writeFile(path, right, { mode: 0o600 });
    await attempt();
    expect(await refusal(target)).toBeUndefined();
  }, 60_000);

  it("refuses a data directory with another record's keys or checkpoint", async () => {
    const other = await makePlace("directory");
    const instance = await start(other);
    await instance.published();
    await halt(instance);
    for (const folder of ["keys", "logs"]) {
      const target = await emptyPlace(source);
      await mkdir(join(target.dataDirectory, folder), { recursive: true });
      await cp(join(other.dataDirectory, folder), join(target.dataDirectory, folder), { recursive: true });
      await expect(restore({ ...target, archives: chain, tell: quiet })).rejects.toMatchObject({
        code: "restore-refused",
      });
    }
  }, 60_000);
});

describe("reading tar", () => {
  it("takes sizes beyond octal, as they are written", async () => {
    const size = 9 * 1024 ** 3;
    const tar = pack();
    tar.entry({ name: "blobs/sha256/large", size, mtime: new Date(), pax: { size: String(size) } });
    const pieces: Buffer[] = [];
    for await (const piece of tar as unknown as AsyncIterable<Uint8Array>) {
      pieces.push(Buffer.from(piece));
      if (Buffer.concat(pieces).length >= 1536) break;
    }
    const bytes = Buffer.concat(pieces);
    expect(parseHeader(bytes.subarray(1024, 1536)).size).toBe(size);
    const source = async function* () {
      yield bytes;
    };
    const first = await readTar(source()).next();
    expect(first.value).toMatchObject({ name: "blobs/sha256/large", size });
  });
});
