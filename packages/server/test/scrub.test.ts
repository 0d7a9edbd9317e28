/** The background scrub: round and round over what is stored, slowly, beside a running server. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { recallScrub, type ScrubMemory } from "../src/integrity/memory.ts";
import { Pace } from "../src/integrity/pace.ts";
import { Scrub, type ScrubTurn } from "../src/integrity/scrub.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import type { OpenBlobs } from "../src/storage/open-blobs.ts";
import { ADMIN } from "./core.ts";
import { openRaw, placeOf, type RawDatabase } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";
import { openRawBlobs, openStore, s3Of } from "./stored-blobs.ts";

const FAST = 10 ** 12;

let instance: Instance;
let store: OpenBlobs;
let image: { manifest: string; layer: string };
let said: { level: string; where?: string; message: string }[] = [];
let bytes = 0;

beforeAll(async () => {
  instance = await startInstance({ scrubRate: 0 });
  store = await openStore(instance.dataDirectory);
  image = await pushImage(instance.url, "default/app", "1.0.0", randomBytes(200_000));
  for (let index = 0; index < 600; index += 1) {
    const body = { name: `person-${index}` };
    const made = await instance.record.append({ type: "access.create-person", org: SYSTEM_ORG, actor: ADMIN, body });
    if (!made.ok) throw new Error(made.refusal.message);
  }
  await instance.published();
});

afterAll(async () => {
  await store.close();
  await instance.stop();
});

function scrub(rate = FAST): Scrub {
  const hear = (level: string) => (detail: object, message: string) => {
    said.push({ level, message, ...("where" in detail ? { where: String(detail.where) } : {}) });
  };
  return new Scrub({
    dataDirectory: instance.dataDirectory,
    reader: instance.reader,
    blobs: store.blobs,
    crypto: nodeCrypto,
    rate,
    restMs: 0,
    log: { error: hear("error"), warn: hear("warn"), info: hear("info") },
    scrubbed: (read) => {
      bytes += read;
    },
  });
}

const turnOf = (more: Partial<ScrubTurn> = {}): ScrubTurn => ({
  ms: 60_000,
  signal: new AbortController().signal,
  renew: () => Promise.resolve(),
  ...more,
});

async function memory(): Promise<ScrubMemory> {
  const recalled = await recallScrub(instance.dataDirectory);
  if (recalled.kind !== "there") throw new Error(recalled.kind);
  return recalled.memory;
}

/** A whole round; what it found. */
async function round(): Promise<string[]> {
  await scrub().turn(turnOf());
  const { findings, round: under } = await memory();
  expect(under).toBeNull();
  return findings.map(({ kind, where }) => `${kind} ${where}`);
}

async function raw(work: (database: RawDatabase) => Promise<void>): Promise<void> {
  const database = await openRaw(instance.dataDirectory);
  try {
    await work(database);
  } finally {
    await database.close();
  }
}

/** Alters one byte of a file; what puts it back. */
async function damage(path: string): Promise<() => Promise<void>> {
  const before = await readFile(path);
  await writeFile(path, Buffer.concat([Buffer.from([(before[0] ?? 0) ^ 4]), before.subarray(1)]));
  return () => writeFile(path, before);
}

afterEach(async () => {
  expect(await round()).toEqual([]);
  said = [];
  bytes = 0;
});

