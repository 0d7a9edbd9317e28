import type { Digest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GateTables } from "../src/gate/schema.ts";
import { evidenceTagsOf } from "../src/registry/naming-queries.ts";
import { attest, makeKey, replayDifferences } from "./evidence-room.ts";
import { BUNDLE_TYPE, EMPTY_TYPE, type GatedRoom, ociError, openGatedRoom, signedPolicy } from "./gated-room.ts";
import { fakeRegistry } from "./mirror-room.ts";
import { sha256 } from "./pushing.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./registry-room.ts";

let room: GatedRoom;

beforeAll(async () => {
  room = await openGatedRoom();
});
afterAll(() => room.stop());

async function decisionsAbout(digest: Digest): Promise<number> {
  const { body } = await room.call("GET", `/orgs/acme/decisions?digest=${digest}`);
  return body.items.length;
}

/** A registry token to pull from a repository, as docker buys one with a key. */
async function tokenFor(key: string, repository: string): Promise<string> {
  const service = new URL(room.instance.url).host;
  const answer = await fetch(`${room.instance.url}/v2/token?service=${service}&scope=repository:${repository}:pull`, {
    headers: { authorization: `Basic ${Buffer.from(`x:${key}`).toString("base64")}` },
  });
  return ((await answer.json()) as { token: string }).token;
}

const statusOf = async (...asked: Parameters<GatedRoom["pull"]>): Promise<number> => (await room.pull(...asked)).status;

