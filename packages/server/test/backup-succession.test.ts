/** A database that is behind what was signed: it refuses to sign, and the two ways out. */
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseVkey, type RecordReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { beforeEach, describe, expect, it } from "vitest";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { succeedDirectory } from "../src/admin/succeed.ts";
import { checkDirectory } from "../src/admin/check.ts";
import { backUp } from "../src/backup/backup.ts";
import { restore } from "../src/backup/restore.ts";
import { tryChain } from "../src/backup/trial.ts";
import { ServerError } from "../src/errors.ts";
import { CheckpointFile } from "../src/log/checkpoint-file.ts";
import { nextOrigin } from "../src/record/succeed.ts";
import {
  check,
  containing,
  differences,
  emptyPlace,
  halt,
  makePlace,
  newArchive,
  type Place,
  quiet,
  refusal,
  start,
  verify,
  vkeyOf,
  work,
} from "./backup-room.ts";
import { copyDatabase, dropPlace, ENGINE, openRaw, placeOf } from "./database.ts";
import { freePort } from "./free-port.ts";
import { startProcess } from "./server-process.ts";

/** A record whose data directory has lost its database, and was given an older one from a backup. */
interface Behind {
  readonly place: Place;
  readonly vkey: string;
  /** Under the archive, and after it. */
  readonly kept: RecordReceipt;
  readonly lost: RecordReceipt;
  readonly archives: readonly [full: string, newer: string];
}

async function fallBehind(): Promise<Behind> {
  const place = await makePlace("own");
  const instance = await start(place);
  const kept = await work(instance, "kept");
  await instance.published();
  const full = newArchive();
  await backUp({ ...place, to: full, tell: quiet });
  const lost = await work(instance, "lost");
  await instance.published();
  const newer = newArchive();
  await backUp({ ...place, to: newer, since: full, tell: quiet });
  const vkey = await vkeyOf(instance);
  await halt(instance);
  const emptied = await emptyDatabase(place);
  const report = await restore({ ...emptied, archives: [full], tell: quiet });
  expect(report.newest).toBeGreaterThan(report.events);
  return { place: emptied, vkey, kept, lost, archives: [full, newer] };
}

/** Loses the database and nothing else. */
async function emptyDatabase(place: Place): Promise<Place> {
  const { dataDirectory, databaseUrl, s3 } = place;
  if (databaseUrl === undefined) {
    for (const file of ["assay.db", "assay.db-wal", "assay.db-shm"])
      await rm(join(dataDirectory, file), { force: true });
    return place;
  }
  await dropPlace(dataDirectory);
  return { ...(await placeOf(dataDirectory)), s3 };
}

const succeed = (place: Place, tell: (line: string) => void = quiet) =>
  succeedDirectory({ ...place, reason: "the disk was lost", tell });

let behind: Behind;

const eachTimeBehind = (): void =>
  beforeEach(async () => {
    behind = await fallBehind();
  }, 60_000);

