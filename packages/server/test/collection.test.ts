import { setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { generationOf } from "../src/collection/generation.ts";
import { store } from "../src/collection/naming.ts";
import { findRun } from "../src/collection/queries.ts";
import { type CollectionCounts, runCollection } from "../src/collection/run.ts";
import type { CollectionTables } from "../src/collection/schema.ts";
import { backUp } from "../src/backup/backup.ts";
import { restore } from "../src/backup/restore.ts";
import { composeParts } from "../src/composition.ts";
import type { RecordClient } from "../src/record/client.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import type { RecordTables } from "../src/record/schema.ts";
import type { BlobStore } from "../src/storage/blobs.ts";
import { openReader } from "../src/storage/open.ts";
import { ADMIN } from "./core.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import { openSession } from "../src/registry/session-name.ts";
import { placeOf } from "./database.ts";
import { startInstance } from "./instance.ts";
import { emptyPlace, quiet, scratch } from "./backup-room.ts";
import { pushImage } from "./pushing.ts";
import { imageManifest, OCI_MANIFEST, openRegistryRoom, type RegistryRoom, sha256 } from "./registry-room.ts";
import { openStore, s3Of } from "./stored-blobs.ts";

const HOUR = 3_600_000;
const LEASE_MS = 1_500;

let room: RegistryRoom;

/** What is done before the door's next blob that came whole is named. */
let meanwhile: (() => Promise<void>) | undefined;

function interrupted(record: RecordClient): RecordClient {
  return {
    append: (commands) => record.append(commands),
    operate: async (type, body) => {
      if (type === "registry.take-blob" || type === "registry.finish-whole") await meanwhile?.();
      return await record.operate(type, body);
    },
  };
}

beforeAll(async () => {
  room = await openRegistryRoom(["acme", "rival"], { leaseMs: LEASE_MS, record: interrupted });
});

afterAll(async () => {
  await room.stop();
});

const leasesOver = (): Promise<void> => sleep(LEASE_MS + 50);

/** Collects once, or looks what would go. */
async function collect(
  options: { readonly graceMs?: number; readonly blobs?: BlobStore; readonly mode?: "collect" | "preview" } = {},
): Promise<CollectionCounts> {
  const { graceMs = 0, blobs = room.blobs, mode = "collect" } = options;
  const { id } = (await room.writer.operate("collection.begin", {})) as { id: number };
  const run = await findRun(room.reader, id);
  if (run === undefined) throw new Error("no run");
  const context = { record: room.writer, reader: room.reader, blobs, keeps: room.keeps, graceMs };
  return await runCollection(context, { ...run, mode });
}

async function lying(digest: string): Promise<number[]> {
  const generations: number[] = [];
  for await (const entry of room.blobs.entries()) if (entry.digest === digest) generations.push(entry.generation);
  return generations;
}

async function remove(repository: string, digest: string): Promise<void> {
  const { status } = await room.call("DELETE", `/v2/${repository}/manifests/${digest}`);
  expect(status).toBe(202);
}

/** Pushes an image and deletes it; everything it was made of is garbage when its leases are over. */
async function garbage(repository: string, layer: string): Promise<{ bytes: string; digest: string; layer: string }> {
  const image = await room.pushImage(repository, "gone", layer);
  await remove(repository, image.digest);
  await leasesOver();
  return image;
}

describe("what is needed stays", () => {
  it("is what manifests name, whoever's; what nothing names any more goes, and is said before", async () => {
    const kept = await room.pushImage("acme/kept", "1", "layer of one that stays");
    const gone = await room.pushImage("acme/gone", "1", "layer of two");
    // The same layer in another organisation, beside another.
    await room.pushBlob("rival/kept", "{}");
    await room.pushBlob("rival/kept", "layer of two");
    await room.pushBlob("rival/kept", "and one more");
    const bytes = imageManifest("{}", ["layer of two", "and one more"]);
    const headers = { "content-type": OCI_MANIFEST };
    expect((await room.call("PUT", "/v2/rival/kept/manifests/1", { body: bytes, headers })).status).toBe(201);
    const stray = await room.pushBlob("acme/kept", "a layer whose manifest never came");
    await remove("acme/gone", gone.digest);
    await leasesOver();
    const expected = { collected: 2, collectedBytes: gone.bytes.length + "a layer whose manifest never came".length };
    expect(await collect({ mode: "preview" })).toMatchObject({ ...expected, leftovers: 0 });
    expect(await lying(gone.digest)).toEqual([0]);
    expect(await collect()).toMatchObject({ ...expected, leftovers: 0 });
    expect(await lying(gone.digest)).toEqual([]);
    expect(await lying(stray)).toEqual([]);
    for (const digest of [kept.digest, kept.layer, gone.layer, sha256(bytes), sha256("{}")]) {
      expect(await lying(digest)).toEqual([0]);
    }
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 0 });
  });

  it("is what was deleted, until the time of grace is over", async () => {
    const image = await garbage("acme/grace", "a layer that may come back");
    await collect({ graceMs: HOUR });
    expect(await lying(image.digest)).toEqual([0]);
    expect(await lying(image.layer)).toEqual([0]);
    await collect();
    expect(await lying(image.digest)).toEqual([]);
    expect(await lying(image.layer)).toEqual([]);
  });

  it("is what was pushed and waits for its manifest, and what is being finished", async () => {
    const digest = await room.pushBlob("acme/waits", "waits for its manifest");
    await collect();
    expect(await lying(digest)).toEqual([0]);
    await room.writer.operate("registry.open-upload", {
      id: "00000000-0000-4000-8000-000000000001",
      owner: "admin",
      org: "acme",
      repository: "acme/waits",
      claim: "c",
    });
    const claimed = { id: "00000000-0000-4000-8000-000000000001", claim: "c" };
    await room.writer.operate("registry.name-upload", { ...claimed, digest });
    await leasesOver();
    await collect();
    expect(await lying(digest)).toEqual([0]);
    await room.writer.operate("registry.drop-upload", claimed);
    await collect();
    expect(await lying(digest)).toEqual([]);
  });
});

