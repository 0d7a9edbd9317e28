/** Upstreams that lie, stall, break off, and send a mirror elsewhere. The numbers are those of the adversarial list of registries. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Instance } from "./instance.ts";
import {
  type FakeRegistry,
  fakeRegistry,
  imageOf,
  OCI_INDEX,
  OCI_MANIFEST,
  recorded,
  setMirror,
  startMirror,
  v2,
} from "./mirror-room.ts";
import { pushBlob, sha256 } from "./pushing.ts";

const CREDENTIAL = { username: "robot", password: "not for everybody" };
const BASIC = `Basic ${Buffer.from(`${CREDENTIAL.username}:${CREDENTIAL.password}`).toString("base64")}`;

let upstream: FakeRegistry;
/** A registry, or whatever, that no setting names. */
let elsewhere: FakeRegistry;
let mirror: Instance;
let made = 0;

beforeAll(async () => {
  upstream = await fakeRegistry();
  elsewhere = await fakeRegistry();
  mirror = await startMirror([upstream.host, elsewhere.host]);
  await mirror.api("POST", "/api/assay/v1/orgs", { name: "rival" });
}, 60_000);

afterEach(() => {
  for (const registry of [upstream, elsewhere]) {
    registry.instead = () => false;
    registry.asked.splice(0);
    registry.manifests.clear();
    registry.blobs.clear();
  }
});

afterAll(async () => {
  await mirror.stop();
  await upstream.close();
  await elsewhere.close();
});

/** A new mirror; returns the repository's name. Setting one forgets that the upstream is being left alone. */
async function mirrored(more: object = {}): Promise<string> {
  made += 1;
  const name = `default/m${made}`;
  const set = await setMirror(mirror, name, `${upstream.url}/lib/app`, { evidence: false, maxAgeMs: 0, ...more });
  expect(set.status, JSON.stringify(set.body)).toBe(200);
  return name;
}

/** What answers instead of the registry, for paths that match. */
function instead(path: RegExp, answer: (request: IncomingMessage, response: ServerResponse) => void): void {
  upstream.instead = (request, response) => {
    if (!path.test(request.url ?? "")) return false;
    answer(request, response);
    return true;
  };
}

const get = (name: string, rest: string) => v2(mirror, "GET", `${name}/${rest}`);

describe("an upstream's bytes", () => {
  it("25: that are others than the digest asked for are no manifest of it, however they are announced", async () => {
    const name = await mirrored();
    const { manifest } = upstream.image("latest", "true");
    const other = upstream.image("other", "false").manifest;
    instead(/manifests/, (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST, "docker-content-digest": manifest.digest });
      response.end(other.bytes);
    });
    for (const reference of [manifest.digest, "latest"]) {
      const answer = await get(name, `manifests/${reference}`);
      expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
      expect(answer.problem).toContain(`not ${manifest.digest}`);
    }
    upstream.instead = () => false;
    const honest = await get(name, `manifests/${manifest.digest}`);
    expect(honest.bytes).toEqual(manifest.bytes);
  });

  it("25: that are others on the second fetch change nothing that is pinned by digest", async () => {
    const name = await mirrored();
    const { manifest, layer } = upstream.image("latest", "pinned");
    expect((await get(name, `manifests/${manifest.digest}`)).status).toBe(200);
    expect((await get(name, `blobs/${sha256(layer)}`)).status).toBe(200);
    upstream.manifests.set(manifest.digest, upstream.image("x", "swapped").manifest);
    upstream.blobs.set(sha256(layer), Buffer.from("swapped"));
    expect((await get(name, `manifests/${manifest.digest}`)).bytes).toEqual(manifest.bytes);
    expect((await get(name, `blobs/${sha256(layer)}`)).bytes).toEqual(layer);
  });

  it.each([
    ["of another digest", (layer: Buffer) => Buffer.from(layer.toString().toUpperCase()), true],
    ["that are too few", (layer: Buffer) => layer.subarray(1), true],
    ["that are too few, by a connection that ends well", (layer: Buffer) => layer.subarray(1), false],
    ["that are too many", (layer: Buffer) => Buffer.concat([layer, layer]), false],
    ["that never end", (layer: Buffer) => Buffer.alloc(8 * 1024 * 1024, layer), false],
  ])("25: of a blob %s are never served, and the next honest answer is", async (_what, lie, stated) => {
    const name = await mirrored();
    const { layer } = upstream.image("latest", `blob ${_what}`);
    expect((await get(name, "manifests/latest")).status).toBe(200);
    instead(/blobs/, (_request, response) => {
      const bytes = lie(layer);
      response.writeHead(200, stated ? { "content-length": bytes.length } : {});
      response.end(bytes);
    });
    const answer = await get(name, `blobs/${sha256(layer)}`);
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    upstream.instead = () => false;
    const honest = await get(name, `blobs/${sha256(layer)}`);
    expect([honest.status, honest.bytes]).toEqual([200, layer]);
  });

  it("that break off in the middle are never served as a blob", async () => {
    const name = await mirrored();
    const { layer } = upstream.image("latest", "truncated");
    expect((await get(name, "manifests/latest")).status).toBe(200);
    instead(/blobs/, (_request, response) => {
      response.writeHead(200, { "content-length": layer.length });
      response.write(layer.subarray(0, 5), () => response.destroy());
    });
    const answer = await get(name, `blobs/${sha256(layer)}`);
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    // It is left alone for a while; setting the mirror again ends that.
    upstream.instead = () => false;
    upstream.asked.splice(0);
    expect((await get(name, `blobs/${sha256(layer)}`)).status).toBe(502);
    expect(upstream.asked).toEqual([]);
    await setMirror(mirror, name, `${upstream.url}/lib/app`, { evidence: false, maxAgeMs: 1 });
    expect((await get(name, `blobs/${sha256(layer)}`)).bytes).toEqual(layer);
  });

  it("28: of a manifest that is huge are not read to their end", async () => {
    const name = await mirrored();
    let sent = 0;
    instead(/manifests/, (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST });
      const more = (error?: Error | null): void => {
        if (error !== undefined && error !== null) return;
        sent += 65_536;
        if (sent < 512 * 1024 * 1024) response.write(Buffer.alloc(65_536, " "), more);
      };
      more();
    });
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(answer.problem).toContain("more than 4194304 bytes");
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it.each([
    ["nothing", ""],
    ["text", "<html>welcome to our captive portal</html>"],
    ["an index that is a manifest too", JSON.stringify({ schemaVersion: 2, manifests: [], layers: [], config: {} })],
    ["repeated keys", '{"schemaVersion":2,"schemaVersion":2}'],
    ["JSON nested too deeply", `${"[".repeat(100_000)}`],
  ])("that are %s are no manifest", async (_what, text) => {
    const name = await mirrored();
    instead(/manifests/, (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST }).end(text);
    });
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
  });
});

