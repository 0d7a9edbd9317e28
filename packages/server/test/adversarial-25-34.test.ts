/**
 * The registry's part of the adversarial list (evidence and policy, "Adversarial test list", 25 to 34), each case by its number, over HTTP
 * against a whole server.
 *
 * Case 30 (credentials sent to a foreign realm) is a mirror's, and is tested with mirrors.
 */
import { readdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { type Digest, LIMITS } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Actor, Command } from "../src/record/command.ts";
import { attest } from "./evidence-room.ts";
import { BUNDLE_TYPE, type Described, EMPTY_TYPE, type GatedRoom, ociError, openGatedRoom } from "./gated-room.ts";
import { sha256 } from "./pushing.ts";
import { imageManifest, OCI_MANIFEST } from "./registry-room.ts";

let room: GatedRoom;

beforeAll(async () => {
  room = await openGatedRoom();
});
afterAll(() => room.stop());

const statusOf = async (...asked: Parameters<GatedRoom["pull"]>): Promise<number> => (await room.pull(...asked)).status;

describe("25: another digest on the second fetch", () => {
  it("is impossible by digest: what is sent is always what the digest names, and a tag names it in the same answer", async () => {
    const first = await room.pushImage("acme/twice", "1.2.3-dev", "first");
    const second = await room.pushImage("acme/twice", "other", "second");
    for (let turn = 0; turn < 5; turn += 1) {
      const to = turn % 2 === 0 ? "second" : "first";
      const [byDigest, byTag] = await Promise.all([
        room.pull(`acme/twice/manifests/${first.digest}`),
        room.pull("acme/twice/manifests/1.2.3-dev"),
        room.pushImage("acme/twice", "1.2.3-dev", to),
      ]);
      expect(sha256(byDigest.bytes)).toBe(first.digest);
      expect(byTag.headers["docker-content-digest"]).toBe(sha256(byTag.bytes));
      expect(byTag.headers["etag"]).toBe(`"${sha256(byTag.bytes)}"`);
      expect([first.digest, second.digest]).toContain(sha256(byTag.bytes));
    }
  });

  it("cannot be pushed: bytes under a digest that is not theirs are refused", async () => {
    const image = await room.pushImage("acme/twice", "first", "first");
    const other = imageManifest("{}", ["first"], { annotations: { other: "yes" } });
    const headers = { "content-type": OCI_MANIFEST };
    const put = await room.pull(`acme/twice/manifests/${image.digest}`, {
      as: room.admin,
      method: "PUT",
      body: other,
      headers,
    });
    expect(ociError(put).code).toBe("DIGEST_INVALID");
    const blob = await room.pull(`acme/twice/blobs/uploads/?digest=${image.layer}`, {
      as: room.admin,
      method: "POST",
      body: "not the first",
    });
    expect([put.status, blob.status]).toEqual([400, 400]);
    expect((await room.pull(`acme/twice/blobs/${image.layer}`)).text).toBe("first");
  });
});

describe("26: the tag moves between verification and use", () => {
  it("never gets what was not judged: the tag's digest of the moment is judged and sent, and a stale ETag brings no 304", async () => {
    const good = await room.pushImage("acme/moves", "edge", "good");
    await room.sign(good.digest);
    await room.gate("acme/moves");
    const seen = await room.pull("acme/moves/manifests/edge");
    expect(sha256(seen.bytes)).toBe(good.digest);
    await room.pushImage("acme/moves", "edge", "evil");
    for (const headers of [{}, { "if-none-match": `"${good.digest}"` }, { "if-none-match": "*" }]) {
      expect(await statusOf("acme/moves/manifests/edge", { headers })).toBe(403);
    }
    expect(sha256((await room.pull(`acme/moves/manifests/${good.digest}`)).bytes)).toBe(good.digest);
  });

  it("while pulls run: each answer is a whole allowed image or a refusal", async () => {
    const good = await room.pushImage("acme/race", "edge", "good");
    await room.sign(good.digest);
    await room.gate("acme/race");
    const moving = (async () => {
      for (let turn = 0; turn < 10; turn += 1)
        await room.pushImage("acme/race", "edge", turn % 2 === 0 ? "evil" : "good");
    })();
    const pulling = Array.from({ length: 4 }, async () => {
      for (let pull = 0; pull < 20; pull += 1) {
        const answer = await room.pull("acme/race/manifests/edge");
        expect(answer.status === 200 ? sha256(answer.bytes) : answer.status).toSatisfy(
          (got) => got === good.digest || got === 403,
        );
      }
    });
    await Promise.all([moving, ...pulling]);
  });
});

