/**
 * Garbage collection against everybody at once: pushers, mounters, deleters and clients that ask with HEAD, over few digests, with leases of
 * a moment and no grace; every step is late by a random time, collectors and pushers die between any two of them, and removals come
 * whenever they come. ASSAY_LONG=1 goes on for minutes; a run's choices can be repeated with the seed it reports (ASSAY_SEED).
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { collectionJob } from "../src/collection/run.ts";
import type { RecordClient } from "../src/record/client.ts";
import { sweepRegistry } from "../src/registry/maintenance.ts";
import type { BlobStore } from "../src/storage/blobs.ts";
import { ENGINE } from "./database.ts";
import { imageManifest, OCI_MANIFEST, openRegistryRoom, type RegistryRoom, sha256 } from "./registry-room.ts";
import { pickFrom, seeded } from "./seeded.ts";

const STORM_MS = process.env["ASSAY_LONG"] === "1" ? 300_000 : 15_000;
const SEED = Number(process.env["ASSAY_SEED"] ?? randomInt(2 ** 31));

/** The longest that a step is late. */
const LATE_MS = 600;

/** Short enough that leases run out between a blob and its manifest now and then, and not always: there each step takes longer. */
const LEASE_MS = ENGINE === "sqlite" ? 600 : 2000;

/** Few, so that everybody always works on the same bytes. */
const LAYERS = Array.from({ length: 6 }, (_, index) => `layer ${index} `.repeat(1 + index * 50));
/** Each of two layers. The same manifests, too, come and go. */
const IMAGES = [0, 1, 2, 3].map((first) => [LAYERS[first] ?? "", LAYERS[first + 2] ?? ""]);
const REPOSITORIES = ["acme/one", "acme/two", "acme/three"];
const TAGS = ["a", "b"];

const random = seeded(SEED);

const pick = <T>(list: readonly T[]): T => pickFrom(random, list);

/** Nothing at all, a little, or long: a process that was stopped for a while. */
async function late(most: number): Promise<void> {
  const chance = random();
  if (chance < 0.6) return;
  await sleep(chance < 0.96 ? random() * 5 : random() * most);
}

/** What a process dies of. */
class Killed extends Error {}

/** How likely a process dies before or after a step. */
const DEATH = 0.01;

function maybeDie(): void {
  if (random() < DEATH) throw new Killed("killed here");
}

async function step<T>(work: () => Promise<T>, most: number): Promise<T> {
  await late(most);
  maybeDie();
  const done = await work();
  await late(most);
  maybeDie();
  return done;
}

/** Removals that are under way: they end whenever they do, whoever waits for them or died. */
const removals = new Set<Promise<void>>();

function lateStore(blobs: BlobStore): BlobStore {
  return {
    size: (digest) => blobs.size(digest),
    read: (digest, range) => blobs.read(digest, range),
    open: (digest, range) => blobs.open(digest, range),
    readSmall: (digest, most) => blobs.readSmall(digest, most),
    putSmall: (bytes, generation) => step(() => blobs.putSmall(bytes, generation), LATE_MS),
    put: (digest, bytes, generation) => step(() => blobs.put(digest, bytes, generation), LATE_MS),
    adopt: (staged, digest, generation) => step(() => blobs.adopt(staged, digest, generation), LATE_MS),
    list: (after) => blobs.list(after),
    entries: (after) => blobs.entries(after),
    stage: (id) => blobs.stage(id),
    listStaged: (before) => blobs.listStaged(before),
    removeStaged: (name) => blobs.removeStaged(name),
    async remove(digest, generation) {
      maybeDie();
      const removal = (async () => {
        await sleep(random() < 0.8 ? random() * 10 : random() * 2000);
        await blobs.remove(digest, generation);
      })();
      removals.add(removal);
      void removal.finally(() => removals.delete(removal));
      // Whoever collects does not always live to see it.
      if (random() < 0.7) await removal;
      maybeDie();
    },
  };
}

function lateRecord(record: RecordClient): RecordClient {
  return {
    append: (commands) => step(() => record.append(commands), LATE_MS),
    operate: async (type, body) => {
      const answer = await step(() => record.operate(type, body), LATE_MS);
      if (type === "registry.finish-whole") done.whole += JSON.stringify(answer).includes("finished") ? 1 : 0;
      return answer;
    },
  };
}

let room: RegistryRoom;