describe("an upstream that gives no answer", () => {
  it("is waited for so long and no longer, and then left alone", async () => {
    const name = await mirrored();
    instead(/./, () => undefined);
    const begun = Date.now();
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(Date.now() - begun).toBeGreaterThan(5_000);
    const again = Date.now();
    expect((await get(name, "manifests/latest")).status).toBe(502);
    expect(Date.now() - again).toBeLessThan(2_000);
  }, 30_000);

  it.each([500, 502, 429, 418, 204, 206])("but the status %i is said to be what it is", async (status) => {
    const name = await mirrored();
    instead(/manifests/, (_request, response) => {
      response.writeHead(status).end();
    });
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(answer.problem).toContain(`answers ${status}`);
  });
});

describe("28: lists of an upstream", () => {
  it("that never end are read to a bound, and the pull goes on", async () => {
    const name = await mirrored({ evidence: true });
    const { manifest } = upstream.image("latest", "listed");
    let page = 0;
    instead(/referrers/, (request, response) => {
      page += 1;
      const manifests = Array.from({ length: 20 }, (_one, index) => ({
        mediaType: OCI_MANIFEST,
        digest: sha256(`${page} ${index}`),
        size: 100,
      }));
      const link = `<${request.url?.split("?")[0]}?last=${page}>; rel="next"`;
      response.writeHead(200, { "content-type": OCI_INDEX, link });
      response.end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    });
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.bytes]).toEqual([200, manifest.bytes]);
    expect(page).toBeLessThanOrEqual(100);
  }, 60_000);

  it("that go on at another place are not followed there", async () => {
    const name = await mirrored({ evidence: true });
    upstream.image("latest", "led away");
    instead(/referrers/, (_request, response) => {
      const link = `<${elsewhere.url}/v2/lib/app/referrers/x>; rel="next"`;
      response.writeHead(200, { "content-type": OCI_INDEX, link });
      response.end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }));
    });
    expect((await get(name, "manifests/latest")).status).toBe(200);
    expect(elsewhere.asked).toEqual([]);
  });

  it("that name as evidence what is about something else bring nothing", async () => {
    const name = await mirrored({ evidence: true });
    const { manifest } = upstream.image("latest", "subject");
    const config = Buffer.from("{}");
    const foreign = imageOf(config, [], { subject: { mediaType: OCI_MANIFEST, digest: sha256("another"), size: 3 } });
    upstream.manifests.set(foreign.digest, foreign);
    instead(/referrers/, (_request, response) => {
      response.writeHead(200, { "content-type": OCI_INDEX });
      const manifests = [{ mediaType: OCI_MANIFEST, digest: foreign.digest, size: foreign.bytes.length }];
      response.end(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    });
    expect((await get(name, `manifests/${manifest.digest}`)).status).toBe(200);
    upstream.manifests.delete(foreign.digest);
    expect((await get(name, `manifests/${foreign.digest}`)).status).toBe(404);
  });
});