describe("a repository under a pull gate", () => {
  it("serves nothing that the policy does not allow, and says why in the standard's form", async () => {
    const image = await room.pushImage("acme/plain", "1.0.0", "plain layer");
    expect(await statusOf("acme/plain/manifests/1.0.0")).toBe(200);
    await room.gate("acme/plain");
    for (const path of ["manifests/1.0.0", `manifests/${image.digest}`]) {
      const refused = await room.pull(`acme/plain/${path}`);
      expect(refused.status).toBe(403);
      const { code, message, detail } = ociError(refused);
      expect(code).toBe("DENIED");
      expect(message).toContain("policy release does not allow");
      expect(detail).toMatchObject({ reason: "pull-denied", artifact: image.digest, policy: { name: "release" } });
      expect(detail["reasons"]).toEqual([expect.stringContaining("signed")]);
      expect(refused.headers["etag"]).toBeUndefined();
      const decision = await room.call("GET", `/decisions/${JSON.stringify(detail["decision"]).slice(1, -1)}`);
      expect(decision.body.decision).toMatchObject({ result: "denied", subject: image.digest });
      const head = await room.pull(`acme/plain/${path}`, { method: "HEAD" });
      expect(head.status).toBe(403);
      expect(head.headers["warning"]).toContain("policy release does not allow");
      expect(head.headers["docker-content-digest"]).toBeUndefined();
    }
    for (const blob of [image.layer, sha256("{}")]) {
      for (const method of ["GET", "HEAD"]) {
        expect(await statusOf(`acme/plain/blobs/${blob}`, { method })).toBe(403);
      }
    }
    await room.sign(image.digest);
    expect(await statusOf("acme/plain/manifests/1.0.0")).toBe(200);
    expect(await statusOf(`acme/plain/manifests/${image.digest}`, { method: "HEAD" })).toBe(200);
    expect(await statusOf(`acme/plain/blobs/${image.layer}`)).toBe(200);
    expect(await statusOf(`acme/plain/blobs/${image.layer}`, { headers: { range: "bytes=0-1" } })).toBe(206);
    await room.clear("acme/plain");
  });

  it("records one decision for an outcome and counts the pulls after it", async () => {
    const image = await room.pushImage("acme/counted", "1.0.0", "counted");
    await room.gate("acme/counted");
    for (let pull = 0; pull < 5; pull += 1) expect(await statusOf("acme/counted/manifests/1.0.0")).toBe(403);
    expect(await decisionsAbout(image.digest)).toBe(1);
    await room.sign(image.digest);
    for (let pull = 0; pull < 5; pull += 1) expect(await statusOf("acme/counted/manifests/1.0.0")).toBe(200);
    expect(await decisionsAbout(image.digest)).toBe(2);
    await room.instance.restart();
    expect(await statusOf("acme/counted/manifests/1.0.0")).toBe(200);
    expect(await decisionsAbout(image.digest)).toBe(2);
    const repeats = await room.instance.reader.tables<GateTables>().selectFrom("gate_repeat").selectAll().execute();
    expect(repeats.map(({ count }) => Number(count))).toEqual(expect.arrayContaining([4, 5]));
  });

  it("hears of revoked trust, of another policy and of another gate at the very next pull", async () => {
    const image = await room.pushImage("acme/heard", "1.0.0", "heard");
    await room.gate("acme/heard");
    await room.sign(image.digest);
    expect(await statusOf("acme/heard/manifests/1.0.0")).toBe(200);
    const second = makeKey();
    const { entry } = await room.trust("acme", second, { name: "other" });
    const yaml = signedPolicy("heard").replace("[release]", "[other]");
    expect((await room.call("PUT", "/orgs/acme/policies/heard", { yaml })).status).toBe(200);
    await room.gate("acme/heard", "heard");
    expect(await statusOf("acme/heard/manifests/1.0.0")).toBe(403);
    expect(await statusOf(`acme/heard/blobs/${image.layer}`)).toBe(403);
    expect((await room.post("acme", await attest(second, image.digest))).status).toBe(201);
    expect(await statusOf("acme/heard/manifests/1.0.0")).toBe(200);
    expect(await statusOf(`acme/heard/blobs/${image.layer}`)).toBe(200);
    expect((await room.call("DELETE", `/orgs/acme/trust/entries/${entry.id}`)).status).toBe(200);
    expect(await statusOf("acme/heard/manifests/1.0.0")).toBe(403);
    expect(await statusOf(`acme/heard/blobs/${image.layer}`)).toBe(403);
    const back = signedPolicy("heard");
    expect((await room.call("PUT", "/orgs/acme/policies/heard", { yaml: back })).status).toBe(200);
    expect(await statusOf("acme/heard/manifests/1.0.0")).toBe(200);
    await room.clear("acme/heard");
  });

  it("is under every gate whose pattern names it: all must allow", async () => {
    const image = await room.pushImage("acme/team/both", "1.0.0", "both");
    await room.sign(image.digest);
    await room.gate("acme/team/**");
    expect(await statusOf("acme/team/both/manifests/1.0.0")).toBe(200);
    const yaml = signedPolicy("second").replace("[release]", "[nobody]");
    expect((await room.call("PUT", "/orgs/acme/policies/second", { yaml })).status).toBe(200);
    await room.gate("acme/team/both", "second");
    expect(ociError(await room.pull("acme/team/both/manifests/1.0.0")).message).toContain("policy second");
    const { body } = await room.call("GET", "/orgs/acme/pull-gates?over=acme/team/both");
    expect(body.items.map((item) => (item as unknown as { repository: string }).repository)).toEqual([
      "acme/team/**",
      "acme/team/both",
    ]);
    await room.clear("acme/team/both");
    expect(await statusOf("acme/team/both/manifests/1.0.0")).toBe(200);
    await room.clear("acme/team/**");
  });

  it("serves everything to who may write evidence there, also by a token narrowed to pulling", async () => {
    const image = await room.pushImage("acme/made", "1.0.0", "made");
    await room.gate("acme/made");
    for (const as of [room.member, room.admin]) {
      expect(await statusOf("acme/made/manifests/1.0.0", { as })).toBe(200);
      expect(await statusOf(`acme/made/blobs/${image.layer}`, { as })).toBe(200);
    }
    expect(await decisionsAbout(image.digest)).toBe(0);
    const token = (key: string): Promise<string> => tokenFor(key, "acme/made");
    expect(await statusOf("acme/made/manifests/1.0.0", { as: await token(room.member) })).toBe(200);
    expect(await statusOf("acme/made/manifests/1.0.0", { as: await token(room.reader) })).toBe(403);
    await room.clear("acme/made");
  });

  it("takes a key that is bound to pulling for what it is, also by a token bought with it", async () => {
    await room.pushImage("acme/robot", "1.0.0", "robot");
    await room.gate("acme/robot");
    const must = async (method: string, path: string, body: object): Promise<{ key?: string }> => {
      const answer = await room.call(method, path, body);
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
      return answer.body as unknown as { key?: string };
    };
    await must("POST", "/orgs/acme/service-accounts", { name: "robot" });
    await must("PUT", "/orgs/acme/members/service/robot", { role: "member" });
    const statuses: number[] = [];
    for (const actions of [["pull"], ["pull", "push"]]) {
      const scope = { repositories: ["acme/robot"], actions };
      const { key = "" } = await must("POST", "/orgs/acme/service-accounts/robot/keys", {
        label: actions.join(" "),
        expiresInDays: 1,
        scope,
      });
      statuses.push(await statusOf("acme/robot/manifests/1.0.0", { as: key }));
      statuses.push(await statusOf("acme/robot/manifests/1.0.0", { as: await tokenFor(key, "acme/robot") }));
    }
    expect(statuses).toEqual([403, 403, 200, 200]);
    await room.clear("acme/robot");
  });

  it("asks the authorisation first: strangers hear what they hear of every repository", async () => {
    await room.pushImage("acme/hidden", "1.0.0", "hidden");
    const stranger = (await room.person("sid", "rival", "admin")).token;
    const before = await room.pull("acme/hidden/manifests/1.0.0", { as: stranger });
    await room.gate("acme/hidden");
    const after = await room.pull("acme/hidden/manifests/1.0.0", { as: stranger });
    expect([after.status, after.text]).toEqual([before.status, before.text]);
    await room.clear("acme/hidden");
  });

  it("answers 304 only where it would serve", async () => {
    const image = await room.pushImage("acme/etag", "1.0.0", "etag");
    await room.gate("acme/etag");
    const headers = { "if-none-match": `"${image.digest}"` };
    for (const method of ["GET", "HEAD"]) {
      expect(await statusOf("acme/etag/manifests/1.0.0", { method, headers })).toBe(403);
    }
    expect(await statusOf(`acme/etag/blobs/${image.layer}`, { headers: { "if-none-match": "*" } })).toBe(403);
    await room.sign(image.digest);
    for (const method of ["GET", "HEAD"]) {
      expect(await statusOf("acme/etag/manifests/1.0.0", { method, headers })).toBe(304);
    }
    await room.clear("acme/etag");
  });
});