describe("bytes that come back", () => {
  it("lie in another generation, which no removal of the last one hits, however late it is", async () => {
    const removals: (() => Promise<void>)[] = [];
    // A host that is stopped between its transaction and its removal.
    const stopped: BlobStore = Object.assign(Object.create(room.blobs) as BlobStore, {
      entries: (after?: Digest) => room.blobs.entries(after),
      remove: async (digest: Digest, generation: number) => {
        removals.push(() => room.blobs.remove(digest, generation));
      },
    });
    const image = await garbage("acme/back", "a layer that comes back");
    await collect({ blobs: stopped });
    expect(removals.length).toBeGreaterThan(1);
    const again = await room.pushImage("acme/back", "here", "a layer that comes back");
    expect(again.digest).toBe(image.digest);
    expect(await lying(image.digest)).toEqual([0, 1]);
    for (const removal of removals) await removal();
    expect(await lying(image.digest)).toEqual([1]);
    expect(await lying(image.layer)).toEqual([1]);
    expect((await room.call("GET", `/v2/acme/back/blobs/${image.layer}`)).text).toBe("a layer that comes back");
    expect((await room.call("GET", "/v2/acme/back/manifests/here")).text).toBe(image.bytes);
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 0 });
  });

  it("count only where they are named in the generation they were put into: what was slower is refused and put again", async () => {
    const bytes = Buffer.from("bytes that nobody named in time");
    const actor = { org: SYSTEM_ORG, actor: ADMIN };
    const slow = await store(room, actor, bytes);
    const digest = sha256(bytes) as Digest;
    await collect();
    expect(await lying(digest)).toEqual([]);
    const refused = await room.writer.append(slow);
    expect(refused).toMatchObject({ ok: false, refusal: { code: "blob-collected", status: 503 } });
    expect((await room.writer.append(await store(room, actor, bytes))).ok).toBe(true);
    expect(await lying(digest)).toEqual([1]);
  });

  it("are removed from an ended generation when whoever collected them died first, or somebody was too late to put them", async () => {
    const image = await garbage("acme/dead", "a layer of the dead");
    const died: BlobStore = Object.assign(Object.create(room.blobs) as BlobStore, {
      entries: (after?: Digest) => room.blobs.entries(after),
      remove: () => Promise.reject(new Error("killed")),
    });
    await expect(collect({ blobs: died })).rejects.toThrow("killed");
    expect(await lying(image.digest)).toEqual([0]);
    expect(await generationOf(room.reader, image.digest as Digest)).toBe(1);
    const events = await collectionEvents();
    // The run that was interrupted goes on, and finds what it left.
    await collect();
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 0 });
    expect(await lying(image.digest)).toEqual([]);
    await room.blobs.putSmall(Buffer.from(image.bytes), 0);
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 1 });
    expect(await lying(image.digest)).toEqual([]);
    expect(await collectionEvents()).toBe(events);
  });

  it("stay where they are, in an ended generation, when they are all that a restored record has", async () => {
    await garbage("acme/restored", "a layer out of a backup");
    await collect();
    const image = await room.pushImage("acme/restored", "1", "a layer out of a backup");
    for (const { digest, content } of [
      { digest: image.digest, content: image.bytes },
      { digest: image.layer, content: "a layer out of a backup" },
    ]) {
      await room.blobs.putSmall(Buffer.from(content), 0);
      await room.blobs.remove(digest as Digest, 1);
    }
    await leasesOver();
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 0 });
    expect((await room.call("GET", `/v2/acme/restored/blobs/${image.layer}`)).text).toBe("a layer out of a backup");
    // Pushed again, they are where they count, and the others go.
    await room.pushImage("acme/restored", "2", "a layer out of a backup");
    expect((await collect()).leftovers).toBe(2);
    expect(await lying(image.layer)).toEqual([1]);
  });
});