describe("30: the credential", () => {
  const challenge = (realm: string) => (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="x",scope="registry:catalog:*"` });
    response.end();
  };
  const token = (registry: FakeRegistry, answer: string, status = 200): void => {
    const before = registry.instead;
    registry.instead = (request, response) => {
      if (request.url?.startsWith("/token") !== true) return before(request, response);
      response.writeHead(status, { "content-type": "application/json" }).end(answer);
      return true;
    };
  };
  const demanding = (realm: string) => {
    upstream.instead = (request, response) => {
      if (request.headers.authorization === "Bearer good") return false;
      challenge(realm)(request, response);
      return true;
    };
  };

  it("is not sent to a realm that the setting does not name, and nothing is asked there without it either", async () => {
    upstream.image("latest", "x");
    demanding(`${elsewhere.url}/token`);
    token(elsewhere, '{"token":"good"}');
    for (const credential of [CREDENTIAL, null]) {
      const name = await mirrored({ credential });
      const answer = await get(name, "manifests/latest");
      expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
      expect(answer.problem).toContain(`--token-host ${elsewhere.host}`);
    }
    expect(elsewhere.asked).toEqual([]);
  });

  it("is sent to a realm on the upstream's own host, for pulling from this one repository whatever the challenge says", async () => {
    const name = await mirrored({ credential: CREDENTIAL });
    upstream.image("latest", "own realm");
    demanding(`${upstream.url}/token`);
    token(upstream, '{"access_token":"good"}');
    let url = "";
    const { instead: answer } = upstream;
    upstream.instead = (request, response) => {
      if (request.url?.startsWith("/token") === true) url = request.url;
      return answer(request, response);
    };
    expect((await get(name, "manifests/latest")).status).toBe(200);
    expect(upstream.asked.find(({ question }) => question === "GET /token")?.authorization).toBe(BASIC);
    expect(new URLSearchParams(url.split("?")[1]).get("scope")).toBe("repository:lib/app:pull");
    // The upstream itself sees the token only.
    const seen = upstream.asked.filter(({ question }) => question.includes("/v2/")).map((one) => one.authorization);
    expect(new Set(seen)).toEqual(new Set([undefined, "Bearer good"]));
  });

  it("is sent to another host that the setting names, and to no other port of it", async () => {
    const name = await mirrored({ credential: CREDENTIAL, tokenHosts: [elsewhere.host] });
    upstream.image("latest", "named realm");
    demanding(`${elsewhere.url}/token`);
    token(elsewhere, '{"token":"good"}');
    expect((await get(name, "manifests/latest")).status).toBe(200);
    expect(elsewhere.asked.map(({ authorization }) => authorization)).toEqual([BASIC]);
    const other = await mirrored({ credential: CREDENTIAL, tokenHosts: ["127.0.0.1"] });
    expect((await get(other, "manifests/latest")).status).toBe(502);
    expect(elsewhere.asked).toHaveLength(1);
  });

  it.each(["not a url", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://[::1]:1/token", ""])(
    "goes nowhere when the realm is %j",
    async (realm) => {
      const name = await mirrored({ credential: CREDENTIAL });
      upstream.image("latest", "x");
      demanding(realm);
      expect((await get(name, "manifests/latest")).status).toBe(502);
      expect(upstream.asked.every(({ authorization }) => authorization === undefined)).toBe(true);
    },
  );

  it.each([
    ["none", "{}", 200],
    ["no JSON", "good", 200],
    ["one with a line end in it", JSON.stringify({ token: "good\r\nx-evil: 1" }), 200],
    ["a redirect", '{"token":"good"}', 307],
    ["a refusal", '{"token":"good"}', 401],
  ])("buys nothing where the token service answers with %s", async (_what, answer, status) => {
    const name = await mirrored({ credential: CREDENTIAL });
    upstream.image("latest", "x");
    demanding(`${upstream.url}/token`);
    token(upstream, answer, status);
    const pulled = await get(name, "manifests/latest");
    expect([pulled.status, pulled.code]).toEqual([502, "UNKNOWN"]);
    expect(pulled.problem).not.toContain(CREDENTIAL.password);
  });

  it("does not go along with a redirect to another host, and the blob is taken from there by its digest", async () => {
    const name = await mirrored({ credential: CREDENTIAL });
    const { layer } = upstream.image("latest", "redirected");
    elsewhere.blobs.set(sha256(layer), layer);
    upstream.instead = (request, response) => {
      if (request.headers.authorization !== BASIC) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
        return true;
      }
      if (!/blobs/.test(request.url ?? "")) return false;
      response.writeHead(307, { location: `${elsewhere.url}/v2/x/blobs/${sha256(layer)}` }).end();
      return true;
    };
    expect((await get(name, "manifests/latest")).status).toBe(200);
    expect((await get(name, `blobs/${sha256(layer)}`)).bytes).toEqual(layer);
    expect(elsewhere.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it("does not come back with a redirect that returns from another host", async () => {
    const name = await mirrored({ credential: CREDENTIAL });
    const { manifest } = upstream.image("latest", "there and back");
    upstream.instead = (request, response) => {
      if (request.url?.includes("lib/app") !== true) return false;
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      } else {
        response.writeHead(302, { location: `${elsewhere.url}/back` }).end();
      }
      return true;
    };
    elsewhere.instead = (_request, response) => {
      response.writeHead(302, { location: `${upstream.url}/v2/lib/other/manifests/latest` }).end();
      return true;
    };
    upstream.manifests.set("latest", manifest);
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const back = upstream.asked.filter(({ question }) => question.includes("/lib/other/"));
    expect(back.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});

describe("where a mirror is led", () => {
  it.each([
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://10.0.0.1/",
    "http://127.0.0.1:1/",
    "https://[fe80::1]/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
  ])("by a redirect to %s it does not go", async (location) => {
    const name = await mirrored();
    instead(/manifests/, (_request, response) => {
      response.writeHead(307, { location }).end();
    });
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(answer.problem).toContain("is not asked");
  });

  it("by redirects without end it goes a few steps and no further", async () => {
    const name = await mirrored();
    instead(/manifests/, (request, response) => {
      response.writeHead(302, { location: `${request.url}x` }).end();
    });
    expect((await get(name, "manifests/latest")).problem).toContain("redirects too often");
    expect(upstream.asked.length).toBeLessThanOrEqual(6);
  });

  it("by a setting to a private address it does not go unless the operator lists the place", async () => {
    const hidden = await fakeRegistry();
    const set = await setMirror(mirror, "default/hidden", `${hidden.url}/lib/app`);
    expect(set.status).toBe(200);
    const answer = await get("default/hidden", "manifests/latest");
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(answer.problem).toContain("ASSAY_EGRESS_PRIVATE");
    expect(hidden.asked).toEqual([]);
    await hidden.close();
  });
});

describe("31: bytes of another repository", () => {
  it("are not to be had by mirroring a manifest that names them: the upstream has to have them itself", async () => {
    const secret = Buffer.from("the rival's own layer");
    await pushBlob(mirror.url, "rival/private", secret);
    const name = await mirrored();
    const config = Buffer.from("{}");
    const thief = imageOf(config, [secret]);
    upstream.manifests.set("latest", thief);
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const answer = await get(name, `blobs/${sha256(secret)}`);
    expect(answer.status).toBe(502);
    expect(answer.bytes.includes(secret)).toBe(false);
    const mounted = await v2(mirror, "POST", `default/other/blobs/uploads/?mount=${sha256(secret)}&from=${name}`);
    expect(mounted.status).toBe(202);
  });

  it("become nobody's evidence by pushing once more a manifest that a mirror brought without them", async () => {
    const secret = Buffer.from('{"the rival\'s": "own envelope"}');
    await pushBlob(mirror.url, "rival/private", secret);
    const name = await mirrored();
    const mediaType = "application/vnd.dsse.envelope.v1+json";
    const layers = [{ mediaType, digest: sha256(secret), size: secret.length }];
    const thief = imageOf(Buffer.from("{}"), [], { layers });
    upstream.manifests.set("latest", thief);
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const subject = sha256("anything");
    const tag = `${subject.replace(":", "-")}.att`;
    const put = await v2(mirror, "PUT", `${name}/manifests/${tag}`, { body: thief.bytes, type: thief.type });
    expect(put.status, put.problem).toBe(201);
    const { body } = await mirror.api("GET", `/api/assay/v1/orgs/default/attestations/${subject}`);
    expect(body).toMatchObject({ items: [] });
    expect(await recorded(mirror, "attestations.")).toEqual([]);
  });
});

describe("32: a tag of a mirror", () => {
  it("is overwritten by nobody, whatever their role, and an attempt leaves nothing", async () => {
    const name = await mirrored();
    const { manifest } = upstream.image("latest", "theirs");
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const config = Buffer.from("{}");
    await pushBlob(mirror.url, name, config);
    const own = imageOf(config, []);
    const put = await v2(mirror, "PUT", `${name}/manifests/latest`, { body: own.bytes, type: own.type });
    expect([put.status, put.code]).toEqual([403, "DENIED"]);
    const before = await recorded(mirror, "registry.tag-set");
    expect(before.filter(({ body }) => body["digest"] === own.digest)).toEqual([]);
    expect((await get(name, "manifests/latest")).bytes).toEqual(manifest.bytes);
  });
});