describe("evidence in a gated repository", () => {
  async function attached(
    repository: string,
    subject: { digest: Digest; size: number },
    layerType: string,
    text: string,
  ) {
    await room.pushBlob(repository, "{}");
    const layer = await room.pushBlob(repository, text);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: BUNDLE_TYPE,
      config: { mediaType: EMPTY_TYPE, digest: sha256("{}"), size: 2 },
      layers: [{ mediaType: layerType, digest: layer, size: Buffer.byteLength(text) }],
      subject: { mediaType: OCI_MANIFEST, digest: subject.digest, size: subject.size },
    });
    return { digest: await room.pushManifest(repository, sha256(manifest), manifest), layer };
  }

  it("is served with what it is about, by referrers and by cosign's tags", async () => {
    const image = await room.pushImage("acme/signed", "1.0.0", "signed");
    await room.gate("acme/signed");
    const bundle = Buffer.from(await attest(makeKey(), image.digest)).toString("utf8");
    const evidence = await attached("acme/signed", image, BUNDLE_TYPE, bundle);
    const listed = await room.pull(`acme/signed/referrers/${image.digest}`);
    expect(listed.status).toBe(200);
    expect(listed.text).toContain(evidence.digest);
    expect(await statusOf(`acme/signed/manifests/${evidence.digest}`)).toBe(403);
    expect(await statusOf(`acme/signed/blobs/${evidence.layer}`)).toBe(403);
    const simple = "{}";
    const cosign = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256("{}"), size: 2 },
      layers: [{ mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: sha256(simple), size: 2 }],
    });
    const tag = `${image.digest.replace(":", "-")}.sig`;
    await room.pushManifest("acme/signed", tag, cosign);
    expect(await statusOf(`acme/signed/manifests/${tag}`)).toBe(403);
    await room.sign(image.digest);
    expect(await statusOf(`acme/signed/manifests/${evidence.digest}`)).toBe(200);
    expect(await statusOf(`acme/signed/blobs/${evidence.layer}`)).toBe(200);
    expect(await statusOf(`acme/signed/manifests/${tag}`)).toBe(200);
    expect(await decisionsAbout(evidence.digest)).toBe(0);
    await room.clear("acme/signed");
  });

  it("is known by its own tags, however many others a manifest has", async () => {
    const { digest } = await room.pushImage("acme/tagged", "0.0.0", "tagged");
    const evidence = [1, 2, 3].map((at) => `sha256-${String(at).repeat(64)}.sig`);
    const others = Array.from({ length: 25 }, (_, at) => `build-${at}`).concat("sha256", "sha256.", "sha257-1");
    const text = (await room.pull("acme/tagged/manifests/0.0.0")).text;
    const query = [...others, ...evidence].map((tag) => `tag=${tag}`).join("&");
    await room.pushManifest("acme/tagged", `${digest}?${query}`, text);
    const { reader } = room.instance;
    expect(await evidenceTagsOf(reader, "acme/tagged", digest, 10)).toEqual(evidence);
    expect(await evidenceTagsOf(reader, "acme/tagged", digest, 2)).toEqual(evidence.slice(0, 2));
  });

  it("is no wrapping for an image: a manifest that only claims to be evidence about an allowed one is judged itself", async () => {
    const image = await room.pushImage("acme/wrapped", "1.0.0", "good");
    await room.gate("acme/wrapped");
    await room.sign(image.digest);
    const layerType = "application/vnd.oci.image.layer.v1.tar";
    const wrapped = await attached("acme/wrapped", image, layerType, "an image that runs");
    expect(await statusOf("acme/wrapped/manifests/1.0.0")).toBe(200);
    expect(await statusOf(`acme/wrapped/manifests/${wrapped.digest}`)).toBe(403);
    expect(await statusOf(`acme/wrapped/blobs/${wrapped.layer}`)).toBe(403);
    await room.clear("acme/wrapped");
  });

  it("is no wrapping for an image whose layers are called evidence either: there are clients that run it by its configuration", async () => {
    const image = await room.pushImage("acme/disguised", "1.0.0", "good");
    await room.gate("acme/disguised");
    await room.sign(image.digest);
    const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
    const imageConfig = "application/vnd.oci.image.config.v1+json";
    await room.pushBlob("acme/disguised", config);
    const served = async (mediaType: string, layer: string): Promise<[number, number]> => {
      await room.pushBlob("acme/disguised", layer);
      const manifest = JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: { mediaType: imageConfig, digest: sha256(config), size: config.length },
        layers: [{ mediaType, digest: sha256(layer), size: Buffer.byteLength(layer) }],
        subject: { mediaType: OCI_MANIFEST, digest: image.digest, size: image.size },
      });
      const digest = await room.pushManifest("acme/disguised", sha256(manifest), manifest);
      return [
        await statusOf(`acme/disguised/manifests/${digest}`),
        await statusOf(`acme/disguised/blobs/${sha256(layer)}`),
      ];
    };
    const simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    expect(await served("application/vnd.in-toto+json", "bin/sh\0\0an archive")).toEqual([403, 403]);
    expect(await served(simple, "bin/sh\0\0another archive")).toEqual([403, 403]);
    expect(await served(simple, '{"critical":{}}')).toEqual([200, 200]);
    await room.clear("acme/disguised");
  });
});