describe("a round of the scrub", () => {
  it("finds nothing wrong with what is whole, and looks at every byte of it", async () => {
    expect(await round()).toEqual([]);
    expect(bytes).toBeGreaterThan(200_000 + 600 * 300);
    expect((await memory()).passes.at(-1)).toMatchObject({ kind: "scrub", from: 0, findings: 0 });
    expect(said).toEqual([]);
  });

  it("finds an altered blob, event, leaf, tile and checkpoint, says each once, and forgets what was mended", async () => {
    const log = join(instance.dataDirectory, "logs", "record");
    const blobs = openRawBlobs(instance.dataDirectory);
    const blob = await blobs.read(image.layer);
    await blobs.write(image.layer, Buffer.concat([blob.subarray(1), Buffer.from([1])]));
    const mend = [
      await damage(join(log, "tile", "0", "001")),
      await damage(join(log, "tile", "entries", "000")),
      await damage(join(log, "newest-checkpoint")),
    ];
    await raw(async (database) => {
      await database.run("update event set actor = 'nobody' where sequence = 17");
      await database.run("update leaf set sequence = 1000000000 where sequence = 400");
    });
    const found = await round();
    expect(found.toSorted()).toEqual(
      [
        `blob ${image.layer}`,
        "checkpoint newest signed checkpoint",
        "event event 17",
        "leaf event 400",
        "tile tile/0/001",
        "tile tile/entries/000",
      ].toSorted(),
    );
    expect(said.filter(({ level }) => level === "error")).toHaveLength(6);
    said = [];
    expect((await round()).toSorted()).toEqual(found.toSorted());
    expect(said).toEqual([]);
    const { findings, passes } = await memory();
    const whole = passes.findLast((pass) => pass.findings === 0);
    expect(findings[0]?.since.whole).toEqual({ time: whole?.started, size: whole?.size });

    const shown = await instance.api("GET", "/api/assay/v1/integrity");
    expect(shown).toMatchObject({
      status: 200,
      body: { state: "damaged", scrub: { round: null, lastRound: { findings: 6 } } },
    });
    const text = await (
      await fetch(`${instance.url}/metrics`, { headers: { authorization: `Bearer ${instance.adminToken}` } })
    ).text();
    expect(text).toMatch(/^assay_scrub_findings 6$/m);
    expect(text).toMatch(/^assay_scrub_last_round_timestamp_seconds \d/m);
    expect(text).toMatch(/^assay_scrub_bytes_total 0$/m);

    await blobs.write(image.layer, blob);
    await blobs.close();
    for (const back of mend) await back();
    await raw(async (database) => {
      await database.run("update event set actor = 'admin' where sequence = 17");
      await database.run("update leaf set sequence = 400 where sequence = 1000000000");
    });
    expect(await round()).toEqual([]);
    expect(said.map(({ level, message }) => `${level} ${message}`)).toEqual(Array(6).fill("info damage was mended"));
  });

  it("goes over a missing event and on", async () => {
    let event: Record<string, unknown> | undefined;
    await raw(async (database) => {
      [event] = await database.all("select * from event where sequence = 300");
      await database.run("delete from event where sequence = 300");
      await database.run("update event set actor = 'nobody' where sequence = 500");
    });
    expect((await round()).toSorted()).toEqual([
      "chain event 301",
      "event event 300",
      "event event 500",
      "leaf leaf 300",
    ]);
    await raw(async (database) => {
      const columns = Object.keys(event ?? {});
      await database.run(
        `insert into event (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`,
        Object.values(event ?? {}),
      );
      await database.run("update event set actor = 'admin' where sequence = 500");
    });
  });

  it("goes on where it was when the process ends, in the middle of a blob too", async () => {
    // As fast as the events need, and far too slow for the layer.
    const stop = new AbortController();
    const slow = scrub(300_000);
    const running = slow.turn(turnOf({ signal: stop.signal }));
    await expect.poll(() => bytes, { timeout: 20_000 }).toBeGreaterThan(100_000);
    stop.abort();
    await running;
    const first = await memory();
    expect(first.round).not.toBeNull();
    const before = bytes;
    expect(await round()).toEqual([]);
    expect((await memory()).passes.at(-1)?.started).toBe(first.round?.started);
    expect(bytes - before).toBeGreaterThan(0);
  });

  it("begins anew when what it remembers is damaged, or of a longer record than there is", async () => {
    const path = join(instance.dataDirectory, "checks", "scrub.json");
    await round();
    await writeFile(path, (await readFile(path, "utf8")).slice(0, -10));
    expect(await round()).toEqual([]);
    expect(said).toEqual([{ level: "warn", message: "what the scrub remembered is damaged: it begins anew" }]);
  });

  it("is what `assay server check` dates the last time by that a blob was whole", async () => {
    await round();
    const { passes } = await memory();
    const blobs = openRawBlobs(instance.dataDirectory);
    const blob = await blobs.read(image.layer);
    await blobs.write(image.layer, Buffer.from("other"));
    const report = await checkDirectory({
      ...(await placeOf(instance.dataDirectory)),
      s3: s3Of(instance.dataDirectory),
      tell: () => undefined,
    });
    expect(report.findings[0]?.since.whole).toMatchObject({ time: passes.at(-1)?.started });
    await blobs.write(image.layer, blob);
    await blobs.close();
  });
});