describe("27: the index passes, a platform's manifest does not; and the reverse", () => {
  async function twoPlatforms(
    repository: string,
  ): Promise<{ index: Described; arm: Digest; amd: Digest; layer: Digest }> {
    const arm = await room.pushImage(repository, "", `${repository} arm`);
    const amd = await room.pushImage(repository, "", `${repository} amd`);
    const index = await room.pushIndex(repository, "1.0.0", [arm, amd]);
    return { index, arm: arm.digest, amd: amd.digest, layer: amd.layer };
  }

  it("by default each is judged by its own digest", async () => {
    const { index, arm, amd, layer } = await twoPlatforms("acme/multi");
    await room.gate("acme/multi");
    await room.sign(index.digest, arm);
    expect(await statusOf("acme/multi/manifests/1.0.0")).toBe(200);
    expect(await statusOf(`acme/multi/manifests/${arm}`)).toBe(200);
    const refused = await room.pull(`acme/multi/manifests/${amd}`);
    expect(refused.status).toBe(403);
    expect(ociError(refused).detail).toMatchObject({ artifact: amd });
    expect(await statusOf(`acme/multi/blobs/${layer}`)).toBe(403);
  });

  it("a platform's manifest that is allowed says nothing about the index", async () => {
    const { arm, amd } = await twoPlatforms("acme/reverse");
    await room.gate("acme/reverse", "release", "index");
    await room.sign(arm, amd);
    expect(await statusOf("acme/reverse/manifests/1.0.0")).toBe(403);
    expect(await statusOf(`acme/reverse/manifests/${arm}`)).toBe(200);
  });

  it("where the gate says so, a platform is allowed with an index of its repository that lists it, and no longer than that", async () => {
    const { index, arm, layer } = await twoPlatforms("acme/with");
    const outer = await room.pushIndex("acme/with", "outer", [index]);
    await room.gate("acme/with", "release", "index");
    const alone = await room.pushImage("acme/with", "alone", "alone");
    expect(await statusOf(`acme/with/manifests/${arm}`)).toBe(403);
    await room.sign(outer.digest);
    expect(await statusOf(`acme/with/manifests/${index.digest}`)).toBe(200);
    expect(await statusOf(`acme/with/manifests/${arm}`)).toBe(200);
    expect(await statusOf(`acme/with/blobs/${layer}`)).toBe(200);
    expect(await statusOf(`acme/with/manifests/${alone.digest}`)).toBe(403);
    expect(await statusOf("acme/with/manifests/outer", { as: room.admin, method: "DELETE" })).toBe(202);
    const deletion = { digest: outer.digest, reason: "built wrong" };
    expect((await room.call("POST", "/orgs/acme/repositories/with/deletions", deletion)).status).toBe(200);
    expect(await statusOf(`acme/with/manifests/${arm}`)).toBe(403);
    expect(await statusOf(`acme/with/blobs/${layer}`)).toBe(403);
  });

  it("an index elsewhere, or one that is not allowed, carries nothing", async () => {
    const { arm } = await twoPlatforms("acme/lonely");
    await room.gate("acme/lonely", "release", "index");
    const copy = await twoPlatforms("acme/elsewhere");
    await room.sign(copy.index.digest);
    expect(await statusOf(`acme/lonely/manifests/${arm}`)).toBe(403);
  });
});