describe("a platform that many indexes list", () => {
  it("is served with the one that is allowed, however many others there are", { timeout: 90_000 }, async () => {
    const child = await room.pushImage("acme/many", "", "the same platform every night");
    const entry = { mediaType: OCI_MANIFEST, digest: child.digest, size: child.size };
    const indexes: Digest[] = [];
    for (let night = 0; night < 40; night += 1) {
      const index = {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [entry],
        annotations: { night: String(night) },
      };
      const text = JSON.stringify(index);
      indexes.push(await room.pushManifest("acme/many", sha256(text), text, OCI_INDEX));
    }
    await room.gate("acme/many", "release", "index");
    const last = indexes.toSorted().at(-1) ?? child.digest;
    await room.sign(last);
    expect(await statusOf(`acme/many/manifests/${last}`)).toBe(200);
    expect(await statusOf(`acme/many/manifests/${child.digest}`)).toBe(200);
    await room.clear("acme/many");
  });
});

describe("blobs of a gated repository", () => {
  it("are served through any manifest that is, however many others name them", { timeout: 90_000 }, async () => {
    for (let at = 0; at < 40; at += 1) {
      await room.pushImage("acme/base", `0.0.${at}`, "the base layer", { annotations: { at: String(at) } });
    }
    const good = await room.pushImage("acme/base", "1.0.0", "the base layer", { annotations: { at: "good" } });
    await room.gate("acme/base");
    expect(await statusOf(`acme/base/blobs/${good.layer}`)).toBe(403);
    await room.sign(good.digest);
    expect(await statusOf("acme/base/manifests/1.0.0")).toBe(200);
    expect(await statusOf(`acme/base/blobs/${good.layer}`)).toBe(200);
    const deletion = { digest: good.digest, reason: "built wrong" };
    expect((await room.call("POST", "/orgs/acme/repositories/base/deletions", deletion)).status).toBe(200);
    expect(await statusOf(`acme/base/blobs/${good.layer}`)).toBe(403);
    await room.clear("acme/base");
  });

  it("are not served by a lease alone, nor mounted out by who they are not served to", async () => {
    const image = await room.pushImage("acme/inner", "1.0.0", "inner layer");
    const loose = await room.pushBlob("acme/inner", "nobody names this");
    await room.gate("acme/inner");
    expect(await statusOf(`acme/inner/blobs/${loose}`)).toBe(403);
    const rob = await room.person("rob", "acme", "reader");
    const granted = await room.call("PUT", "/orgs/acme/repository-roles/person/rob", {
      repository: "acme/outer",
      role: "member",
    });
    expect(granted.status).toBe(200);
    const mount = (query: string, as = rob.token): Promise<number> =>
      statusOf(`acme/outer/blobs/uploads/?mount=${image.layer}${query}`, { as, method: "POST" });
    expect(await mount("&from=acme/inner")).toBe(202);
    expect(await mount("")).toBe(202);
    await room.sign(image.digest);
    expect(await mount("&from=acme/inner")).toBe(201);
    await room.clear("acme/inner");
  });
});

