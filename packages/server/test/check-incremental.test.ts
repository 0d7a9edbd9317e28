/** What `check` remembers, goes on from, and says of since when; and what a witness finds that nothing in the directory can. */
import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  canonicalJson,
  cosignatureLine,
  cosignedBytes,
  formatVkey,
  type JsonValue,
  leafHash,
  NOTE_COSIGNATURE_ED25519,
  parseNote,
  parseTlogPolicy,
  parseVkey,
  recordCommitment,
  type TlogPolicy,
  toHex,
  utf8Encode,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto } from "@assay/evidence/node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CheckOptions, type CheckReport, checkDirectory } from "../src/admin/check.ts";
import { reportText } from "../src/admin/check-command.ts";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { recallChecks, rememberChecks } from "../src/integrity/memory.ts";
import { CompactTree } from "../src/log/compact-tree.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import { ADMIN } from "./core.ts";
import { copyDatabase, dropPlace, openRaw, placeOf, type RawDatabase } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { privateDisk } from "./private-disk.ts";
import { pushImage } from "./pushing.ts";
import { blobSettings, openRawBlobs, s3Of } from "./stored-blobs.ts";

let instance: Instance;
let log: string;
let early: { manifest: string; layer: string };
let count = 0;

beforeAll(async () => {
  instance = await startInstance({ scrubRate: 0 });
  log = join(instance.dataDirectory, "logs", "record");
  early = await pushImage(instance.url, "default/app", "1.0.0", Buffer.from("early"));
  await people(300);
  await instance.published();
});

afterAll(async () => {
  await instance.stop();
  await dropPlace(instance.dataDirectory);
});

async function people(number: number): Promise<void> {
  for (const last = count + number; count < last; count += 1) {
    const made = await instance.record.append({
      type: "access.create-person",
      org: SYSTEM_ORG,
      actor: ADMIN,
      body: { name: `person-${count}` },
    });
    if (!made.ok) throw new Error(made.refusal.message);
  }
  await instance.published();
}

async function check(options: Partial<CheckOptions> = {}): Promise<CheckReport & { told: string[] }> {
  const told: string[] = [];
  const report = await checkDirectory({
    ...(await placeOf(instance.dataDirectory)),
    s3: s3Of(instance.dataDirectory),
    tell: (line) => told.push(line),
    ...options,
  });
  return { ...report, told };
}

const incremental = () => check({ incremental: true });
const found = ({ findings }: CheckReport) =>
  findings.map(({ kind, where, problem }) => `${kind} | ${where} | ${problem}`);

async function raw(work: (database: RawDatabase) => Promise<void>): Promise<void> {
  const database = await openRaw(instance.dataDirectory);
  try {
    await work(database);
  } finally {
    await database.close();
  }
}

/** Every test ends on a whole record that a check has found whole. */
afterEach(async () => {
  expect(found(await check())).toEqual([]);
});