beforeAll(async () => {
  room = await openRegistryRoom(["acme"], { leaseMs: LEASE_MS, store: lateStore, record: lateRecord });
});

afterAll(async () => {
  await room.stop();
});

/** What repositories promised to have: by repository and manifest, its layers. */
const live = new Map<string, readonly string[]>();
/** What may or may not be there: its pusher was not told. */
const unsure = new Map<string, readonly string[]>();
const done = { pushed: 0, mounted: 0, whole: 0, deleted: 0, heads: 0, refused: 0, collected: 0 };
const wrong: string[] = [];
let ending = false;

/** Everything a manifest that was promised and not deleted since is made of, by its bytes. */
async function verify(key: string, layers: readonly string[]): Promise<void> {
  const [repository = "", digest = ""] = key.split("@");
  const manifest = await room.call("GET", `/v2/${repository}/manifests/${digest}`);
  const blobs = await Promise.all(
    ["{}", ...layers].map(async (layer) => {
      const answer = await room.call("GET", `/v2/${repository}/blobs/${sha256(layer)}`);
      return answer.status === 200 && answer.text === layer;
    }),
  );
  // Deleted while it was asked for.
  if (!live.has(key)) return;
  if (manifest.status !== 200 || sha256(manifest.bytes) !== digest) wrong.push(`${key}: ${manifest.status}`);
  if (blobs.includes(false)) wrong.push(`${key}: a blob of it is not there, or has other bytes`);
}

/** All of a blob in the request that ends its session: now and then several at once do, some with other bytes. */
async function bringWhole(repository: string, content: string): Promise<boolean> {
  const opened = await room.call("POST", `/v2/${repository}/blobs/uploads/`);
  const location = opened.headers["location"];
  if (opened.status !== 202 || location === undefined) return false;
  const put = async (body: string): Promise<boolean> => {
    const answer = await room.call("PUT", `${location}?digest=${sha256(body)}`, { body });
    return answer.status === 201;
  };
  const others = random() < 0.2 ? [put(pick(LAYERS)), put(content)] : [];
  const [mine, , again] = await Promise.all([put(content), ...others]);
  return mine || again === true;
}