describe("a promotion out of a gated repository", () => {
  it("takes nothing along that who promotes is not served there, neither the artifact nor its platforms", async () => {
    const child = await room.pushImage("acme/within", "", "a platform");
    const index = await room.pushIndex("acme/within", "1.0.0", [child]);
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      artifactType: "application/vnd.example.note",
      manifests: [],
      subject: { mediaType: OCI_INDEX, digest: index.digest, size: index.size },
    });
    const note = await room.pushManifest("acme/within", sha256(text), text, OCI_INDEX);
    await room.gate("acme/within");
    const pat = (await room.person("pat", "acme", "reader")).token;
    const role = { repository: "acme/without", role: "member" };
    expect((await room.call("PUT", "/orgs/acme/repository-roles/person/pat", role)).status).toBe(200);
    const body = { from: "acme/within", digest: index.digest, repository: "without", tags: ["1.0.0"] };
    const promote = (as: string): Promise<string> => room.refusal("POST", "/orgs/acme/promotions", body, as);
    const pulled = (): Promise<number> => statusOf("acme/without/manifests/1.0.0", { as: pat });
    expect(await promote(pat)).toBe("403 pull-denied");
    await room.sign(index.digest);
    expect(await promote(pat)).toBe("403 pull-denied");
    expect(await pulled()).toBe(404);
    await room.sign(child.digest);
    expect(await promote(pat)).toBe("200 no error");
    expect(await pulled()).toBe(200);
    // What is about it stays behind when it is not served; who is under no gate brings it.
    expect(await statusOf(`acme/without/manifests/${note}`, { as: pat })).toBe(404);
    expect(await promote(room.member)).toBe("200 no error");
    expect(await statusOf(`acme/without/manifests/${note}`, { as: pat })).toBe(200);
    await room.clear("acme/within");
  });
});

