import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveTag } from "../src/registry/queries.ts";
import { LEASE_MS } from "../src/registry/limits.ts";
import {
  type Answer,
  imageManifest,
  OCI_MANIFEST,
  ociCode,
  openRegistryRoom,
  type RegistryRoom,
  sha256,
} from "./registry-room.ts";

let room: RegistryRoom;

beforeAll(async () => {
  room = await openRegistryRoom(["acme"]);
});

afterAll(async () => {
  await room.stop();
});

/** Distinct manifests over the same blobs. */
async function variants(repository: string, count: number): Promise<string[]> {
  await room.pushBlob(repository, "{}");
  return Array.from({ length: count }, (_, n) => imageManifest("{}", [], { annotations: { n: String(n) } }));
}

function put(repository: string, reference: string, body: string, as?: string): Promise<Answer> {
  return room.call("PUT", `/v2/${repository}/manifests/${reference}`, {
    body,
    headers: { "content-type": OCI_MANIFEST },
    ...(as === undefined ? {} : { as }),
  });
}

describe("release tags", () => {
  test.each(["1.2.3", "v1.2.3-rc.1", "a".repeat(40), "0".repeat(64)])("%s never moves", async (tag) => {
    const [first = "", second = ""] = await variants("acme/release", 2);
    expect((await put("acme/release", tag, first)).status).toBe(201);
    const moved = await put("acme/release", tag, second);
    expect(moved.status).toBe(403);
    expect(ociCode(moved)).toBe("DENIED");
    expect(moved.text).toContain(sha256(first));
    const again = await put("acme/release", tag, first);
    expect(again.status).toBe(201);
    const pulled = await room.call("HEAD", `/v2/acme/release/manifests/${tag}`);
    expect(pulled.headers["docker-content-digest"]).toBe(sha256(first));
  });

  test("one that was deleted returns with its former digest only", async () => {
    const [first = "", second = ""] = await variants("acme/returns", 2);
    await put("acme/returns", "1.0.0", first);
    await room.call("DELETE", "/v2/acme/returns/manifests/1.0.0");
    expect((await put("acme/returns", "1.0.0", second)).status).toBe(403);
    expect((await put("acme/returns", "1.0.0", first)).status).toBe(201);
    // The manifest itself deleted, and with it the tag.
    await room.call("DELETE", `/v2/acme/returns/manifests/${sha256(first)}`);
    expect((await put("acme/returns", "1.0.0", second)).status).toBe(403);
    await room.restart();
    expect((await put("acme/returns", "1.0.0", second)).status).toBe(403);
    await room.pushBlob("acme/returns", "{}");
    expect((await put("acme/returns", "1.0.0", first)).status).toBe(201);
  });

  test("of many pushes racing for one exactly one wins", async () => {
    const contenders = await variants("acme/race", 12);
    for (const tag of ["1.0.0", "1.0.1", "1.0.2"]) {
      const answers = await Promise.all(contenders.map((bytes) => put("acme/race", tag, bytes)));
      expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
      expect(answers.filter((answer) => answer.status === 403)).toHaveLength(contenders.length - 1);
      const winner = answers.findIndex((answer) => answer.status === 201);
      const pulled = await room.call("HEAD", `/v2/acme/race/manifests/${tag}`);
      expect(pulled.headers["docker-content-digest"]).toBe(sha256(contenders[winner] ?? ""));
    }
  });

  test("one refused tag of several sets none", async () => {
    const [first = "", second = ""] = await variants("acme/several", 2);
    await put("acme/several", "2.0.0", first);
    const answer = await room.call("PUT", `/v2/acme/several/manifests/${sha256(second)}?tag=latest&tag=2.0.0`, {
      body: second,
      headers: { "content-type": OCI_MANIFEST },
    });
    expect(answer.status).toBe(403);
    expect((await room.call("GET", "/v2/acme/several/tags/list")).json["tags"]).toEqual(["2.0.0"]);
    expect((await room.call("GET", `/v2/acme/several/manifests/${sha256(second)}`)).status).toBe(404);
  });
});