describe("an old backup restored beside a newer checkpoint", () => {
  eachTimeBehind();

  it("refuses to start, says what to do, and goes on when the newer archives are restored too", async () => {
    const { place, archives, vkey, lost } = behind;
    const error = await refusal(place);
    expect(error).toMatchObject({ code: "log-behind-checkpoint" });
    expect(error?.hint).toMatch(/restore` with the newer archives added.*assay server succeed/s);
    await expect(rebuildDirectory({ ...place, tell: quiet })).rejects.toMatchObject({ code: "log-behind-checkpoint" });

    const emptied = await emptyDatabase(place);
    await restore({ ...emptied, archives: [...archives], tell: quiet });
    const instance = await start(emptied);
    expect(await vkeyOf(instance)).toBe(vkey);
    expect((await verifyReceipt(nodeCrypto, lost, [parseVkey(vkey)])).sequence).toBe(lost.sequence);
    await instance.published();
    await halt(instance);
    expect(await check(emptied)).toEqual([]);
  }, 60_000);
});

describe("a log that is closed and succeeded", () => {
  eachTimeBehind();

  it("keeps what is left, names what is lost, and signs under another origin and key", async () => {
    const { place, vkey, kept, lost } = behind;
    const newest = await readFile(join(place.dataDirectory, "logs", "record", "newest-checkpoint"), "utf8");
    const succession = await succeed(place);
    expect(succession.previous).toMatchObject({ vkey, checkpoint: newest });
    expect(succession.origin).toBe(`${succession.previous.origin}/2`);
    const instance = await start(place);
    expect(await vkeyOf(instance)).toBe(succession.vkey);
    const after = await work(instance, "after");
    // The entries after those that are left are new ones: first of all the one that says so.
    const said = await instance.api("GET", `/api/assay/v1/record/${succession.previous.kept}`);
    expect(said.body).toMatchObject({ event: { type: "record.log-succeeded", body: { reason: "the disk was lost" } } });
    const keys = { old: parseVkey(vkey), next: parseVkey(succession.vkey) };
    for (const receipt of [kept, lost])
      expect((await verifyReceipt(nodeCrypto, receipt, [keys.old])).sequence).toBeGreaterThan(0);
    expect((await verifyReceipt(nodeCrypto, after, [keys.next])).sequence).toBe(after.sequence);
    await expect(verifyReceipt(nodeCrypto, after, [keys.old])).rejects.toThrow("trust");
    const again = await instance.api("GET", `/api/assay/v1/record/${kept.sequence}/receipt`);
    expect((await verifyReceipt(nodeCrypto, again.body as RecordReceipt, [keys.next])).sequence).toBe(kept.sequence);
    // The closed log is still there for whoever holds its receipts.
    const closed = `${instance.url}/logs/record.closed-1`;
    expect((await (await fetch(`${closed}/vkey`)).text()).trim()).toBe(vkey);
    expect((await (await fetch(`${closed}/checkpoint`)).text()).split("\n")[0]).toBe(succession.previous.origin);
    const proof = await fetch(`${closed}/proof/inclusion?index=${lost.sequence}`);
    expect(await proof.json()).toMatchObject({ index: lost.sequence, entry: lost.commitment });
    await instance.published();
    await halt(instance);
    expect(await check(place)).toEqual([]);
    await rebuildDirectory({ ...place, tell: quiet });
    expect(await check(place)).toEqual([]);
    await expect(succeed(place)).rejects.toMatchObject({ code: "succession-refused" });
  }, 120_000);

  it("is backed up with the files of the closed log, and restores with them", async () => {
    const { place } = behind;
    const { vkey } = await succeed(place);
    const instance = await start(place);
    await work(instance, "after");
    await instance.published();
    const path = newArchive();
    await expect(backUp({ ...place, to: path, since: behind.archives[0], tell: quiet })).rejects.toMatchObject({
      code: "backup-refused",
    });
    await backUp({ ...place, to: path, tell: quiet });
    await halt(instance);
    expect((await verify([path], { vkey })).findings).toEqual([]);
    const target = await emptyPlace(place);
    await restore({ ...target, archives: [path], tell: quiet });
    expect(await differences(place, target)).toEqual([]);
    const restored = await start(target);
    expect((await fetch(`${restored.url}/logs/record.closed-1/checkpoint`)).status).toBe(200);
    await restored.published();
    await halt(restored);
    expect(await check(target)).toEqual([]);
  }, 120_000);

  it("is found when the closed log's files were altered or are gone, or a kept checkpoint is of another history", async () => {
    const { place } = behind;
    const { previous, closed } = await succeed(place);
    const instance = await start(place);
    await instance.published();
    await halt(instance);
    const against = async (note: string): Promise<string[]> =>
      (await checkDirectory({ ...place, against: note, tell: quiet })).findings.map(({ problem }) => problem);
    expect(await against(previous.checkpoint)).toEqual([]);
    expect((await against(previous.checkpoint.replace(/^(.*\n)\d+/, "$11"))).join()).toContain("does not verify");
    const directory = join(place.dataDirectory, "logs", closed);
    const bundles = await readdir(join(directory, "tile", "entries", "000.p"));
    const file = join(directory, "tile", "entries", "000.p", String(Math.max(...bundles.map(Number))));
    const bytes = await readFile(file);
    const altered = Buffer.from(bytes);
    altered[40] = (altered[40] ?? 0) ^ 1;
    await writeFile(file, altered);
    expect((await check(place)).join("\n")).toMatch(/first \d+ entries are not those of the record/);
    await writeFile(file, bytes);
    expect(await check(place)).toEqual([]);
    await rm(directory, { recursive: true });
    expect((await check(place)).join("\n")).toContain("checkpoints are missing");
  }, 120_000);

  it("stands or falls as one, wherever it is cut off, and goes on from there", async () => {
    const { place } = behind;
    // It is cut off after each step, the first time it gets there, and called again.
    const steps: string[] = [];
    for (let decided = false; ; ) {
      const before = steps.length;
      const ended = await succeed(place, (line) => {
        if (steps.includes(line)) return;
        steps.push(line);
        throw new Error("cut off");
      }).catch((error: unknown) => error);
      // After the last step nothing is left to do.
      if (ended instanceof ServerError && ended.code === "succession-refused") break;
      if (!(ended instanceof Error)) throw new Error("it ended without a cut");
      expect(ended.message).toBe("cut off");
      expect(steps.length).toBe(before + 1);
      decided ||= steps.at(-1) === "the succession is decided";
      // Until it is decided a server refuses to start; from then on it would settle the rest by itself (below).
      const refused = decided ? "log-behind-checkpoint" : (await refusal(place))?.code;
      expect(refused).toBe("log-behind-checkpoint");
    }
    expect(steps).toHaveLength(6);
    const instance = await start(place);
    await work(instance, "after");
    await instance.published();
    await halt(instance);
    expect(await check(place)).toEqual([]);
    await expect(succeed(place)).rejects.toMatchObject({ code: "succession-refused" });
  }, 120_000);

  it("is settled by the next start, when it was cut off right after it was decided", async () => {
    const { place } = behind;
    const cut = succeed(place, (line) => {
      if (line.includes("decided")) throw new Error("cut off");
    });
    await expect(cut).rejects.toThrow("cut off");
    await expect(backUp({ ...place, to: newArchive(), tell: quiet })).rejects.toMatchObject({ code: "backup-refused" });
    const instance = await start(place);
    await work(instance, "after");
    await instance.published();
    await halt(instance);
    expect(await check(place)).toEqual([]);
  }, 60_000);

  it("is not closed over entries that a published checkpoint contradicts, however late publication was", async () => {
    const place = await makePlace("directory");
    const instance = await start(place);
    await work(instance, "base");
    await instance.published();
    const full = newArchive();
    await backUp({ ...place, to: full, tell: quiet });
    const fork = await emptyPlace(place);
    await restore({ ...fork, archives: [full], tell: quiet });
    const log = join(place.dataDirectory, "logs", "record");
    await work(instance, "published");
    await instance.published();
    await cp(log, `${log}.early`, { recursive: true });
    for (const label of ["one", "two", "three", "four"]) await work(instance, label);
    await instance.published();
    const newest = await readFile(join(log, "newest-checkpoint"));
    await halt(instance);
    const other = await start(fork);
    for (const label of ["other", "another"]) await work(other, label);
    await other.published();
    await halt(other);
    // The first host's files as a kill leaves them while publication is late, beside the database of the other history.
    await rm(log, { recursive: true });
    await cp(`${log}.early`, log, { recursive: true });
    await writeFile(join(log, "newest-checkpoint"), newest);
    await emptyDatabase(place);
    await cp(join(fork.dataDirectory, "assay.db"), join(place.dataDirectory, "assay.db"));
    expect(await refusal(place)).toMatchObject({ code: "log-behind-checkpoint" });
    await expect(succeed(place)).rejects.toMatchObject({ code: "log-inconsistent" });
  }, 60_000);

  it("can be closed by a checkpoint that only somebody else has seen", async () => {
    const { place } = behind;
    const path = join(place.dataDirectory, "logs", "record");
    const newest = await readFile(join(path, "newest-checkpoint"), "utf8");
    await rm(path, { recursive: true });
    await expect(succeed(place)).rejects.toMatchObject({ code: "succession-refused" });
    const { previous } = await succeedDirectory({
      ...place,
      reason: "a witness saw more",
      against: newest,
      tell: quiet,
    });
    expect(previous.checkpoint).toBe(newest);
    await halt(await start(place));
  }, 60_000);
});

describe.runIf(ENGINE === "postgres")("another host of the same database", () => {
  eachTimeBehind();

  it("signs nothing more for the closed log, and goes on with the successor once it has its key", async () => {
    const { place } = behind;
    // It had published into a directory of its own.
    const other = { ...(await emptyPlace(place, "directory")), databaseUrl: place.databaseUrl, s3: place.s3 };
    for (const folder of ["keys", "logs"]) {
      await cp(join(place.dataDirectory, folder), join(other.dataDirectory, folder), { recursive: true });
    }
    expect(await refusal(other)).toMatchObject({ code: "log-behind-checkpoint" });
    const { closed } = await succeed(place);
    expect(await refusal(other)).toMatchObject({
      code: "log-origin-changed",
      hint: containing("log-record"),
    });
    await cp(join(place.dataDirectory, "keys"), join(other.dataDirectory, "keys"), { recursive: true });
    expect(await refusal(other)).toBeUndefined();
    expect(await readdir(join(other.dataDirectory, "logs"))).toEqual(expect.arrayContaining(["record", closed]));
    expect(await check(other)).toEqual([]);
    // What the other host made meanwhile is to be shared too, as any key file.
    await cp(join(other.dataDirectory, "keys"), join(place.dataDirectory, "keys"), { recursive: true });
    expect(await check(place)).toEqual([]);
  }, 120_000);
});

describe.runIf(ENGINE === "postgres")("a host that was away while its log was closed and the successor too", () => {
  eachTimeBehind();

  it("goes on once it has the key, and its archives do not pass for whole without the closed logs' files", async () => {
    const { place } = behind;
    const away = { ...(await emptyPlace(place)), databaseUrl: place.databaseUrl, s3: place.s3 };
    for (const folder of ["keys", "logs"]) {
      await cp(join(place.dataDirectory, folder), join(away.dataDirectory, folder), { recursive: true });
    }
    await succeed(place);
    const first = await start(place);
    await work(first, "successor");
    await first.published();
    const full = newArchive();
    await backUp({ ...place, to: full, tell: quiet });
    await work(first, "lost-again");
    await first.published();
    await halt(first);
    const emptied = await emptyDatabase(place);
    await restore({ ...emptied, archives: [full], tell: quiet });
    const { closed } = await succeed(emptied);
    await halt(await start(emptied));

    await cp(join(place.dataDirectory, "keys"), join(away.dataDirectory, "keys"), { recursive: true });
    const back = { ...away, databaseUrl: emptied.databaseUrl };
    expect(await refusal(back)).toBeUndefined();
    expect((await readdir(join(back.dataDirectory, "logs"))).toSorted()).toEqual(["record", "record.closed-1"]);
    expect((await check(back)).join()).toContain(`logs/${closed}: `);
    const said: string[] = [];
    const archive = newArchive();
    await backUp({ ...back, to: archive, tell: (line) => said.push(line) });
    expect(said.join("\n")).toContain(`logs/${closed} is not here`);
    const found: string[] = [];
    await tryChain({ archives: [archive], decryption: {}, tell: quiet, found: ({ where }) => found.push(where) });
    expect(found).toEqual([`closed/${closed}`]);

    await cp(join(place.dataDirectory, "logs", closed), join(back.dataDirectory, "logs", closed), { recursive: true });
    expect(await check(back)).toEqual([]);
  }, 120_000);
});

describe.runIf(ENGINE === "postgres")(
  "a record restored from SQLite into PostgreSQL, with the same data directory",
  () => {
    it("is not restored and not served while the server on SQLite runs: both would sign", async () => {
      const place = await makePlace("directory");
      const instance = await start(place);
      await instance.published();
      const full = newArchive();
      await backUp({ ...place, to: full, tell: quiet });
      const moved = { ...(await placeOf(place.dataDirectory)), s3: place.s3 };
      await expect(restore({ ...moved, archives: [full], tell: quiet })).rejects.toMatchObject({
        code: "data-directory-busy",
      });
      await halt(instance);
      await restore({ ...moved, archives: [full], tell: quiet });
      const old = await start(place);
      await expect(refusal(moved)).rejects.toMatchObject({ code: "data-directory-busy" });
      await halt(old);
      const two = [await start(moved), await start(moved)];
      await expect(refusal(place)).rejects.toMatchObject({ code: "data-directory-busy" });
      for (const host of two) await halt(host);
    }, 60_000);
  },
);

describe.runIf(ENGINE === "postgres")("a server that runs while its log is closed from another host", () => {
  it("is found running, and nothing is closed until it is stopped", async () => {
    const place = await makePlace("own");
    const first = await start(place);
    await work(first, "kept");
    await first.published();
    await halt(first);
    const putBack = await copyDatabase(place.dataDirectory);
    const lost = await start(place);
    await work(lost, "lost");
    await lost.published();
    await halt(lost);
    const server = await startProcess(place.dataDirectory, await freePort(), {
      ASSAY_DATABASE_URL: place.databaseUrl ?? "",
    });
    await putBack();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await expect(succeed(place)).rejects.toMatchObject({
      code: "succession-refused",
      message: containing("a server is at work"),
    });
    server.signal("SIGTERM");
    await server.ended;
    await succeed(place);
    await halt(await start(place));
    expect(await check(place)).toEqual([]);
  }, 120_000);

  it("writes nothing more", async () => {
    const place = await makePlace("own");
    const instance = await start(place);
    const raw = await openRaw(place.dataDirectory);
    await raw.run("update log_state set vkey = vkey || '~' where name = 'record'");
    expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "late" })).status).toBe(500);
    await raw.run("update log_state set vkey = rtrim(vkey, '~') where name = 'record'");
    expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "late" })).status).toBe(201);
    await raw.close();
  }, 60_000);
});

describe("a checkpoint file of a successor", () => {
  it("is not replaced by the closed log's, which a host that was stopped meanwhile still looks after", async () => {
    const { dataDirectory } = await makePlace("directory");
    const path = join(dataDirectory, "newest-checkpoint");
    const file = new CheckpointFile(dataDirectory);
    await writeFile(path, "a/logs/record/2\n12\nroot\n\n");
    expect(file.advance(path, "a/logs/record\n351\nroot\n\n")).toBe(false);
    expect(file.advance(path, "a/logs/record/2\n13\nroot\n\n")).toBe(true);
    file.close();
  });
});

describe("the origin of a successor", () => {
  it("counts on from the first log, and is never one that was there", () => {
    expect(nextOrigin("a/logs/record", [])).toBe("a/logs/record/2");
    expect(nextOrigin("a/logs/record/2", ["a/logs/record"])).toBe("a/logs/record/3");
  });
});