describe("a run", () => {
  it("does what a preview said, also of bytes that are ahead of the record", async () => {
    const bytes = Buffer.from("from a store that went on beside an older record");
    await leasesOver();
    await collect();
    await room.blobs.putSmall(bytes, 3);
    const expected = { collected: 1, collectedBytes: bytes.length, leftovers: 0 };
    expect(await collect({ mode: "preview" })).toMatchObject(expected);
    expect(await collect()).toMatchObject(expected);
    expect(await lying(sha256(bytes))).toEqual([]);
  });

  it("that is done stays done, whoever slept meanwhile and goes on with it", async () => {
    const { id } = (await room.writer.operate("collection.begin", {})) as { id: number };
    const counts = {
      after: null,
      looked: 5,
      lookedBytes: 5,
      collected: 0,
      collectedBytes: 0,
      leftovers: 0,
      leftoverBytes: 0,
    };
    await room.writer.operate("collection.progress", { id, done: true, ...counts });
    await room.writer.operate("collection.progress", { id, done: false, ...counts, looked: 3 });
    expect(await findRun(room.reader, id)).toMatchObject({ state: "done", looked: 5 });
  });

  it("that cannot remove one blob removes the others, and says so at its end", async () => {
    const images = [await garbage("acme/stuck", "a layer that sticks"), await garbage("acme/stuck", "another")];
    const [stuck] = images.flatMap(({ digest, layer }) => [digest, layer]).toSorted();
    const refusing: BlobStore = Object.assign(Object.create(room.blobs) as BlobStore, {
      entries: (after?: Digest) => room.blobs.entries(after),
      remove: async (digest: Digest, generation: number) => {
        if (digest === stuck) throw Object.assign(new Error("it is locked"), { code: "EPERM" });
        await room.blobs.remove(digest, generation);
      },
    });
    await expect(collect({ blobs: refusing })).rejects.toThrow(
      "1 collected blobs could not be removed; the first: it is locked",
    );
    for (const { digest, layer } of images) {
      for (const one of [digest, layer]) expect(await lying(one)).toEqual(one === stuck ? [0] : []);
    }
    expect(await collect()).toMatchObject({ collected: 0, leftovers: 1 });
    expect(await lying(stuck ?? "")).toEqual([]);
  });
});

