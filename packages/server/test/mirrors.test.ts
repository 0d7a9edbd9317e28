/** Pull-through: a repository that mirrors one on another registry, over real HTTP. */
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "@assay/evidence";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { attest, makeKey } from "./evidence-room.ts";
import type { Instance } from "./instance.ts";
import {
  ADMIN_TOKEN,
  type FakeRegistry,
  fakeRegistry,
  hostOf,
  imageOf,
  OCI_MANIFEST,
  recorded,
  setMirror,
  startMirror,
  v2,
} from "./mirror-room.ts";
import { pushBlob, pushImage, sha256 } from "./pushing.ts";

const LOGIN = { username: "admin", password: ADMIN_TOKEN };
const API = "/api/assay/v1/orgs/default";

describe("a mirror of another server of ours", () => {
  let upstream: Instance;
  let mirror: Instance;

  beforeAll(async () => {
    upstream = await startMirror([]);
    mirror = await startMirror([hostOf(upstream)]);
    const url = `${upstream.url}/default/app`;
    const set = await setMirror(mirror, "default/app", url, { credential: LOGIN, maxAgeMs: 0 });
    expect(set.status).toBe(200);
    expect(set.body).toMatchObject({ repository: "default/app", credential: true, evidence: true, stale: "serve" });
  }, 60_000);

  afterAll(async () => {
    await mirror.stop();
    await upstream.stop();
  });

  it("brings an image that is pulled by tag, with its blobs, as the mirror itself, and puts it on record", async () => {
    const layer = Buffer.alloc(300_000, "layer");
    const pushed = await pushImage(upstream.url, "default/app", "1.0.0", layer);
    const manifest = await v2(mirror, "GET", "default/app/manifests/1.0.0");
    expect(manifest.status, manifest.problem).toBe(200);
    expect(manifest.headers.get("docker-content-digest")).toBe(pushed.manifest);
    expect(manifest.headers.get("warning")).toBeNull();
    expect(sha256(manifest.bytes)).toBe(pushed.manifest);
    const blob = await v2(mirror, "GET", `default/app/blobs/${pushed.layer}`);
    expect(blob.status, blob.problem).toBe(200);
    expect(sha256(blob.bytes)).toBe(pushed.layer);
    const [event] = await recorded(mirror, "registry.manifest-pushed");
    expect(event).toMatchObject({ actor: "mirror:default/app", body: { digest: pushed.manifest } });
  });

  it("brings signed evidence with what it is about: referrers and cosign's tags", async () => {
    const { manifest } = await pushImage(upstream.url, "default/app", "signed", Buffer.from("signed layer"));
    const key = makeKey();
    const config = Buffer.from("{}");
    for (const [tag, predicateType] of [
      [undefined, "https://example.com/referrer"],
      [`${manifest.replace(":", "-")}.att`, "https://example.com/tag"],
    ] as const) {
      const bundle = await attest(key, manifest as Digest, predicateType);
      const envelope = Buffer.from(
        JSON.stringify((JSON.parse(Buffer.from(bundle).toString()) as { dsseEnvelope: object }).dsseEnvelope),
      );
      const bytes = tag === undefined ? Buffer.from(bundle) : envelope;
      await pushBlob(upstream.url, "default/app", bytes);
      const mediaType =
        tag === undefined ? "application/vnd.dev.sigstore.bundle.v0.3+json" : "application/vnd.dsse.envelope.v1+json";
      const evidence = imageOf(config, [], {
        ...(tag === undefined ? { artifactType: mediaType } : {}),
        layers: [{ mediaType, digest: sha256(bytes), size: bytes.length }],
        ...(tag === undefined ? { subject: { mediaType: OCI_MANIFEST, digest: manifest, size: 10 } } : {}),
      });
      const put = await v2(upstream, "PUT", `default/app/manifests/${tag ?? evidence.digest}`, {
        body: evidence.bytes,
        type: OCI_MANIFEST,
      });
      expect(put.status, put.problem).toBe(201);
    }
    expect((await v2(mirror, "GET", "default/app/manifests/signed")).status).toBe(200);
    const { body } = await mirror.api("GET", `${API}/attestations/${manifest}`);
    const types = (body as { items: { predicateType: string }[] }).items.map((item) => item.predicateType);
    expect(types.toSorted()).toEqual(["https://example.com/referrer", "https://example.com/tag"]);
    const { bytes } = await v2(mirror, "GET", `default/app/referrers/${manifest}`);
    expect((JSON.parse(bytes.toString()) as { manifests: object[] }).manifests).toHaveLength(1);
  });

  it("lets nobody else set tags or add images, and lets them say something about what is here", async () => {
    const { manifest } = await pushImage(upstream.url, "default/app", "described", Buffer.from("described"));
    expect((await v2(mirror, "GET", "default/app/manifests/described")).status).toBe(200);
    const config = Buffer.from("{}");
    await pushBlob(mirror.url, "default/app", config);
    const image = imageOf(config, []);
    for (const reference of ["latest", image.digest]) {
      const put = await v2(mirror, "PUT", `default/app/manifests/${reference}`, {
        body: image.bytes,
        type: image.type,
      });
      expect([put.status, put.code]).toEqual([403, "DENIED"]);
      expect(put.problem).toContain("default/app mirrors");
    }
    const about = imageOf(config, [], {
      artifactType: "application/vnd.example+json",
      subject: { mediaType: OCI_MANIFEST, digest: manifest, size: 10 },
    });
    const put = await v2(mirror, "PUT", `default/app/manifests/${about.digest}`, {
      body: about.bytes,
      type: about.type,
    });
    expect(put.status, put.problem).toBe(201);
    const moved = await v2(mirror, "PUT", "default/app/manifests/latest", { body: about.bytes, type: about.type });
    expect(moved.status).toBe(403);
  });

  it("takes no image that says it is about another one, and none by promotion", async () => {
    const { manifest } = await pushImage(upstream.url, "default/app", "guarded", Buffer.from("guarded"));
    expect((await v2(mirror, "GET", "default/app/manifests/guarded")).status).toBe(200);
    const [config, layer] = [Buffer.from('{"os":"linux"}'), Buffer.from("somebody's own layer")];
    for (const blob of [config, layer]) await pushBlob(mirror.url, "default/app", blob);
    const image = imageOf(config, [layer], { subject: { mediaType: OCI_MANIFEST, digest: manifest, size: 10 } });
    for (const reference of [image.digest, `${manifest.replace(":", "-")}.sig`]) {
      const path = `default/app/manifests/${reference}`;
      const put = await v2(mirror, "PUT", path, { body: image.bytes, type: image.type });
      expect([put.status, put.code], reference).toEqual([403, "DENIED"]);
    }
    const own = await pushImage(mirror.url, "default/own", "1.0.0", Buffer.from("own"));
    const promotion = { from: "default/own", digest: own.manifest, repository: "app", tags: ["guarded"] };
    const promoted = await mirror.api("POST", `${API}/promotions`, promotion);
    expect([promoted.status, promoted.body]).toMatchObject([403, { error: { code: "repository-mirrors" } }]);
    expect((await v2(mirror, "GET", `default/app/manifests/${own.manifest}`)).status).toBe(404);
  });

  it("keeps the password out of the record, the answers and, in clear, the database", async () => {
    const shown = await mirror.api("GET", `${API}/mirror?repository=default/app`);
    expect(shown.status).toBe(200);
    expect(JSON.stringify(shown.body)).not.toContain(LOGIN.password);
    expect(JSON.stringify(await recorded(mirror, ""))).not.toContain(LOGIN.password);
    const files = (await readdir(mirror.dataDirectory)).filter((name) => /db|sqlite/.test(name));
    for (const name of files) {
      expect((await readFile(join(mirror.dataDirectory, name))).includes(LOGIN.password)).toBe(false);
    }
  });

  it("after the upstream is gone serves by digest what it has, and by tag with a warning", async () => {
    const pushed = await pushImage(upstream.url, "default/app", "2.0.0", Buffer.from("two"));
    expect((await v2(mirror, "GET", "default/app/manifests/2.0.0")).status).toBe(200);
    expect((await v2(mirror, "GET", `default/app/blobs/${pushed.layer}`)).status).toBe(200);
    await upstream.halt();
    const digest = await v2(mirror, "GET", `default/app/manifests/${pushed.manifest}`);
    expect([digest.status, digest.headers.get("warning")]).toEqual([200, null]);
    const tag = await v2(mirror, "GET", "default/app/manifests/2.0.0");
    expect(tag.status, tag.problem).toBe(200);
    expect(tag.headers.get("docker-content-digest")).toBe(pushed.manifest);
    expect(tag.headers.get("warning")).toMatch(/^299 - "2\.0\.0 may be out of date: .*"$/);
    expect((await v2(mirror, "GET", `default/app/blobs/${pushed.layer}`)).status).toBe(200);
    const other = await v2(mirror, "GET", "default/app/manifests/3.0.0");
    expect([other.status, other.code]).toEqual([502, "UNKNOWN"]);
    await upstream.restart();
  });
});

