/**
 * Sixteen clients push, pull, mount, tag, delete and restore on real servers that are killed at random moments, while garbage collection,
 * retention and sweeps go on all the time with leases and times of grace of seconds: one server on SQLite and the directory, two on
 * PostgreSQL and S3. Each client knows what it was told. Nothing it was told is there may be missing, for a moment or in the end; nothing that
 * it was told is gone may be served; and when all is quiet, the store has the bytes that are needed, and no others.
 *
 * ASSAY_LONG=1 goes on for half an hour, ASSAY_STORM_MINUTES for as long as it says; choices can be made again with the seed that is
 * reported (ASSAY_SEED), though servers and kills have a pace of their own.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { ENGINE, openRaw, placeOf } from "./database.ts";
import { deletedGraceMs, LEASE_MS, UPLOAD_MS } from "./hurried-limits.ts";
import { seeded } from "./seeded.ts";
import { openStore, s3Of, withRawBlobs } from "./stored-blobs.ts";
import { RETAINED, RETENTION, StormClient } from "./storm-client.ts";
import { Hosts, Unanswered } from "./storm-hosts.ts";
import { type Artifact, Blob, Wrong } from "./storm-model.ts";
import { mustBeGone, pull, pullTag } from "./storm-pulls.ts";
import { Counts, type Storm } from "./storm-uploads.ts";

const LONG = process.env["ASSAY_LONG"] === "1";
const MINUTES = Number(process.env["ASSAY_STORM_MINUTES"] ?? (LONG ? 30 : 0.25));
const STORM_MS = MINUTES * 60_000;
const SEED = Number(process.env["ASSAY_SEED"] ?? randomInt(2 ** 31));

const CLIENTS = 16;
const HOSTS = ENGINE === "postgres" ? 2 : 1;

/** How long a server is left alone at most before it is killed, ms. */
const LIFE_MS = STORM_MS > 120_000 ? 15_000 : 5_000;

/** What must have been done before a storm ends, so that a slow machine sees one too. */
const ENOUGH: Readonly<Record<string, number>> = {
  pushed: 30,
  pulled: 15,
  deleted: 10,
  restored: 1,
  mounted: 3,
  resumed: 1,
  abandoned: 1,
};
const KILLS = 3;

/** How much longer a storm goes on at most where that has not been done yet, ms. */
const SLOWEST_MS = 240_000;

const API = "/api/assay/v1";
const JSON_BODY = { "content-type": "application/json" };

const random = seeded(SEED);
const counts = new Counts();
let storm: Storm;
let hosts: Hosts;
let close = async (): Promise<void> => undefined;

beforeAll(async () => {
  hosts = await Hosts.open(HOSTS, random);
  close = () => hosts.dispose();
  const repositories = ["default/storm-a", "default/storm-b", "default/storm-c", "default/storm-d"];
  storm = { hosts, random, counts, repositories };
});

afterAll(async () => {
  await close();
});

/** Asks until there is an answer: nobody is killed any more. */
async function surely<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      await sleep(200);
    }
  }
}

async function api(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const call = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)), headers: JSON_BODY };
  const answer = await surely(() => hosts.ask(method, `${API}${path}`, call));
  const text = answer.bytes.toString();
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** Does something for each, a few at a time. */
async function forEach<T>(all: Iterable<T>, work: (one: T) => Promise<void>): Promise<void> {
  const left = [...all].toReversed();
  const some = async (): Promise<void> => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) {
      const at = one;
      await surely(() => work(at));
    }
  };
  await Promise.all(Array.from({ length: 6 }, some));
}

/** What lies in the store: every generation of every blob, with its size. */
async function lying(): Promise<Map<string, number>> {
  const store = await openStore(hosts.directories[0] ?? "");
  const found = new Map<string, number>();
  for await (const { digest, generation, bytes } of store.blobs.entries()) {
    found.set(found.has(digest) ? `${digest} again, generation ${generation}` : digest, bytes);
  }
  await store.close();
  return found;
}