async function collectionEvents(): Promise<number> {
  const rows = await room.reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("sequence")
    .where("type", "=", "collection.blobs-collected")
    .execute();
  return rows.length;
}

describe("what was deleted and collected since", () => {
  it("does not come back, also where somebody pushed the same bytes again", async () => {
    const image = await garbage("acme/final", "a layer of what is final");
    const tables = room.reader.tables<RegistryTables>();
    const deletions = await tables
      .selectFrom("deletion")
      .select("sequence")
      .where("digest", "=", image.digest)
      .execute();
    await collect();
    await room.pushImage("acme/elsewhere", "1", "a layer of what is final");
    const restored = await room.writer.append({
      type: "registry.restore",
      org: "acme",
      actor: ADMIN,
      body: { deletion: deletions[0]?.sequence ?? -1, graceMs: HOUR },
    });
    expect(restored).toMatchObject({ ok: false, refusal: { code: "deletion-final" } });
  });

  it("comes back whole when a run with a time of grace passed over it", async () => {
    const image = await garbage("acme/returns", "a layer that returns");
    const tables = room.reader.tables<RegistryTables>();
    const deletions = await tables
      .selectFrom("deletion")
      .select("sequence")
      .where("digest", "=", image.digest)
      .execute();
    await collect({ graceMs: HOUR });
    const body = { deletion: deletions[0]?.sequence ?? -1, graceMs: HOUR };
    const restored = await room.writer.append({ type: "registry.restore", org: "acme", actor: ADMIN, body });
    expect(restored).toMatchObject({ ok: true });
    // The rows of before have ended, and those that go on hold the bytes.
    await collect();
    expect(await lying(image.digest)).toEqual([0]);
    expect(await lying(image.layer)).toEqual([0]);
  });
});

describe("an upload that comes whole", () => {
  const place = { owner: ADMIN.id, repository: "acme/whole" };
  const session = { ...place, id: openSession(place, Date.now()), org: "acme", now: Date.now() };
  const name = (digest: string) => room.writer.operate("registry.name-whole", { ...session, digest });
  const finish = (digest: string, generation: number) =>
    room.writer.operate("registry.finish-whole", {
      ...session,
      digest,
      generation,
      sha512: null,
      size: 3,
      leaseMs: LEASE_MS,
    });

  it("keeps its bytes from when it names them, and ends only in the generation they were put into", async () => {
    const bytes = Buffer.from("all of it");
    const digest = sha256(bytes);
    expect(await name(digest)).toEqual({ state: "named", generation: 0 });
    await room.blobs.putSmall(bytes, 0);
    await collect();
    expect(await lying(digest)).toEqual([0]);
    // Another request has the session name something else for a while, and then the same again.
    await name(sha256("something else"));
    await collect();
    expect(await lying(digest)).toEqual([]);
    expect(await finish(digest, 0)).toEqual({ state: "collected" });
    expect(await name(digest)).toEqual({ state: "named", generation: 1 });
    expect(await finish(digest, 0)).toEqual({ state: "collected" });
    await room.blobs.putSmall(bytes, 1);
    expect(await finish(digest, 1)).toMatchObject({ state: "finished" });
    await collect();
    expect(await lying(digest)).toEqual([1]);
  });
});