describe("28: 10,000 referrers, a huge attachment, an endless page", () => {
  const REFERRERS = 10_000;

  it("10,000 referrers come in pages that are bounded, repeat nothing and end; a pull is not slowed by judging them", async () => {
    const image = await room.pushImage("acme/many", "1.0.0", "many");
    await room.sign(image.digest);
    await room.gate("acme/many");
    const actor: Actor = { id: "admin", credential: { kind: "admin-token" } };
    for (let from = 0; from < REFERRERS; from += 500) {
      const commands = Array.from({ length: 500 }, (_, at): Command => {
        const digest = sha256(`referrer ${from + at}`);
        const facts = { size: 100, mediaType: OCI_MANIFEST, artifactType: "a/b", subject: image.digest };
        const body = { repository: "acme/many", digest, ...facts, references: [], tags: [] };
        return { type: "registry.put-manifest", org: "acme", actor, body };
      });
      const appended = await room.instance.record.append(commands);
      if (!appended.ok) throw new Error(JSON.stringify(appended.refusal));
    }
    const seen = new Set<string>();
    let path = `acme/many/referrers/${image.digest}`;
    let pages = 0;
    while (path !== "") {
      const page = await room.pull(path);
      expect(page.status).toBe(200);
      expect(page.bytes.length).toBeLessThan(3 * 1024 * 1024);
      const manifests = page.json["manifests"] as { digest: string }[];
      expect(manifests.length).toBeLessThanOrEqual(1000);
      for (const { digest } of manifests) seen.add(digest);
      pages += 1;
      path = /^<\/v2\/([^>]+)>/.exec(page.headers["link"] ?? "")?.[1] ?? "";
    }
    expect(seen.size).toBe(REFERRERS);
    expect(pages).toBeLessThanOrEqual(11);
    expect(await statusOf("acme/many/manifests/1.0.0")).toBe(200);
    expect(await statusOf("acme/many/tags/list?n=99999999999999999999")).toBe(400);
    expect((await room.pull("acme/many/tags/list?n=0")).headers["link"]).toBeUndefined();
  }, 120_000);

  it("an attachment larger than evidence may be is kept, never read, and counts for nothing", async () => {
    const image = await room.pushImage("acme/huge", "1.0.0", "huge");
    await room.gate("acme/huge");
    const bundle = Buffer.from(await attest(room.key, image.digest)).toString("utf8");
    const padded = `${bundle.slice(0, -1)}${" ".repeat(LIMITS.bundleBytes)}}`;
    await room.pushBlob("acme/huge", "{}");
    const layer = await room.pushBlob("acme/huge", padded);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: BUNDLE_TYPE,
      config: { mediaType: EMPTY_TYPE, digest: sha256("{}"), size: 2 },
      layers: [{ mediaType: BUNDLE_TYPE, digest: layer, size: padded.length }],
      subject: { mediaType: OCI_MANIFEST, digest: image.digest, size: image.size },
    });
    await room.pushManifest("acme/huge", sha256(manifest), manifest);
    const { body } = await room.call("GET", `/orgs/acme/attestations/${image.digest}`);
    expect(body.items).toMatchObject([{ form: "unreadable", status: { status: "refused" } }]);
    expect(await statusOf("acme/huge/manifests/1.0.0")).toBe(403);
  });
});