describe("other tags", () => {
  test.each(["latest", "1.2.3-SNAPSHOT", "1.2.3-dev", `sha256-${"a".repeat(64)}`, `sha256-${"a".repeat(64)}.sig`])(
    "%s moves, and the record keeps what it named before",
    async (tag) => {
      const [first = "", second = ""] = await variants("acme/moves", 2);
      const one = Number((await put("acme/moves", tag, first)).headers["assay-sequence"]);
      const two = Number((await put("acme/moves", tag, second)).headers["assay-sequence"]);
      expect(two).toBeGreaterThan(one);
      const digestAsOf = async (asOf?: number): Promise<string | undefined> =>
        (await resolveTag(room.reader, "acme/moves", tag, asOf))?.digest;
      expect(await digestAsOf()).toBe(sha256(second));
      expect(await digestAsOf(one)).toBe(sha256(first));
      expect(await digestAsOf(two - 1)).toBe(sha256(first));
      expect(await digestAsOf(two)).toBe(sha256(second));
      expect(await digestAsOf(one - 1)).toBeUndefined();
      // What it named is still there by digest.
      expect((await room.call("HEAD", `/v2/acme/moves/manifests/${sha256(first)}`)).status).toBe(200);
    },
  );

  test("evidence tags are set by who may write evidence, and not by a reader", async () => {
    const [first = ""] = await variants("acme/evidence", 1);
    const reader = await room.person("rita", { acme: "reader" });
    const member = await room.person("max", { acme: "member" });
    const tag = `sha256-${"b".repeat(64)}.sig`;
    expect((await put("acme/evidence", tag, first, reader)).status).toBe(403);
    expect((await put("acme/evidence", tag, first, member)).status).toBe(201);
  });
});

describe("leases", () => {
  test("end, and are renewed by HEAD of who may push", async () => {
    const digest = await room.pushBlob("acme/lease", "leased");
    const reader = await room.person("lea", { acme: "reader" });
    const path = `/v2/acme/lease/blobs/${digest}`;
    room.clock.now = Date.now() + LEASE_MS + 60_000;
    expect((await room.call("HEAD", path)).status).toBe(404);
    room.clock.now = Date.now() + LEASE_MS * 0.75;
    expect((await room.call("HEAD", path, { as: reader })).status).toBe(200);
    const ends = async (): Promise<number> =>
      (
        await room.reader
          .tables<{ blob_lease: { digest: string; expires: number } }>()
          .selectFrom("blob_lease")
          .select("expires")
          .where("digest", "=", digest)
          .executeTakeFirstOrThrow()
      ).expires;
    const before = await ends();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await room.call("HEAD", path)).status).toBe(200);
    expect(await ends()).toBeGreaterThan(before);
    room.clock.now = undefined;
  });

  test("that end while HEAD looks are answered 404: whoever heard 200 would not bring the blob", async () => {
    let meanwhile = async (): Promise<void> => undefined;
    const other = await openRegistryRoom(["acme"], {
      record: (record) => ({
        append: (commands) => record.append(commands),
        async operate(type, body) {
          if (type === "registry.renew-lease") await meanwhile();
          return await record.operate(type, body);
        },
      }),
    });
    const digest = await other.pushBlob("acme/lease", "leased");
    const path = `/v2/acme/lease/blobs/${digest}`;
    other.clock.now = Date.now() + LEASE_MS * 0.75;
    expect((await other.call("HEAD", path)).status).toBe(200);
    meanwhile = async () => {
      await other.writer.operate("registry.release-blob", { repository: "acme/lease", digest });
    };
    other.clock.now = Date.now() + LEASE_MS * 0.75;
    expect((await other.call("HEAD", path)).status).toBe(404);
    await other.stop();
  });

  test("a blob a manifest names is seen without one", async () => {
    const image = await room.pushImage("acme/lease-2", "latest");
    room.clock.now = Date.now() + LEASE_MS + 60_000;
    expect((await room.call("GET", `/v2/acme/lease-2/blobs/${image.layer}`)).status).toBe(200);
    room.clock.now = undefined;
  });
});