describe("a blob that comes whole while garbage is collected", () => {
  it.each(["POST", "PUT"])("by %s is put again when its bytes were collected before they were named", async (style) => {
    const bytes = Buffer.from(`collected in the middle of a ${style}`);
    const digest = sha256(bytes);
    const path = "/v2/acme/middle/blobs/uploads/";
    const location = style === "POST" ? path : ((await room.call("POST", path)).headers["location"] ?? "");
    meanwhile = async () => {
      meanwhile = undefined;
      expect(await lying(digest)).toEqual([0]);
      await collect();
      expect(await lying(digest)).toEqual([]);
    };
    expect((await room.call(style, `${location}?digest=${digest}`, { body: bytes })).status).toBe(201);
    expect(meanwhile).toBeUndefined();
    expect(await lying(digest)).toEqual([1]);
    expect((await room.call("GET", `/v2/acme/middle/blobs/${digest}`)).text).toBe(bytes.toString());
  });
});

describe("the record", () => {
  it("names what was collected, by nobody but the server itself", async () => {
    const image = await garbage("acme/named", "a layer that is named");
    await collect();
    const row = await room.reader
      .tables<CollectionTables>()
      .selectFrom("collected_blob")
      .selectAll()
      .where("digest", "=", image.digest)
      .executeTakeFirst();
    expect(row).toMatchObject({ generation: 1, size: image.bytes.length });
    const asked = await room.writer.append({
      type: "collection.collect",
      org: SYSTEM_ORG,
      actor: ADMIN,
      body: { blobs: [{ digest: image.digest, size: 1, generation: 1 }], graceMs: 0, requestedBy: null },
    });
    expect(asked).toMatchObject({ ok: false, refusal: { code: "forbidden" } });
  });

  it("is checked, backed up and restored without what was collected, and with what came back", async () => {
    const instance = await startInstance();
    try {
      const place = { ...(await placeOf(instance.dataDirectory)), s3: s3Of(instance.dataDirectory) };
      const layer = Buffer.from("a layer that came back");
      const image = await pushImage(instance.url, "default/app", "back-dev", layer);
      const other = await pushImage(instance.url, "default/app", "away-dev", Buffer.from("a layer that went"));
      for (const { manifest } of [image, other]) {
        const url = `${instance.url}/v2/default/app/manifests/${manifest}`;
        const headers = { authorization: `Bearer ${instance.adminToken}` };
        expect((await fetch(url, { method: "DELETE", headers })).status).toBe(202);
        for (const blob of [image.layer, other.layer]) {
          await fetch(`${instance.url}/v2/default/app/blobs/${blob}`, { method: "DELETE", headers });
        }
      }
      const parts = composeParts();
      const { id } = (await instance.record.operate("collection.begin", {})) as { id: number };
      const run = await findRun(instance.reader, id);
      if (run === undefined) throw new Error("no run");
      const opened = await openStore(instance.dataDirectory);
      const { record, reader } = instance;
      const keeps = (...asked: Parameters<typeof parts.keeps>): Promise<Set<string>> => parts.keeps(...asked);
      await runCollection({ record, reader, blobs: opened.blobs, keeps, graceMs: 0 }, run);
      await opened.close();
      await pushImage(instance.url, "default/app", "back-dev", layer);
      await instance.published();
      expect((await checkDirectory({ ...place, tell: quiet })).findings).toEqual([]);
      const archive = `${scratch}/collected.tar`;
      await backUp({ ...place, to: archive, tell: quiet });
      await instance.halt();
      const restored = await emptyPlace(place);
      await restore({ ...restored, archives: [archive], decryption: {}, tell: quiet });
      expect((await checkDirectory({ ...restored, tell: quiet })).findings).toEqual([]);
      const after = openReader(restored);
      const rows = await after.tables<CollectionTables>().selectFrom("collected_blob").select("digest").execute();
      await after.close();
      expect(rows.map(({ digest }) => digest)).toContain(other.layer);
    } finally {
      await instance.stop().catch(() => undefined);
    }
  });
});