describe("29: bombs and paths in layers", () => {
  it("a layer is bytes: what would unpack to a thousand times its size is stored and served as it came", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const before = process.memoryUsage().rss;
    const digest = sha256(bomb);
    const pushed = await room.pull(`acme/bomb/blobs/uploads/?digest=${digest}`, {
      as: room.member,
      method: "POST",
      body: bomb,
      headers: { "content-encoding": "gzip", "content-type": "application/gzip" },
    });
    expect(pushed.status).toBe(201);
    const headers = { "accept-encoding": "gzip, zstd, br" };
    const pulled = await room.pull(`acme/bomb/blobs/${digest}`, { headers });
    expect(sha256(pulled.bytes)).toBe(digest);
    expect(pulled.headers["content-encoding"]).toBeUndefined();
    expect(pulled.headers["content-type"]).toBe("application/octet-stream");
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
  });

  it("a compressed manifest is refused: nothing is unpacked to be read", async () => {
    const manifest = gzipSync(imageManifest("{}", []));
    const headers = { "content-type": OCI_MANIFEST, "content-encoding": "gzip" };
    const put = await room.pull("acme/bomb/manifests/x", { as: room.member, method: "PUT", body: manifest, headers });
    expect([put.status, ociError(put).code]).toEqual([400, "MANIFEST_INVALID"]);
  });

  it.each([
    "acme/../rival/manifests/1.0.0",
    "acme/%2e%2e/rival/manifests/1.0.0",
    "acme/bomb/blobs/..%2f..%2fevil",
    "acme/bomb/manifests/..%2f1.0.0",
    "acme/bomb/blobs/sha256:../../../../etc/passwd",
    "acme/bomb/blobs/uploads/..%2f..%2f..%2fx",
    "acme/bomb//blobs/x",
    "acme/bomb/blobs/sha256%3A..%5C..%5Cx",
  ])("no path leads out: %s", async (path) => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const answer = await room.pull(path, { as: room.admin, method });
      expect([400, 404, 405]).toContain(answer.status);
      expect(answer.text).not.toContain("root:");
    }
  });

  it("a repository, tag or annotation is no path and no key of an object", async () => {
    const evil = { "../../x": "1", __proto__: "2", "org.opencontainers.image.title": "../../../etc/passwd" };
    const image = await room.pushImage("acme/paths", "1.0.0", "paths", { annotations: evil });
    expect(await statusOf(`acme/paths/manifests/${image.digest}`)).toBe(200);
    expect(({} as Record<string, unknown>)["org.opencontainers.image.title"]).toBeUndefined();
  });
});

describe("31: a blob read through another repository by its digest", () => {
  it("is unknown there, in the words for a digest that nobody has; so are mount and manifest", async () => {
    const secret = await room.pushImage("acme/vault", "1.0.0", "the secret layer");
    await room.pushImage("acme/lobby", "1.0.0", "lobby");
    const guest = await room.person("gus", "rival", "admin");
    const granted = { repository: "acme/lobby", role: "member" };
    expect((await room.call("PUT", "/orgs/acme/repository-roles/person/gus", granted)).status).toBe(200);
    const nobodys = sha256("nobody has this");
    const asked = async (digest: string) => {
      const answers = [
        await room.pull(`acme/lobby/blobs/${digest}`, { as: guest.token }),
        await room.pull(`acme/lobby/blobs/${digest}`, { as: guest.token, headers: { range: "bytes=0-3" } }),
        await room.pull(`acme/lobby/blobs/${digest}`, { as: guest.token, method: "HEAD" }),
        await room.pull(`acme/lobby/manifests/${digest}`, { as: guest.token }),
        await room.pull(`acme/vault/blobs/${digest}`, { as: guest.token }),
      ];
      return answers.map(({ status, text }) => [status, text.replaceAll(digest, "DIGEST")]);
    };
    for (const digest of [secret.layer, secret.digest]) {
      const answers = await asked(digest);
      expect(answers).toEqual(await asked(nobodys));
      expect(answers.every(([status]) => status === 404)).toBe(true);
    }
    const mount = (query: string): Promise<number> =>
      statusOf(`acme/lobby/blobs/uploads/?mount=${secret.layer}${query}`, { as: guest.token, method: "POST" });
    expect([await mount("&from=acme/vault"), await mount("")]).toEqual([202, 202]);
    const naming = imageManifest("{}", ["the secret layer"]);
    const headers = { "content-type": OCI_MANIFEST };
    const put = { as: guest.token, method: "PUT", body: naming, headers };
    expect(ociError(await room.pull("acme/lobby/manifests/x", put)).code).toBe("MANIFEST_BLOB_UNKNOWN");
    // Its own members do see it where it is.
    expect(await statusOf(`acme/vault/blobs/${secret.layer}`)).toBe(200);
  });
});