describe("what a mirror asks of its upstream", () => {
  let upstream: FakeRegistry;
  let mirror: Instance;

  beforeAll(async () => {
    upstream = await fakeRegistry();
    mirror = await startMirror([upstream.host]);
  }, 60_000);

  beforeEach(async () => {
    upstream.asked.splice(0);
    upstream.manifests.clear();
    upstream.blobs.clear();
    upstream.instead = () => false;
  });

  afterAll(async () => {
    await mirror.stop();
    await upstream.close();
  });

  const asked = (part: string): string[] =>
    upstream.asked.map(({ question }) => question).filter((question) => question.includes(part));

  it("is each thing once, however many pull it at the same time", async () => {
    await setMirror(mirror, "default/many", `${upstream.url}/lib/many`, { evidence: false });
    const { manifest, layer } = upstream.image("latest", "many");
    const pulls = await Promise.all(
      Array.from({ length: 8 }, () => v2(mirror, "GET", "default/many/manifests/latest")),
    );
    expect(pulls.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    expect(asked("/manifests/")).toEqual(["GET /v2/lib/many/manifests/latest"]);
    const blobs = await Promise.all(
      Array.from({ length: 8 }, () => v2(mirror, "GET", `default/many/blobs/${sha256(layer)}`)),
    );
    for (const { status, bytes } of blobs) expect([status, bytes]).toEqual([200, layer]);
    expect(asked("/blobs/")).toEqual([`GET /v2/lib/many/blobs/${sha256(layer)}`]);
    await v2(mirror, "GET", `default/many/manifests/${manifest.digest}`);
    await v2(mirror, "GET", `default/many/blobs/${sha256(layer)}`);
    expect(upstream.asked).toHaveLength(2);
  });

  it("believes a tag for as long as the setting says, and asks for no bytes while it stays where it was", async () => {
    const url = `${upstream.url}/lib/aged`;
    await setMirror(mirror, "default/aged", url, { evidence: false, maxAgeMs: 3_600_000 });
    const first = upstream.image("latest", "first");
    const pull = () => v2(mirror, "HEAD", "default/aged/manifests/latest");
    expect((await pull()).status).toBe(200);
    const second = upstream.image("latest", "second");
    expect((await pull()).headers.get("docker-content-digest")).toBe(first.manifest.digest);
    expect(asked("/manifests/")).toHaveLength(1);
    await setMirror(mirror, "default/aged", url, { evidence: false, maxAgeMs: 0 });
    expect((await pull()).headers.get("docker-content-digest")).toBe(second.manifest.digest);
    upstream.asked.splice(0);
    expect((await pull()).headers.get("docker-content-digest")).toBe(second.manifest.digest);
    expect(asked("")).toEqual(["HEAD /v2/lib/aged/manifests/latest"]);
  });

  it("never moves a release tag: what the upstream has it name instead is refused, warned of, and put on record once", async () => {
    await setMirror(mirror, "default/moved", `${upstream.url}/lib/moved`, { evidence: false, maxAgeMs: 0 });
    const first = upstream.image("1.2.3", "as released");
    expect((await v2(mirror, "GET", "default/moved/manifests/1.2.3")).status).toBe(200);
    const second = upstream.image("1.2.3", "moved");
    for (let pull = 0; pull < 2; pull += 1) {
      const answer = await v2(mirror, "GET", "default/moved/manifests/1.2.3");
      expect(answer.headers.get("docker-content-digest")).toBe(first.manifest.digest);
      expect(answer.headers.get("warning")).toContain("moved the release tag 1.2.3");
    }
    const refused = await recorded(mirror, "mirrors.tag-refused");
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({
      actor: "mirror:default/moved",
      body: { tag: "1.2.3", names: first.manifest.digest, refused: second.manifest.digest },
    });
    const { body } = await mirror.api("GET", `${API}/mirror?repository=default/moved`);
    expect(body).toMatchObject({ refusedTags: [{ tag: "1.2.3", refused: second.manifest.digest }] });
  });

  it("refuses a tag that is too old while the upstream gives no answer, where the setting says so", async () => {
    await setMirror(mirror, "default/strict", `${upstream.url}/lib/strict`, {
      evidence: false,
      maxAgeMs: 0,
      stale: "refuse",
    });
    const { manifest } = upstream.image("latest", "strict");
    expect((await v2(mirror, "GET", "default/strict/manifests/latest")).status).toBe(200);
    upstream.instead = (_request, response) => {
      response.writeHead(500).end();
      return true;
    };
    const refused = await v2(mirror, "GET", "default/strict/manifests/latest");
    expect([refused.status, refused.code]).toEqual([502, "UNKNOWN"]);
    expect((await v2(mirror, "GET", `default/strict/manifests/${manifest.digest}`)).status).toBe(200);
    upstream.instead = () => false;
    expect((await v2(mirror, "GET", "default/strict/manifests/latest")).status).toBe(200);
  });

  it("answers 404 for what the upstream does not have, and asks for no blob that no manifest names", async () => {
    await setMirror(mirror, "default/none", `${upstream.url}/lib/none`);
    const manifest = await v2(mirror, "GET", "default/none/manifests/latest");
    expect([manifest.status, manifest.code]).toEqual([404, "MANIFEST_UNKNOWN"]);
    upstream.asked.splice(0);
    const blob = await v2(mirror, "GET", `default/none/blobs/${sha256("anything")}`);
    expect([blob.status, blob.code]).toEqual([404, "BLOB_UNKNOWN"]);
    expect(upstream.asked).toEqual([]);
  });

  it("is nothing any more once the mirror is removed: the repository keeps what it has and is pushed to", async () => {
    await setMirror(mirror, "default/ended", `${upstream.url}/lib/ended`, { evidence: false });
    upstream.image("latest", "ended");
    expect((await v2(mirror, "GET", "default/ended/manifests/latest")).status).toBe(200);
    const removed = await mirror.api("DELETE", `${API}/mirror?repository=default/ended`);
    expect(removed.status).toBe(200);
    upstream.asked.splice(0);
    expect((await v2(mirror, "GET", "default/ended/manifests/latest")).status).toBe(200);
    await pushImage(mirror.url, "default/ended", "own", Buffer.from("own"));
    expect(upstream.asked).toEqual([]);
    // It was a mirror once: what it got then is on record as what it is.
    expect((await setMirror(mirror, "default/ended", `${upstream.url}/lib/ended`)).status).toBe(200);
  });
});

describe("setting a mirror", () => {
  let server: Instance;

  beforeAll(async () => {
    server = await startMirror([]);
    await server.api("POST", "/api/assay/v1/orgs", { name: "rival" });
  }, 60_000);
  afterAll(() => server.stop());
  afterEach(() => undefined);

  const code = (body: unknown): unknown => (body as { error?: { code?: string } }).error?.code;

  it.each([
    "registry.example.com/app",
    "ftp://registry.example.com/app",
    "https://registry.example.com",
    "https://registry.example.com/",
    "https://registry.example.com/App",
    "https://registry.example.com/a/../b",
    "https://registry.example.com/a?x=1",
    "https://registry.example.com/a#x",
    "https://user:pw@registry.example.com/a",
    "https://registry.example.com/a%2fb",
    "https://registry.example.com//a",
  ])("refuses %j as an upstream", async (url) => {
    expect((await setMirror(server, "default/x", url)).status).toBe(400);
  });

  it("refuses a repository that was pushed to, and one of another organisation", async () => {
    await pushImage(server.url, "default/pushed", "latest", Buffer.from("pushed"));
    const pushed = await setMirror(server, "default/pushed", "https://registry.example.com/a");
    expect([pushed.status, code(pushed.body)]).toEqual([409, "repository-not-empty"]);
    const { status, body } = await server.api("PUT", `${API}/mirror`, {
      repository: "rival/app",
      url: "https://registry.example.com/a",
    });
    expect([status, code(body)]).toEqual([400, "repository-elsewhere"]);
  });

  it("shows another organisation's mirror to nobody, and lets nobody but admins set one", async () => {
    await setMirror(server, "rival/app", "https://registry.example.com/a");
    const other = await server.api("GET", `${API}/mirror?repository=rival/app`);
    expect([other.status, code(other.body)]).toEqual([404, "mirror-unknown"]);
    const gone = await server.api("DELETE", `${API}/mirror?repository=rival/app`);
    expect([gone.status, code(gone.body)]).toEqual([404, "mirror-unknown"]);
  });

  it("keeps a credential from a place it was not given for", async () => {
    const credential = { username: "robot", password: "hush hush" };
    const set = (url: string, more: object = {}) => setMirror(server, "default/kept", url, more);
    expect((await set("https://registry.example.com/a", { credential })).status).toBe(200);
    expect((await set("https://registry.example.com/b")).body).toMatchObject({ credential: true });
    const moved = await set("https://evil.example.com/b");
    expect([moved.status, code(moved.body)]).toEqual([409, "credential-needed"]);
    const token = await set("https://registry.example.com/b", { tokenHosts: ["evil.example.com"] });
    expect([token.status, code(token.body)]).toEqual([409, "credential-needed"]);
    expect((await set("https://evil.example.com/b", { credential: null })).body).toMatchObject({ credential: false });
  });
});