async function bringBlob(repository: string, content: string): Promise<boolean> {
  const digest = sha256(content);
  const way = random();
  if (way < 0.3) {
    const from = pick(REPOSITORIES);
    const mount = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`;
    const answer = await room.call("POST", mount);
    if (answer.status === 201) {
      done.mounted += 1;
      return true;
    }
    if (answer.status === 202) await room.call("DELETE", answer.headers["location"] ?? "");
  } else if (way < 0.5) {
    const answer = await room.call("HEAD", `/v2/${repository}/blobs/${digest}`);
    done.heads += 1;
    if (answer.status === 200) return true;
  }
  if (way < 0.6) return await bringWhole(repository, content);
  const answer = await room.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: content });
  return answer.status === 201;
}

async function push(): Promise<void> {
  const repository = pick(REPOSITORIES);
  const layers = pick(IMAGES);
  const brought = await Promise.all([...new Set(["{}", ...layers])].map((content) => bringBlob(repository, content)));
  if (brought.includes(false)) return;
  const bytes = imageManifest("{}", layers);
  const key = `${repository}@${sha256(bytes)}`;
  // One at a time for each: what is promised is known only then.
  if (busy.has(key)) return;
  busy.add(key);
  try {
    const answer = await room.call("PUT", `/v2/${repository}/manifests/${pick(TAGS)}`, {
      body: bytes,
      headers: { "content-type": OCI_MANIFEST },
    });
    if (answer.status !== 201) {
      done.refused += 1;
      // Whoever died may have done it before.
      if (answer.status >= 500) unsure.set(key, layers);
      return;
    }
    done.pushed += 1;
    live.set(key, layers);
    await verify(key, layers);
  } finally {
    busy.delete(key);
  }
}

const busy = new Set<string>();

async function remove(): Promise<void> {
  const keys = [...live.keys()];
  if (keys.length === 0) return;
  const key = pick(keys);
  if (busy.has(key)) return;
  busy.add(key);
  try {
    const [repository = "", digest = ""] = key.split("@");
    // From here on it may be gone, whatever is answered.
    live.delete(key);
    for (;;) {
      const { status } = await room.call("DELETE", `/v2/${repository}/manifests/${digest}`);
      if (status === 202 || status === 404) break;
    }
    done.deleted += 1;
  } finally {
    busy.delete(key);
  }
}

async function look(): Promise<void> {
  const entries = [...live];
  if (entries.length === 0) return;
  await verify(...pick(entries));
}

async function collect(): Promise<void> {
  const context = {
    record: lateRecord(room.writer),
    reader: room.reader,
    blobs: lateStore(room.blobs),
    keeps: room.keeps,
    graceMs: 0,
  };
  try {
    await collectionJob(context, undefined, {});
    done.collected += 1;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
}

/** What lies in the store: every generation of every blob. */
async function lying(): Promise<string[]> {
  const found: string[] = [];
  for await (const { digest } of room.blobs.entries()) found.push(digest);
  return found.toSorted();
}

it(
  `loses no byte that anybody needs, and leaves none that nobody does (seed ${SEED})`,
  async () => {
    const again = async (work: () => Promise<void>): Promise<void> => {
      while (!ending && wrong.length === 0) {
        await work();
        await late(5);
      }
    };
    const storm = Promise.all([
      ...Array.from({ length: 10 }, () => again(push)),
      ...Array.from({ length: 3 }, () => again(remove)),
      ...Array.from({ length: 2 }, () => again(look)),
      ...Array.from({ length: 3 }, () => again(collect)),
      again(async () => {
        await sweepRegistry(room.writer, room.blobs);
        await sleep(50);
      }),
    ]);
    const begun = Date.now();
    const enough = (): boolean =>
      done.pushed > 20 && done.deleted > 10 && done.mounted > 0 && done.whole > 0 && done.heads > 0;
    const end = setInterval(() => {
      const lasted = Date.now() - begun;
      // A slow machine takes longer for it.
      ending = lasted > 4 * STORM_MS || (lasted > STORM_MS && enough());
    }, 100);
    await storm;
    clearInterval(end);
    expect(wrong).toEqual([]);
    expect(done.pushed).toBeGreaterThan(20);
    expect(done.deleted).toBeGreaterThan(10);
    expect(done.mounted).toBeGreaterThan(0);
    expect(done.heads).toBeGreaterThan(0);
    expect(done.whole).toBeGreaterThan(0);
    expect(done.collected).toBeGreaterThan(3);
    const collections = await room.reader
      .tables<{ collected_blob: { digest: string; generation: number } }>()
      .selectFrom("collected_blob")
      .selectAll()
      .execute();
    // The same bytes came and went, more than once.
    expect(Math.max(...collections.map(({ generation }) => generation))).toBeGreaterThan(1);

    for (const [key, layers] of unsure) {
      const [repository = "", digest = ""] = key.split("@");
      const { status } = await room.call("GET", `/v2/${repository}/manifests/${digest}`);
      if (status === 200) live.set(key, layers);
    }

    // The calm after it: leases run out, half-finished uploads are given up.
    await Promise.all(removals);
    await sleep(LEASE_MS + 100);
    for (const id of await uploads()) {
      await room.writer.operate("registry.claim-upload", { ...id, now: Date.now(), claim: "storm" });
      await (await room.blobs.stage(id.id)).discard();
      await room.writer.operate("registry.drop-upload", { id: id.id, claim: "storm" });
    }
    const calm = { record: room.writer, reader: room.reader, blobs: room.blobs, keeps: room.keeps, graceMs: 0 };
    await sleep(5);
    await collectionJob(calm, undefined, {});
    await collectionJob(calm, undefined, {});
    for (const [key, layers] of live) await verify(key, layers);
    expect(wrong).toEqual([]);
    const needed = new Set(
      [...live].flatMap(([key, layers]) => [key.split("@")[1] ?? "", ...["{}", ...layers].map(sha256)]),
    );
    expect(await lying()).toEqual([...needed].toSorted());
  },
  4 * STORM_MS + 120_000,
);

/** The sessions that are left, whose claims have been let go; not those that ended. */
async function uploads(): Promise<{ id: string; owner: string; org: string; repository: string }[]> {
  await room.writer.operate("registry.release-claims", {});
  return await room.reader
    .tables<{ upload: { id: string; owner: string; org: string; repository: string } }>()
    .selectFrom("upload")
    .select(["id", "owner", "org", "repository"])
    .where("owner", "<>", "")
    .execute();
}