/** Rows and bytes that are left of uploads, and leases that were not swept. */
async function leftOver(): Promise<Record<string, unknown>> {
  const directory = hosts.directories[0] ?? "";
  const raw = await openRaw(directory);
  const [uploads] = await raw.all("select count(*) as n from upload");
  const [leases] = await raw.all("select count(*) as n from blob_lease");
  await raw.close();
  return {
    uploads: Number(uploads?.["n"]),
    leases: Number(leases?.["n"]),
    staged: await withRawBlobs(directory, (blobs) => blobs.uploads()),
  };
}

/** The bytes that standing manifests need. */
function needed(standing: Iterable<Artifact>): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { digest, bytes, blobs, children } of standing) {
    sizes.set(digest, bytes.length);
    for (const blob of blobs) sizes.set(blob.digest, blob.size);
    for (const child of children) sizes.set(child.digest, child.bytes.length);
  }
  return sizes;
}

/** How often it is looked whether something has come about, ms. */
const LOOK_MS = 500;

/** Waits until something is so, and says what it is in the end. By looks and not by the clock: a machine may be stopped for a while. */
async function settled<T>(look: () => Promise<T>, wanted: (seen: T) => boolean, ms: number): Promise<T> {
  for (let waited = 0; ; waited += LOOK_MS) {
    const seen = await look();
    if (wanted(seen) || waited > ms) return seen;
    await sleep(LOOK_MS);
  }
}

function bytesOf(sizes: ReadonlyMap<string, number>): number {
  return [...sizes.values()].reduce((total, size) => total + size, 0);
}

function entries(sizes: ReadonlyMap<string, number>): string[] {
  return [...sizes].map(([digest, size]) => `${digest} ${size}`).toSorted();
}

async function applyRetention(version: unknown): Promise<void> {
  for (let more = true; more; ) {
    const run = await api("POST", "/orgs/default/retention/run", { repository: RETENTION, version });
    more = run["tags"] !== 0 || run["manifests"] !== 0 || run["next"] !== null;
  }
}