describe("settings of pull gates", () => {
  it("are for who may set policies, are events, and are kept as they stood", async () => {
    const body = { repository: "acme/set", policy: "release" };
    expect(await room.refusal("PUT", "/orgs/acme/pull-gates", body, room.member)).toBe("403 forbidden");
    expect(await room.refusal("DELETE", "/orgs/acme/pull-gates?repository=acme/set", undefined, room.member)).toBe(
      "403 forbidden",
    );
    const set = await room.call("PUT", "/orgs/acme/pull-gates", body, room.admin);
    expect(set).toMatchObject({ status: 200, body: { platforms: "own", changed: true } });
    expect((await room.call("PUT", "/orgs/acme/pull-gates", body, room.admin)).body).toMatchObject({ changed: false });
    const at = set.body.receipt.sequence;
    const again = await room.call("PUT", "/orgs/acme/pull-gates", { ...body, platforms: "index" }, room.admin);
    expect(again.body).toMatchObject({ platforms: "index", changed: true });
    const then = await room.call("GET", `/orgs/acme/pull-gates?asOf=${at}&over=set`, undefined, room.reader);
    expect(then.body.items).toMatchObject([
      { repository: "acme/set", platforms: "own", setBy: "person:ada", since: at },
    ]);
    await room.clear("acme/set");
    expect((await room.call("GET", "/orgs/acme/pull-gates?over=set")).body.items).toEqual([]);
    expect(await replayDifferences(room.instance)).toEqual([]);
  });

  it.each([
    ["another organisation's repositories", { repository: "rival/app", policy: "release" }, "400 repository-elsewhere"],
    ["every organisation's", { repository: "**/app", policy: "release" }, "400 repository-elsewhere"],
    ["a policy that is not there", { repository: "acme/app", policy: "none" }, "404 policy-unknown"],
    ["a word that is none", { repository: "acme/app", policy: "release", platforms: "all" }, "400 request-invalid"],
    ["a __proto__", JSON.parse('{"repository":"acme/app","policy":"release","__proto__":{}}'), "400 request-invalid"],
  ])("are refused for %s", async (_what, body, expected) => {
    expect(await room.refusal("PUT", "/orgs/acme/pull-gates", body)).toMatch(
      expected.endsWith("request-invalid") ? /^400 / : new RegExp(expected),
    );
  });

  it("that are not there cannot be cleared", async () => {
    expect(await room.refusal("DELETE", "/orgs/acme/pull-gates?repository=acme/nowhere")).toBe("404 pull-gate-unknown");
  });
});

describe("a gate that is set while another registry is asked", () => {
  it("holds for what that registry answers, and for what was here before it was asked", async () => {
    const upstream = await fakeRegistry();
    const mirrored = await openGatedRoom({ egressPrivate: [upstream.host] });
    try {
      const set = await mirrored.call("PUT", "/orgs/acme/mirror", {
        repository: "acme/mirrored",
        url: `${upstream.url}/library/app`,
        maxAgeMs: 0,
      });
      expect(set.status).toBe(200);
      upstream.image("1.0");
      // The second brings nothing new, so that the record ends where the third pull begins.
      for (let pulls = 0; pulls < 2; pulls += 1) {
        expect((await mirrored.pull("acme/mirrored/manifests/1.0")).status).toBe(200);
      }
      let meanwhile: Promise<void> | undefined;
      const slowly = new Promise<void>((asked) => {
        upstream.instead = (request, response) => {
          if (meanwhile !== undefined || !(request.url ?? "").includes("/manifests/")) return false;
          // The answer waits until the gate stands.
          meanwhile = mirrored.gate("acme/mirrored").then(() => {
            response.writeHead(500).end();
            asked();
          });
          return true;
        };
      });
      const pulled = mirrored.pull("acme/mirrored/manifests/1.0");
      await slowly;
      expect((await pulled).status).toBe(403);
    } finally {
      await mirrored.stop();
      await upstream.close();
    }
  });
});