describe("an incremental check", () => {
  it("goes on from the last one, beside the running server, and says what it did not look at", async () => {
    const full = await check();
    expect(full).toMatchObject({ mode: "full", from: 0, notLookedAt: [] });
    await people(10);
    const late = await pushImage(instance.url, "default/app", "1.0.1", Buffer.from("late"));
    await instance.published();
    const next = await incremental();
    expect(found(next)).toEqual([]);
    expect(next.mode).toBe("incremental");
    expect(next.from).toBe(Math.floor(full.events / 256) * 256);
    expect(next.from + next.events).toBe((await check()).events);
    expect(next.notLookedAt.join("\n")).toMatch(/before event 256[^]*tables[^]*blobs that no event/);
    expect(reportText(next)).toMatch(/everything holds: \d+ events from event 256 on[^]*not looked at: the tables/);

    const blobs = openRawBlobs(instance.dataDirectory);
    const [lateBytes, earlyBytes] = [await blobs.read(late.layer), await blobs.read(early.layer)];
    await blobs.write(early.layer, Buffer.from("other"));
    await people(1);
    // What no newer event names is left to the full check, as the report says.
    expect(found(await incremental())).toEqual([]);
    await blobs.write(late.layer, Buffer.from("other"));
    const both = await check();
    expect(both.findings.map(({ where }) => where).toSorted()).toEqual([late.layer, early.layer].toSorted());
    await blobs.write(early.layer, earlyBytes);
    await blobs.write(late.layer, lateBytes);
    await blobs.close();
  });

  it("finds what is wrong with what came since: events, tables' heads, blobs, tiles", async () => {
    await check();
    const { layer } = await pushImage(instance.url, "default/app", "1.0.2", Buffer.from("newest"));
    await people(2);
    const blobs = openRawBlobs(instance.dataDirectory);
    await blobs.remove(layer);
    await raw(async (database) => {
      await database.run("update org_head set org_sequence = org_sequence + 1 where org = 'default'");
      await database.run("update event set actor = 'nobody' where sequence = (select max(sequence) from event)");
    });
    const [width] = (await readdir(join(log, "tile", "0", "001.p"))).map(Number).toSorted((a, b) => b - a);
    const tile = join(log, "tile", "0", "001.p", String(width));
    const bytes = await readFile(tile);
    await writeFile(tile, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
    const report = await incremental();
    expect(report.mode).toBe("incremental");
    const kinds = report.findings.map(({ kind }) => kind).toSorted();
    expect(kinds, found(report).join("\n")).toEqual(["blob", "event", "projection", "tile"]);
    expect(found(report).join("\n")).toMatch(/table org_head, row of default/);
    await blobs.write(layer, Buffer.from("newest"));
    await blobs.close();
    await writeFile(tile, bytes);
    await raw(async (database) => {
      await database.run("update org_head set org_sequence = org_sequence - 1 where org = 'default'");
      await database.run("update event set actor = 'admin' where sequence = (select max(sequence) from event)");
    });
    // A check that found something is nothing to go on from.
    const after = await incremental();
    expect(after.mode).toBe("full");
    expect(after.told.join("\n")).toContain("the last check did not find everything whole");
  });

  it.each([
    ["nothing is remembered", /no earlier check is remembered/, (path: string) => rm(path)],
    ["what is remembered is cut off", /is damaged/, async (path: string) => truncate(path, 100)],
    [
      "one digit of it is another",
      /is damaged \(its digest is wrong\)/,
      async (path: string) =>
        writeFile(
          path,
          (await readFile(path, "utf8")).replace(/"size":(\d)/, (_, digit) => `"size":${9 - Number(digit)}`),
        ),
    ],
    [
      "it is of another record",
      /not a continuation of the record/,
      async () => {
        const memory = await recallChecks(instance.dataDirectory);
        if (memory.kind !== "there" || memory.memory.resume === null) throw new Error("nothing to go on from");
        const resume = { ...memory.memory.resume, origin: "elsewhere" };
        await rememberChecks(instance.dataDirectory, { ...memory.memory, resume });
      },
    ],
  ])("looks at everything when %s", async (_what, why, damage) => {
    await check();
    await damage(join(instance.dataDirectory, "checks", "last-check.json"));
    const report = await incremental();
    expect(report.mode).toBe("full");
    expect(report.told.join("\n")).toMatch(why);
  });

  it("looks at everything when the tiles do not continue what the last one found, and names the damaged one", async () => {
    await check();
    const path = join(log, "tile", "1", "000.p", "1");
    const bytes = await readFile(path);
    await writeFile(path, Buffer.concat([Buffer.from([(bytes[0] ?? 0) ^ 1]), bytes.subarray(1)]));
    const report = await incremental();
    expect(report.mode).toBe("full");
    expect(report.told.join("\n")).toContain("the published tiles do not continue");
    expect(found(report)).toEqual(["tile | tile/1/000.p/1 | it does not hold what the entries give"]);
    await writeFile(path, bytes);
  });
});

describe("a check beside a server that goes on writing", () => {
  it("finds nothing wrong, full or incremental, whatever is published meanwhile", async () => {
    let writing = true;
    const writer = (async () => {
      while (writing) await people(7);
    })();
    for (let round = 0; round < 4; round += 1) {
      expect(found(await check())).toEqual([]);
      expect(found(await incremental())).toEqual([]);
    }
    writing = false;
    await writer;
  });
});

describe("a finding", () => {
  it("says since when: found first then, and last whole when a check last looked at it", async () => {
    const whole = await check();
    const blobs = openRawBlobs(instance.dataDirectory);
    const bytes = await blobs.read(early.layer);
    await blobs.write(early.layer, Buffer.from("other"));
    const first = (await check()).findings[0];
    expect(first?.since.whole).toEqual({ time: whole.started, size: whole.events });
    expect(first?.since.found.time).toBeGreaterThan(whole.finished);
    await people(1);
    const again = (await check()).findings[0];
    expect(again?.since).toEqual(first?.since);
    expect(reportText(await check())).toMatch(
      /^blob: sha256:[0-9a-f]+\n {2}its bytes do not have this digest.*\n {2}since: found first .*Z \(\d+ events\), last found whole .*Z \(\d+ events\)\n {2}→ push the same/,
    );
    await blobs.write(early.layer, bytes);
    await blobs.close();
  });

  it("was never looked at before when no check is remembered", async () => {
    await rm(join(instance.dataDirectory, "checks"), { recursive: true });
    await writeFile(join(log, "tile", "stray"), "x");
    const report = await check();
    expect(found(report)).toEqual(["tile | tile/stray | it is no tile of this log"]);
    expect(report.findings[0]?.since.whole).toBeNull();
    expect(reportText(report)).toContain("never looked at before");
    await rm(join(log, "tile", "stray"));
  });

  it("is one for a tile of entries that nobody committed", async () => {
    await mkdir(join(log, "tile", "0", "999.p"));
    await writeFile(join(log, "tile", "0", "999.p", "3"), Buffer.alloc(96));
    expect(found(await check())).toEqual([
      expect.stringMatching(/^tile \| tile\/0\/999\.p\/3 \| it speaks of 255747 entries, the database has \d+$/),
    ]);
    await rm(join(log, "tile", "0", "999.p"), { recursive: true });
  });

  it("is reported though it cannot be remembered, and the report says so", async () => {
    const checks = join(instance.dataDirectory, "checks");
    await rename(checks, `${checks}.away`);
    // A file in the directory's place: nothing can be made in it, whoever tries.
    await writeFile(checks, "");
    const report = await check();
    expect(report.forgotten).toMatch(/ENOTDIR|EEXIST/);
    expect(report.told.join("\n")).toContain("this check is not remembered");
    await rm(checks);
    await rename(`${checks}.away`, checks);
  });
});

/** A witness that cosigns the newest checkpoint, as a server with ASSAY_WITNESS_POLICY keeps it; and the policy that names it. */
async function cosign(): Promise<TlogPolicy> {
  const key = generateKeyPair("ed25519");
  const vkey = formatVkey("witness.example.com", NOTE_COSIGNATURE_ED25519, key.publicKey.spki.slice(-32));
  const note = await readFile(join(log, "newest-checkpoint"), "utf8");
  const time = 1_790_000_000;
  const signature = key.sign(cosignedBytes(time, parseNote(note).text));
  await writeFile(join(log, "witnessed-checkpoint"), `${note}${cosignatureLine(parseVkey(vkey), time, signature)}\n`);
  return parseTlogPolicy(utf8Encode(`witness w ${vkey}\nquorum w\n`));
}

/** Rewrites the whole record after altering one event, as who holds the database, the files and the log's key can: nothing is left of it. */
async function rewrite(): Promise<void> {
  await raw(async (database) => {
    const events = await database.all(
      "select event.sequence, bytes, salt from event join leaf on leaf.sequence = event.sequence order by event.sequence",
    );
    const heads = new Map<string, { commitment: string }>();
    const tree = new CompactTree(nodeCrypto);
    for (const { sequence, bytes, salt } of events) {
      const event = JSON.parse(new TextDecoder().decode(bytes as Uint8Array)) as Record<string, JsonValue>;
      const org = JSON.stringify(event["org"]);
      if (event["type"] === "access.person-created") {
        const body = event["body"] as Record<string, JsonValue>;
        if (body["name"] === "person-7") event["body"] = { ...body, name: "person-x" };
      }
      if (event["type"] === "record.head-written") {
        const body = event["body"] as Record<string, JsonValue>;
        event["body"] = { ...body, commitment: heads.get(JSON.stringify(body["org"]))?.commitment ?? "" };
      }
      event["prev"] = heads.get(org)?.commitment ?? null;
      const written = utf8Encode(canonicalJson(event));
      const commitment = recordCommitment(nodeCrypto, salt as Uint8Array, written);
      heads.set(org, { commitment: toHex(commitment) });
      tree.append(leafHash(nodeCrypto, commitment));
      await database.run("update event set bytes = ? where sequence = ?", [written, sequence]);
      await database.run("update leaf set commitment = ? where sequence = ?", [commitment, sequence]);
    }
    await database.run("update log_state set root = ?", [tree.root()]);
  });
  for (const name of ["checkpoint", "newest-checkpoint", "tile"]) await rm(join(log, name), { recursive: true });
  await rebuildDirectory({ ...(await placeOf(instance.dataDirectory)), tell: () => undefined });
}

/** Does something to the stopped server's directory, and puts everything back. */
async function stopped(work: () => Promise<void>): Promise<void> {
  await instance.halt();
  const putBack = await copyDatabase(instance.dataDirectory);
  await rename(log, `${log}.away`);
  await cp(`${log}.away`, log, { recursive: true });
  try {
    await work();
  } finally {
    await putBack();
    await rm(log, { recursive: true });
    await rename(`${log}.away`, log);
    await instance.restart();
  }
}

describe("a data directory that cannot be written", () => {
  it("is checked all the same, and the check is not remembered", async () => {
    await instance.halt();
    const disk = await privateDisk(`mount --bind ${instance.dataDirectory} $DISK && mount -o remount,ro,bind $DISK`);
    try {
      const [command = "", ...before] = disk.within;
      const program = fileURLToPath(new URL("../src/admin.ts", import.meta.url));
      const { databaseUrl } = await placeOf(instance.dataDirectory);
      const { stdout } = await promisify(execFile)(
        command,
        [...before, process.execPath, program, "check", "--data", disk.path, "--output", "json"],
        {
          env: {
            ...process.env,
            ...blobSettings(instance.dataDirectory),
            ...(databaseUrl === undefined ? {} : { ASSAY_DATABASE_URL: databaseUrl }),
          },
        },
      );
      const report = JSON.parse(stdout) as CheckReport & { ok: boolean };
      expect(report).toMatchObject({ ok: true, findings: [] });
      expect(report.forgotten).toContain("EROFS");
      expect(report.events).toBeGreaterThan(300);
    } finally {
      await disk.end();
      await instance.restart();
    }
  });
});

describe("a record that was rewritten and signed anew with the stolen key", () => {
  it("holds in itself, and is found by a checkpoint that was kept and by a witness", async () => {
    const kept = await readFile(join(log, "checkpoint"), "utf8");
    await stopped(async () => {
      const witnesses = await cosign();
      expect(found(await check({ witnesses }))).toEqual([]);
      await rewrite();
      expect(found(await check({ against: kept }))).toEqual([
        expect.stringMatching(/^checkpoint \| witnessed checkpoint \| it was signed over another history/),
        expect.stringMatching(/^checkpoint \| checkpoint it was held against \| it was signed over another history/),
      ]);
      expect(found(await check({ witnesses }))).toEqual([
        expect.stringMatching(/^checkpoint \| witnessed checkpoint \| it was signed over another history/),
      ]);
      await rm(join(log, "witnessed-checkpoint"));
      expect(found(await check({ witnesses }))).toEqual([]);
    });
  });
});

describe("a record put back to an older state, signed as it was then", () => {
  it("is found by a checkpoint that was kept and by a witness", async () => {
    await instance.halt();
    const putBack = await copyDatabase(instance.dataDirectory);
    const older = new Map<string, string>();
    for (const name of ["checkpoint", "newest-checkpoint"]) older.set(name, await readFile(join(log, name), "utf8"));
    await instance.restart();
    await people(3);
    const kept = await readFile(join(log, "checkpoint"), "utf8");
    await stopped(async () => {
      const witnesses = await cosign();
      await putBack();
      for (const [name, note] of older) await writeFile(join(log, name), note);
      const report = await check({ witnesses, against: kept });
      const missing = report.findings.filter(({ problem }) => problem.includes("entries are missing"));
      expect(missing.map(({ where }) => where)).toEqual(["witnessed checkpoint", "checkpoint it was held against"]);
    });
  });

  it("is found though the cosignature is not looked at, and a cosignature that does not verify is found", async () => {
    const witnesses = await cosign();
    expect((await check()).notLookedAt.join()).toContain("witnesses' cosignatures");
    expect((await check({ witnesses })).notLookedAt).toEqual([]);
    const others = parseTlogPolicy(
      utf8Encode(
        `witness w ${formatVkey("other.example.com", NOTE_COSIGNATURE_ED25519, generateKeyPair("ed25519").publicKey.spki.slice(-32))}\nquorum w\n`,
      ),
    );
    expect(found(await check({ witnesses: others })).join("\n")).toMatch(
      /under a name or key that does not belong there: witness\.example\.com[^]*no quorum/,
    );
    await rm(join(log, "witnessed-checkpoint"));
  });
});