it(
  `serves no wrong byte, loses nothing acknowledged, collects nothing that lives, and keeps nothing else (seed ${SEED})`,
  async () => {
    const names = Array.from({ length: CLIENTS }, (_, at) => `c${at}`);
    const atFirst = await lying();
    const rules = [
      ...names.map((name) => ({ name, tags: [`${name}-*`], keepLast: RETAINED })),
      { name: "untagged", untagged: true, keepPushedDays: 0 },
    ];
    const { version } = await api("PUT", "/orgs/default/retention", { repository: RETENTION, rules });
    const sizes = [300, 2_000, 9_000, 40_000, 150_000, 700_000, 2_500_000, 9_500_000];
    const pool = {
      config: new Blob("everybody's configuration", 200),
      layers: sizes.map((size, at) => new Blob(`everybody's layer ${at}`, size)),
    };
    const clients = names.map((name) => new StormClient(storm, pool, name));

    const begun = Date.now();
    const over: unknown[] = [];
    const lasted = (): number => Date.now() - begun;
    const enough = (): boolean =>
      hosts.kills >= KILLS && Object.entries(ENOUGH).every(([what, least]) => counts.of(what) >= least);
    const going = (): boolean =>
      over.length === 0 && lasted() < STORM_MS + SLOWEST_MS && !(lasted() >= STORM_MS && enough());
    const told = setInterval(() => {
      if (STORM_MS > 120_000)
        process.stdout.write(`${Math.round(lasted() / 1000)} s, ${hosts.kills} kills: ${counts.toString()}\n`);
    }, 60_000);
    const keepOn = async (work: () => Promise<void>): Promise<void> => {
      try {
        while (going()) await work();
      } catch (error) {
        over.push(error);
      }
    };
    await Promise.all([
      ...clients.map((client) => keepOn(() => client.act(clients))),
      keepOn(async () => {
        await sleep(500 + random() * LIFE_MS);
        await hosts.killSome();
      }),
    ]);
    clearInterval(told);
    const stormed = lasted();
    if (over.length > 0) throw new Error(`after ${stormed} ms (seed ${SEED}): ${String(over[0])}`, { cause: over });
    expect(enough(), counts.toString()).toBe(true);

    // Nothing is in a server's memory any more: what is served now lies in the store.
    await hosts.killAll();
    await applyRetention(version);
    const all = clients.flatMap((client) =>
      [...client.told.artifacts.values()].map((artifact) => ({ client, artifact })),
    );
    await forEach(all, async ({ client: { told: by }, artifact }) => {
      if (artifact.state === "unsure") by.set(artifact, (await pull(storm, by, artifact)) ? "stands" : "gone");
      else if (artifact.state === "stands") await pull(storm, by, artifact);
      else await mustBeGone(storm, artifact);
    });
    await forEach(
      clients.flatMap((client) => [...client.told.tags.values()]),
      async (tag) => void (await pullTag(storm, tag)),
    );
    const standing = clients.flatMap((client) => [...client.told.here]);
    for (const name of names) {
      const list = await surely(() => hosts.ask("GET", `/v2/${RETENTION}/tags/list`));
      const { tags } = JSON.parse(list.bytes.toString()) as { tags: string[] };
      expect(tags.filter((tag) => tag.startsWith(`${name}-`)).length, name).toBeLessThanOrEqual(RETAINED);
    }

    // The calm after it: leases, sessions and times of grace end, and everything that nothing needs goes, by itself.
    const expected = new Map([...atFirst, ...needed(standing)]);
    const calm = Math.max(LEASE_MS, UPLOAD_MS, deletedGraceMs);
    const patience = calm + 60_000;
    const nothing = { uploads: 0, leases: 0, staged: [] };
    const isNothing = (seen: Record<string, unknown>): boolean => JSON.stringify(seen) === JSON.stringify(nothing);
    expect(await settled(leftOver, isNothing, patience)).toEqual(nothing);
    const wanted = entries(expected);
    const isWanted = (seen: ReadonlyMap<string, number>): boolean => entries(seen).join() === wanted.join();
    expect(entries(await settled(lying, isWanted, patience))).toEqual(wanted);

    // As the server itself counts it.
    const { id } = await api("POST", "/collections", {});
    const run = await settled(
      () => api("GET", `/collections/${String(id)}`),
      (seen) => seen["state"] === "done",
      patience,
    );
    const none = { blobs: 0, bytes: 0 };
    const looked = { blobs: expected.size, bytes: bytesOf(expected) };
    expect(run).toMatchObject({ state: "done", looked, collected: none, leftovers: none });

    await hosts.killAll();
    await forEach(standing, async (artifact) => {
      const by = clients.find((client) => client.told.here.has(artifact))?.told;
      if (by === undefined || !(await pull(storm, by, artifact))) throw new Wrong(`${artifact.digest} is gone`);
    });
    for (const dataDirectory of hosts.directories) {
      const first = hosts.directories[0] ?? "";
      const { databaseUrl } = await placeOf(first);
      const check = async (): Promise<unknown> =>
        (await checkDirectory({ dataDirectory, databaseUrl, s3: s3Of(first), tell: () => undefined })).findings;
      // A host that has only just started may not have published yet what others recorded last.
      expect(await settled(check, (seen) => JSON.stringify(seen) === "[]", 20_000)).toEqual([]);
    }
    const ended = await hosts.stop();
    process.stdout.write(
      `${Math.round(stormed / 1000)} s of storm on ${HOSTS} server(s), seed ${SEED}, ${hosts.kills} kills: ${counts.toString()}; ` +
        `${all.length} manifests, of which ${standing.length} stand; ${expected.size} blobs of ${bytesOf(expected)} bytes left\n` +
        [...hosts.busy].map(([text, times]) => `  not done, ${times} × ${text}\n`).join("") +
        hosts.said.map((text) => `  said ${text}\n`).join(""),
    );
    expect(ended).toEqual(hosts.directories.map(() => 0));
  },
  3 * STORM_MS + SLOWEST_MS + 900_000,
);