describe("32: who may only create overwrites a tag", () => {
  it("no release tag moves, by whatever way and whoever asks; also not after it was deleted", async () => {
    const first = await room.pushImage("acme/fixed", "1.0.0", "first");
    const second = imageManifest("{}", ["first"], { annotations: { second: "yes" } });
    const headers = { "content-type": OCI_MANIFEST };
    for (const as of [room.member, room.admin, room.instance.adminToken]) {
      for (const path of ["manifests/1.0.0", "manifests/new?tag=1.0.0", `manifests/${sha256(second)}?tag=1.0.0`]) {
        const put = await room.pull(`acme/fixed/${path}`, { as, method: "PUT", body: second, headers });
        expect([put.status, ociError(put).code]).toEqual([403, "DENIED"]);
      }
    }
    expect(sha256((await room.pull("acme/fixed/manifests/1.0.0")).bytes)).toBe(first.digest);
    // A refused push leaves nothing of itself behind.
    expect((await room.pull("acme/fixed/tags/list")).json["tags"]).toEqual(["1.0.0"]);
    expect(await statusOf(`acme/fixed/manifests/${sha256(second)}`)).toBe(404);
    expect(await statusOf("acme/fixed/manifests/1.0.0", { as: room.admin, method: "DELETE" })).toBe(202);
    const again = { as: room.admin, method: "PUT", body: second, headers };
    expect(await statusOf("acme/fixed/manifests/1.0.0", again)).toBe(403);
  });

  it("who may only read writes no tag at all", async () => {
    const image = await room.pushImage("acme/fixed", "edge", "edge");
    const bytes = (await room.pull(`acme/fixed/manifests/${image.digest}`)).text;
    const put = await room.pull("acme/fixed/manifests/latest", {
      method: "PUT",
      body: bytes,
      headers: { "content-type": OCI_MANIFEST },
    });
    expect(put.status).toBe(403);
    expect(await statusOf("acme/fixed/manifests/latest")).toBe(404);
  });
});

describe("33: deleting where one may not", () => {
  it("is refused by tag, by digest and for a blob alike, and nothing is gone", async () => {
    const image = await room.pushImage("acme/kept", "edge", "kept");
    for (const as of [room.reader, room.member]) {
      for (const path of [`manifests/edge`, `manifests/${image.digest}`, `blobs/${image.layer}`]) {
        const refused = await room.pull(`acme/kept/${path}`, { as, method: "DELETE" });
        expect([refused.status, ociError(refused).code]).toEqual([403, "DENIED"]);
      }
    }
    // A token says what its bearer may do at most: asked for "delete" by who may not, it has none.
    const service = new URL(room.instance.url).host;
    const answer = await fetch(
      `${room.instance.url}/v2/token?service=${service}&scope=repository:acme/kept:pull,delete`,
      {
        headers: { authorization: `Basic ${Buffer.from(`x:${room.member}`).toString("base64")}` },
      },
    );
    const { token } = (await answer.json()) as { token: string };
    expect([401, 403]).toContain(await statusOf("acme/kept/manifests/edge", { as: token, method: "DELETE" }));
    expect(await statusOf("acme/kept/manifests/edge")).toBe(200);
    expect(await statusOf(`acme/kept/blobs/${image.layer}`)).toBe(200);
  });
});

describe("34: a gate that is skipped by the User-Agent", () => {
  it.each([
    "harbor-scanner-trivy/1.0",
    "cosign/v2.4.1 (linux; amd64) go-containerregistry/v0.20.2",
    "containerd/2.0.0",
    "docker/27.0 go/go1.22 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/27.0)",
    "Notary",
    "replication-agent",
    "",
  ])("does not know it: %s", async (agent) => {
    await room.pushImage("acme/agents", "1.0.0", "agents");
    await room.gate("acme/agents");
    const headers = { "user-agent": agent, "x-forwarded-user": "admin", "x-harbor-scanner": "true" };
    for (const method of ["GET", "HEAD"]) {
      expect(await statusOf("acme/agents/manifests/1.0.0", { method, headers })).toBe(403);
    }
  });

  it("is told by nothing in the rooms that decide", async () => {
    for (const room of ["registry", "gate", "access"]) {
      const folder = new URL(`../src/${room}/`, import.meta.url);
      for (const file of await readdir(folder)) {
        expect(await readFile(new URL(file, folder), "utf8"), file).not.toMatch(/user-agent|userAgent/i);
      }
    }
  });
});