describe("the scrub's pace", () => {
  it("takes no more bytes a second than it may, and gives up waiting at once when it is told to stop", async () => {
    const stop = new AbortController();
    const pace = new Pace(1_000_000, stop.signal);
    const started = performance.now();
    for (let taken = 0; taken < 500_000; taken += 10_000) await pace.take(10_000);
    expect(performance.now() - started).toBeGreaterThan(400);
    setTimeout(() => stop.abort(), 20);
    await pace.take(100_000_000);
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it("takes an eighth of that while others are served, and all of it again when they are not", async () => {
    let served = true;
    const pace = new Pace(8_000_000, new AbortController().signal, () => served);
    const taking = async (bytes: number): Promise<number> => {
      const started = performance.now();
      for (let taken = 0; taken < bytes; taken += 10_000) await pace.take(10_000);
      return performance.now() - started;
    };
    const slow = await taking(400_000);
    expect(slow).toBeGreaterThan(300);
    served = false;
    // Eight times as much in the same time.
    expect(await taking(1_600_000)).toBeGreaterThan(100);
    served = true;
    expect(await taking(400_000)).toBeGreaterThan(300);
  });

  it("lets the process's other work have its turn before it is far behind", async () => {
    const pace = new Pace(Number.MAX_SAFE_INTEGER, new AbortController().signal);
    let turns = 0;
    const others = setInterval(() => turns++, 1);
    for (const until = performance.now() + 200; performance.now() < until; ) await pace.take(1);
    clearInterval(others);
    // Without turns there would be none at all; a busy machine takes many away.
    expect(turns).toBeGreaterThan(5);
  });

  it("reads no faster than that, whatever there is", async () => {
    const started = performance.now();
    await scrub(500_000).turn(turnOf());
    expect(bytes / ((performance.now() - started) / 1000)).toBeLessThan(650_000);
  });
});

describe("what is known of the integrity", () => {
  it("is for the bootstrap admin alone", async () => {
    await instance.api("POST", "/api/assay/v1/people", { name: "eve" });
    const key = await instance.api("POST", "/api/assay/v1/people/eve/keys", { label: "laptop" });
    const { secret, key: text } = key.body as { secret?: string; key?: string };
    const token = String(secret ?? text);
    expect((await instance.api("GET", "/api/assay/v1/integrity", undefined, token)).status).toBe(403);
    expect((await instance.api("GET", "/api/assay/v1/integrity", undefined, "wrong")).status).toBe(401);
    await instance.published();
  });

  it("is not called whole before anything was looked at, nor when what was remembered is damaged", async () => {
    const state = async (): Promise<unknown> =>
      ((await instance.api("GET", "/api/assay/v1/integrity")).body as { state: unknown }).state;
    const scrape = async (): Promise<string> =>
      await (
        await fetch(`${instance.url}/metrics`, { headers: { authorization: `Bearer ${instance.adminToken}` } })
      ).text();
    await rm(join(instance.dataDirectory, "checks"), { recursive: true, force: true });
    expect(await state()).toBe("unknown");
    expect(await scrape()).not.toMatch(/^assay_scrub_findings/m);
    await mkdir(join(instance.dataDirectory, "checks"));
    await writeFile(join(instance.dataDirectory, "checks", "scrub.json"), "{}");
    expect(await state()).toBe("unknown");
    expect(await scrape()).not.toMatch(/^assay_scrub_findings/m);
  });
});
