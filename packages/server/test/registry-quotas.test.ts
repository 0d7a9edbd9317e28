/** Quotas: how much a repository, and an organisation with all of its repositories, may hold. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecordTables } from "../src/record/schema.ts";
import { SettledRecord } from "../src/record/settled.ts";
import { quotasOver } from "../src/registry/quota-queries.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import { openSession } from "../src/registry/session-name.ts";
import { openRoom, replayDifferences, type Room } from "./evidence-room.ts";
import { ADMIN_BASIC, pushBlob, pushImage, sha256, sha512 } from "./pushing.ts";

const KIB = 1024;

let room: Room;
/** Admin of acme, who does not run the server; member of acme; admin elsewhere. */
let alice: string;
let mia: string;
let zoe: string;

interface Shown {
  readonly bytes: number | null;
  readonly used: number;
  readonly leased: number;
  readonly refusedAt: number | null;
}

async function quota(
  method: "GET" | "PUT" | "DELETE",
  of: string,
  bytes?: number | null,
  token?: string,
): Promise<{ status: number; code: string | undefined; quota: Shown | null }> {
  const [org, ...rest] = of.split("/");
  const place = rest.length === 0 ? "" : `/repositories/${encodeURIComponent(rest.join("/"))}`;
  const path = `/api/assay/v1/orgs/${org}${place}/quota`;
  const answer = await room.instance.api(method, path, bytes === undefined ? undefined : { bytes }, token);
  const body = answer.body as { quota?: Shown | null; error?: { code: string } };
  return { status: answer.status, code: body.error?.code, quota: body.quota ?? null };
}

const used = async (of: string): Promise<number | undefined> => (await quota("GET", of)).quota?.used;

async function registry(method: string, path: string, body?: Uint8Array | string, type?: string): Promise<Response> {
  const headers = { authorization: ADMIN_BASIC, ...(type === undefined ? {} : { "content-type": type }) };
  return await fetch(`${room.instance.url}/v2/${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : new Uint8Array(body) }),
  });
}

const OCTETS = "application/octet-stream";

const upload = (repository: string, bytes: Uint8Array, name = sha256(bytes)): Promise<Response> =>
  registry("POST", `${repository}/blobs/uploads/?digest=${name}`, bytes, OCTETS);

/** Opens a session, and ends it with all of the bytes. */
async function uploadIn(repository: string, bytes: Uint8Array, name = sha256(bytes)): Promise<Response> {
  const opened = await registry("POST", `${repository}/blobs/uploads/`);
  if (opened.status !== 202) return opened;
  const place = new URL(opened.headers.get("location") ?? "").pathname.replace(/^\/v2\//, "");
  return await registry("PUT", `${place}?digest=${name}`, bytes, OCTETS);
}

/** In one request that does not say how long it is. */
async function streamed(repository: string, bytes: Uint8Array): Promise<Response> {
  return await fetch(`${room.instance.url}/v2/${repository}/blobs/uploads/?digest=${sha256(bytes)}`, {
    method: "POST",
    headers: { authorization: ADMIN_BASIC, "content-type": OCTETS },
    body: new Blob([new Uint8Array(bytes)]).stream(),
    duplex: "half",
  });
}

async function sessionsIn(repository: string): Promise<{ owner: string; digest: string | null }[]> {
  return await room.instance.reader
    .tables<RegistryTables>()
    .selectFrom("upload")
    .select(["owner", "offset", "claim", "digest"])
    .where("repository", "=", repository)
    .execute();
}

/** What keeps blobs in a repository though no manifest there names them: leases, and sessions that name what they are about to be. */
async function linksIn(repository: string): Promise<{ leases: number; naming: number }> {
  const leases = await room.instance.reader
    .tables<RegistryTables>()
    .selectFrom("blob_lease")
    .select("digest")
    .where("repository", "=", repository)
    .execute();
  const naming = (await sessionsIn(repository)).filter(({ digest }) => digest !== null);
  return { leases: leases.length, naming: naming.length };
}

/** Status and OCI code, or the status alone. */
async function answerOf(response: Promise<Response>): Promise<string> {
  const answer = await response;
  const text = await answer.text();
  if (answer.status < 400) return String(answer.status);
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
  return `${answer.status} ${errors[0]?.code}`;
}

/** What a scope holds, counted from all that stands in it. */
async function counted(of: string): Promise<number> {
  const tables = room.instance.reader.tables<RegistryTables>();
  const column = of.includes("/") ? "repository" : "org";
  const manifests = await tables
    .selectFrom("manifest")
    .select(["digest", "size"])
    .where(column, "=", of)
    .where("to_seq", "is", null)
    .execute();
  const held = await tables
    .selectFrom("manifest_reference")
    .select(["digest", "size"])
    .where(column, "=", of)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .execute();
  const sizes = new Map([...manifests, ...held].map(({ digest, size }) => [digest, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

async function eventsOf(type: string): Promise<Record<string, unknown>[]> {
  const rows = await room.instance.reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("bytes")
    .where("type", "=", type)
    .orderBy("sequence")
    .execute();
  return rows.map(({ bytes }) => (JSON.parse(Buffer.from(bytes).toString()) as { body: Record<string, unknown> }).body);
}

beforeAll(async () => {
  room = await openRoom();
  alice = (await room.person("alice", "acme", "admin")).token;
  mia = (await room.person("mia", "acme", "member")).token;
  zoe = (await room.person("zoe", "rival", "admin")).token;
});
afterAll(() => room.stop());

describe("a quota", () => {
  it("is set for a repository by its organisation's admins, and for an organisation by whoever runs the server", async () => {
    expect(await quota("PUT", "acme/asked", KIB, mia)).toMatchObject({ status: 403, code: "forbidden" });
    expect(await quota("PUT", "acme/asked", KIB, zoe)).toMatchObject({ status: 404, code: "org-unknown" });
    expect(await quota("PUT", "acme", KIB, alice)).toMatchObject({ status: 403, code: "forbidden" });
    expect(await quota("DELETE", "acme", undefined, alice)).toMatchObject({ status: 403, code: "forbidden" });
    expect(await quota("PUT", "acme/asked", -1, alice)).toMatchObject({ status: 400 });
    expect(await quota("GET", "acme/asked", undefined, zoe)).toMatchObject({ status: 404, code: "org-unknown" });
    expect((await quota("GET", "acme/asked")).quota).toBeNull();
    const set = await quota("PUT", "acme/asked", KIB, alice);
    expect(set).toMatchObject({ status: 200, quota: { bytes: KIB, used: 0, leased: 0 } });
    expect((await quota("GET", "acme/asked", undefined, mia)).quota).toMatchObject({ bytes: KIB });
    const before = (await eventsOf("registry.quota-set")).length;
    await quota("PUT", "acme/asked", KIB, alice);
    expect((await eventsOf("registry.quota-set")).length).toBe(before);
    const listed = await room.instance.api("GET", "/api/assay/v1/orgs/acme/quotas", undefined, alice);
    expect(listed.body).toMatchObject({ items: [{ repository: "acme/asked", bytes: KIB, used: 0 }], next: null });
    expect((await quota("DELETE", "acme/asked", undefined, alice)).quota).toBeNull();
  });

  it("counts what is there from the start, each digest once, and refuses nothing where it is unlimited", async () => {
    const layer = randomBytes(3000);
    await pushImage(room.instance.url, "acme/counted", "a", layer);
    await pushImage(room.instance.url, "acme/counted", "b", layer);
    await pushImage(room.instance.url, "acme/counted", "c", randomBytes(2000));
    await quota("PUT", "acme/counted", null);
    expect(await used("acme/counted")).toBe(await counted("acme/counted"));
    await pushImage(room.instance.url, "acme/counted", "d", randomBytes(500_000));
    expect(await used("acme/counted")).toBe(await counted("acme/counted"));
    expect(await used("acme/counted")).toBeGreaterThan(505_000);
  });

  it("refuses a blob for which there is no room, in every way of pushing one, and says why", async () => {
    await quota("PUT", "acme/small", 10 * KIB);
    const tooLarge = randomBytes(11 * KIB);
    const refused = await upload("acme/small", tooLarge);
    expect(refused.status).toBe(403);
    const { errors } = (await refused.json()) as { errors: { code: string; message: string; detail: unknown }[] };
    expect(errors[0]?.message).toContain("the quota of acme/small is 10 KiB, of which 0 B are used");
    expect(errors[0]).toMatchObject({
      code: "DENIED",
      detail: { scope: "acme/small", bytes: 10 * KIB, used: 0, needed: 11 * KIB },
    });
    const opened = await registry("POST", "acme/small/blobs/uploads/");
    const { pathname, search } = new URL(opened.headers.get("location") ?? "");
    const place = `${pathname}${search}`.replace(/^\/v2\//, "");
    const whole = `${place}${search === "" ? "?" : "&"}digest=${sha256(tooLarge)}`;
    expect(await answerOf(registry("PUT", whole, tooLarge, "application/octet-stream"))).toBe("403 DENIED");
    const again = await registry("POST", "acme/small/blobs/uploads/");
    const chunked = new URL(again.headers.get("location") ?? "").pathname.replace(/^\/v2\//, "");
    for (const part of [tooLarge.subarray(0, 6 * KIB), tooLarge.subarray(6 * KIB)]) {
      expect(await answerOf(registry("PATCH", chunked, part, "application/octet-stream"))).toBe("202");
    }
    expect(await answerOf(registry("PUT", `${chunked}?digest=${sha256(tooLarge)}`))).toBe("403 DENIED");
    // Nothing of it stays: not the session, and not the blob.
    expect(await answerOf(registry("GET", chunked))).toBe("404 BLOB_UPLOAD_UNKNOWN");
    expect((await registry("HEAD", `acme/small/blobs/${sha256(tooLarge)}`)).status).toBe(404);
    // What a session was opened for stays open: there may be room later.
    expect(await answerOf(registry("GET", place))).toBe("204");
    const staged = randomBytes(2 * KIB * KIB);
    expect(await answerOf(upload("acme/small", staged))).toBe("403 DENIED");
    expect(await answerOf(streamed("acme/small", staged))).toBe("403 DENIED");
    expect(await answerOf(uploadIn("acme/small", staged))).toBe("403 DENIED");
    expect((await registry("HEAD", `acme/small/blobs/${sha256(staged)}`)).status).toBe(404);
    expect(await linksIn("acme/small")).toEqual({ leases: 0, naming: 0 });
    const layer = await pushBlob(room.instance.url, "acme/large", tooLarge);
    const mount = `acme/small/blobs/uploads/?mount=${layer}&from=acme/large`;
    expect(await answerOf(registry("POST", mount))).toBe("403 DENIED");
    expect((await registry("HEAD", `acme/small/blobs/${layer}`)).status).toBe(404);
  });

  it("counts blobs that no manifest names yet, so that a store is not filled with them", async () => {
    await quota("PUT", "acme/staged", 10 * KIB);
    const first = randomBytes(6 * KIB);
    expect(await answerOf(upload("acme/staged", first))).toBe("201");
    expect((await quota("GET", "acme/staged")).quota).toMatchObject({ used: 0, leased: 6 * KIB });
    expect(await answerOf(upload("acme/staged", randomBytes(6 * KIB)))).toBe("403 DENIED");
    // What lies there already needs no room, and what a manifest comes to name is counted once.
    expect(await answerOf(upload("acme/staged", first))).toBe("201");
    await pushImage(room.instance.url, "acme/staged", "a", first);
    const { quota: after } = await quota("GET", "acme/staged");
    expect(after).toMatchObject({ used: await counted("acme/staged"), leased: 0 });
    expect(await answerOf(registry("DELETE", `acme/staged/blobs/${sha256(randomBytes(1))}`))).toBe("404 BLOB_UNKNOWN");
  });

  it("of the organisation holds across its repositories, where what two of them hold counts once", async () => {
    await room.call("POST", "/orgs", { name: "small" });
    await quota("PUT", "small", 20 * KIB);
    const layer = randomBytes(12 * KIB);
    await pushImage(room.instance.url, "small/one", "a", layer);
    await pushImage(room.instance.url, "small/two", "a", layer);
    expect(await used("small")).toBe(await counted("small"));
    expect(await answerOf(upload("small/three", randomBytes(12 * KIB)))).toBe("403 DENIED");
    // Another organisation is none of it.
    expect(await answerOf(upload("acme/elsewhere", randomBytes(12 * KIB)))).toBe("201");
  });

  it("refuses a manifest that would hold more by what it names, and takes it where all of it is there", async () => {
    const layer = randomBytes(8 * KIB);
    const { manifest } = await pushImage(room.instance.url, "acme/late", "a", layer);
    const text = await (await registry("GET", `acme/late/manifests/${manifest}`)).text();
    const type = "application/vnd.oci.image.manifest.v1+json";
    await registry("DELETE", `acme/late/manifests/${manifest}`);
    await quota("PUT", "acme/late", 4 * KIB);
    expect(await answerOf(registry("PUT", "acme/late/manifests/b", text, type))).toBe("403 DENIED");
    await quota("PUT", "acme/late", 9 * KIB);
    expect(await answerOf(registry("PUT", "acme/late/manifests/b", text, type))).toBe("201");
    // Less is allowed by now than is there: what needs no more room is taken.
    await quota("PUT", "acme/late", 1);
    expect(await answerOf(registry("PUT", "acme/late/manifests/c", text, type))).toBe("201");
    expect(await answerOf(upload("acme/late", randomBytes(10)))).toBe("403 DENIED");
  });

  it.each([
    ["one request", 6 * KIB, upload],
    ["one request, staged", 2 * KIB * KIB, upload],
    ["a session", 6 * KIB, uploadIn],
    ["a session, staged", 2 * KIB * KIB, uploadIn],
  ] as const)("of pushes in %s for which there is room once, lets one through", async (way, size, push) => {
    const repository = `acme/race-${way.replaceAll(/[^a-z]+/g, "-")}`;
    await quota("PUT", repository, size + 4 * KIB);
    const answers = await Promise.all(Array.from({ length: 6 }, () => answerOf(push(repository, randomBytes(size)))));
    expect(answers.toSorted()).toEqual(["201", ...Array<string>(5).fill("403 DENIED")]);
    expect((await quota("GET", repository)).quota).toMatchObject({ used: 0, leased: size });
    expect(await linksIn(repository)).toEqual({ leases: 1, naming: 0 });
  });

  it("is asked again where it counts, and what it refuses then changes nothing", async () => {
    const { record } = room.instance;
    const place = { org: "acme", repository: "acme/again" };
    await quota("PUT", place.repository, 10 * KIB);
    const bytes = { digest: sha256("eleven"), generation: 0, sha512: null, size: 11 * KIB, leaseMs: 60_000 };
    const refused = { state: "full", refusal: { code: "quota-exceeded", detail: { used: 0, needed: 11 * KIB } } };
    expect(await record.operate("registry.take-blob", { ...place, ...bytes })).toMatchObject(refused);
    const owner = "admin";
    const session = { ...place, owner, now: Date.now(), id: openSession({ ...place, owner }, Date.now()) };
    expect(await record.operate("registry.finish-whole", { ...session, ...bytes })).toMatchObject(refused);
    expect(await sessionsIn(place.repository)).toEqual([]);
    const naming = { ...session, digest: bytes.digest };
    expect(await record.operate("registry.name-whole", naming)).toEqual({ state: "named", generation: 0 });
    expect(await record.operate("registry.finish-whole", { ...session, ...bytes })).toMatchObject(refused);
    // Open, as before; and what there was no room for may be collected.
    expect(await sessionsIn(place.repository)).toMatchObject([{ owner, offset: 0, claim: null, digest: null }]);
    expect(await linksIn(place.repository)).toEqual({ leases: 0, naming: 0 });
    await quota("PUT", place.repository, 12 * KIB);
    expect(await record.operate("registry.finish-whole", { ...session, ...bytes })).toMatchObject({
      state: "finished",
    });
    expect(await linksIn(place.repository)).toEqual({ leases: 1, naming: 0 });
  });

  it("that has ended since somebody asked which hold is none, whoever remembers it", async () => {
    expect((await quota("PUT", "acme/ended", KIB)).status).toBe(200);
    const settled = await new SettledRecord(room.instance.reader).now();
    const place = { org: "acme", repository: "acme/ended" };
    expect((await quotasOver(settled, place)).map(({ scope }) => scope)).toContain("acme/ended");
    await quota("DELETE", "acme/ended");
    expect((await quotasOver(settled, place)).map(({ scope }) => scope)).not.toContain("acme/ended");
  });

  it("takes what is there already by whichever of its names it is pushed", async () => {
    await quota("PUT", "acme/twice", 10 * KIB);
    const bytes = randomBytes(6 * KIB);
    for (const name of [sha512(bytes), sha256(bytes), sha512(bytes)]) {
      expect(await answerOf(upload("acme/twice", bytes, name))).toBe("201");
      expect(await answerOf(uploadIn("acme/twice", bytes, name))).toBe("201");
    }
    expect((await quota("GET", "acme/twice")).quota).toMatchObject({ leased: 6 * KIB });
    expect(await answerOf(upload("acme/twice", randomBytes(6 * KIB)))).toBe("403 DENIED");
  });
});

describe("what is deleted, comes back, is promoted or renamed", () => {
  it("stops counting when it is deleted, and counts again when it comes back, if there is room", async () => {
    await quota("PUT", "acme/back", 10 * KIB);
    const { manifest } = await pushImage(room.instance.url, "acme/back", "a", randomBytes(6 * KIB));
    expect(await answerOf(registry("DELETE", `acme/back/manifests/${manifest}`))).toBe("202");
    const bytes = randomBytes(4 * KIB);
    // The deleted image's layer lies there by its lease still.
    await room.instance.record.operate("registry.release-blob", { repository: "acme/back", digest: sha256(bytes) });
    expect(await used("acme/back")).toBe(0);
    const list = await room.call("GET", "/orgs/acme/deletions");
    const deletion = (list.body as unknown as { items: { sequence: number; repository: string }[] }).items.find(
      ({ repository }) => repository === "acme/back",
    );
    await quota("PUT", "acme/back", 5 * KIB);
    const restore = `/orgs/acme/deletions/${deletion?.sequence}/restore`;
    expect(await room.refusal("POST", restore)).toBe("403 quota-exceeded");
    await quota("PUT", "acme/back", 10 * KIB);
    expect((await room.call("POST", restore)).status).toBeLessThan(300);
    expect(await used("acme/back")).toBe(await counted("acme/back"));
  });

  it("refuses a promotion for which there is no room", async () => {
    const { manifest } = await pushImage(room.instance.url, "acme/source", "a", randomBytes(6 * KIB));
    await quota("PUT", "acme/target", 5 * KIB);
    const body = { from: "acme/source", digest: manifest, repository: "target", tags: ["a"] };
    expect(await room.refusal("POST", "/orgs/acme/promotions", body)).toBe("403 quota-exceeded");
    await quota("PUT", "acme/target", 10 * KIB);
    expect((await room.call("POST", "/orgs/acme/promotions", body)).status).toBe(200);
    expect(await used("acme/target")).toBe(await counted("acme/target"));
  });

  it("goes along with a repository's new name, ends with a deleted one and comes back with it", async () => {
    await quota("PUT", "acme/named", 50 * KIB);
    await pushImage(room.instance.url, "acme/named", "a", randomBytes(6 * KIB));
    expect((await room.call("POST", "/orgs/acme/repositories/named/rename", { to: "renamed" })).status).toBe(200);
    expect((await quota("GET", "acme/renamed")).quota).toMatchObject({ bytes: 50 * KIB });
    expect(await used("acme/renamed")).toBe(await counted("acme/renamed"));
    expect(await quota("PUT", "acme/named", KIB)).toMatchObject({ status: 403, code: "repository-name-held" });
    const gone = await room.call("POST", "/orgs/acme/repositories/renamed/deletions", { whole: true, reason: "moved" });
    expect(gone.status, JSON.stringify(gone.body)).toBeLessThan(300);
    const list = await room.call("GET", "/orgs/acme/deletions");
    const [deletion] = (list.body as unknown as { items: { sequence: number }[] }).items;
    expect((await room.call("POST", `/orgs/acme/deletions/${deletion?.sequence}/restore`)).status).toBeLessThan(300);
    expect((await quota("GET", "acme/renamed")).quota).toMatchObject({ bytes: 50 * KIB });
    expect(await used("acme/renamed")).toBe(await counted("acme/renamed"));
  });

  it("counts the same as the manifests that stand, whatever happens in whatever order", async () => {
    await room.call("POST", "/orgs", { name: "busy" });
    await quota("PUT", "busy", null);
    for (const name of ["a", "b"]) await quota("PUT", `busy/${name}`, null);
    const layers = Array.from({ length: 4 }, (_, index) => randomBytes(100 * (index + 1)));
    const images: { repository: string; manifest: string }[] = [];
    const draw = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;
    for (let step = 0; step < 60; step++) {
      const share = Math.random();
      const repository = `busy/${draw(["a", "b", "c"])}`;
      if (share < 0.5 || images.length === 0) {
        const { manifest } = await pushImage(room.instance.url, repository, `t${step % 7}`, draw(layers));
        images.push({ repository, manifest });
      } else if (share < 0.75) {
        const gone = draw(images);
        await registry("DELETE", `${gone.repository}/manifests/${gone.manifest}`);
      } else if (share < 0.9) {
        const { repository: from, manifest: digest } = draw(images);
        const to = repository.slice("busy/".length);
        await room.call("POST", "/orgs/busy/promotions", { from, digest, repository: to, tags: [] });
      } else {
        const list = await room.call("GET", "/orgs/busy/deletions");
        const { items } = list.body as unknown as { items: { sequence: number }[] };
        if (items.length > 0) await room.call("POST", `/orgs/busy/deletions/${draw(items).sequence}/restore`);
      }
    }
    for (const of of ["busy", "busy/a", "busy/b"]) expect(await used(of), of).toBe(await counted(of));
  });
});

describe("what is on record", () => {
  it("is once that a scope nears its quota, until it is well below it, and once an hour that it was exceeded", async () => {
    await quota("PUT", "acme/told", 100 * KIB);
    const about = async (type: string) => (await eventsOf(type)).filter(({ scope }) => scope === "acme/told");
    await pushImage(room.instance.url, "acme/told", "a", randomBytes(50 * KIB));
    expect(await about("registry.quota-neared")).toEqual([]);
    const { manifest } = await pushImage(room.instance.url, "acme/told", "b", randomBytes(40 * KIB));
    await pushImage(room.instance.url, "acme/told", "c", randomBytes(KIB));
    expect(await about("registry.quota-neared")).toMatchObject([{ scope: "acme/told", bytes: 100 * KIB }]);
    for (let time = 0; time < 3; time++) await upload("acme/told", randomBytes(30 * KIB));
    expect(await about("registry.quota-exceeded")).toMatchObject([
      { scope: "acme/told", repository: "acme/told", bytes: 100 * KIB, needed: 30 * KIB },
    ]);
    expect((await quota("GET", "acme/told")).quota?.refusedAt).not.toBeNull();
    await registry("DELETE", `acme/told/manifests/${manifest}`);
    await room.instance.record.operate("registry.sweep-leases", {});
    await pushImage(room.instance.url, "acme/told", "d", randomBytes(2 * KIB));
    expect(await about("registry.quota-neared")).toHaveLength(1);
  });

  it("makes the same tables when it is replayed", async () => {
    expect(await replayDifferences(room.instance)).toEqual([]);
  });
});
