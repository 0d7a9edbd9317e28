/** What an upstream, or somebody who may push evidence, would have a mirror do to what it holds, to others, and to itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { AtOnce } from "../src/mirrors/at-once.ts";
import { type Asking, askingUntil } from "../src/mirrors/remote.ts";
import type { MirrorTables } from "../src/mirrors/schema.ts";
import type { Instance } from "./instance.ts";
import {
  type FakeRegistry,
  fakeRegistry,
  imageOf,
  type Manifest,
  OCI_INDEX,
  OCI_MANIFEST,
  recorded,
  setMirror,
  startMirror,
  v2,
} from "./mirror-room.ts";
import { pushBlob, sha256 } from "./pushing.ts";

const API = "/api/assay/v1/orgs/default";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";

let upstream: FakeRegistry;
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

async function mirrored(more: object = {}): Promise<string> {
  made += 1;
  const name = `default/a${made}`;
  const set = await setMirror(mirror, name, `${upstream.url}/lib/app`, { evidence: false, maxAgeMs: 0, ...more });
  expect(set.status, JSON.stringify(set.body)).toBe(200);
  return name;
}

const get = (name: string, rest: string, headers: Record<string, string> = {}) =>
  v2(mirror, "GET", `${name}/${rest}`, { headers });

/** Puts a manifest into the upstream, under its digest and a tag. */
function offer(manifest: Manifest, tag: string): Manifest {
  upstream.manifests.set(tag, manifest);
  upstream.manifests.set(manifest.digest, manifest);
  return manifest;
}

function indexOf(members: readonly Manifest[], more: object = {}): Manifest {
  const manifests = members.map(({ digest, bytes, type }) => ({ mediaType: type, digest, size: bytes.length }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more }));
  return { bytes, digest: sha256(bytes), type: OCI_INDEX };
}

describe("what an upstream says", () => {
  it("goes into a warning as far as a header can hold it, and what is here is served", async () => {
    const name = await mirrored();
    const { manifest } = upstream.image("latest", "here");
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: "類型\u0000\u007f" }));
    offer({ bytes, digest: sha256(bytes), type: OCI_MANIFEST }, "latest");
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.problem]).toEqual([200, ""]);
    expect(answer.bytes).toEqual(manifest.bytes);
    expect(answer.headers.get("warning")).toMatch(/^299 - "[ -~]*\?\?[ -~]*"$/);
  });

  it("that is no list of referrers is no evidence, and fails no pull", async () => {
    const name = await mirrored({ evidence: true });
    const { manifest } = upstream.image("latest", "no list");
    const bytes = Buffer.from("no JSON");
    offer({ bytes, digest: sha256(bytes), type: OCI_INDEX }, manifest.digest.replace(":", "-"));
    for (const reference of ["latest", manifest.digest, "latest"]) {
      expect((await get(name, `manifests/${reference}`)).status).toBe(200);
    }
  });

  it("that this server will not take up leaves served what is here", async () => {
    const name = await mirrored();
    const { manifest } = upstream.image("latest", "before the flood");
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const piece = Buffer.from("{}");
    const layers = Array.from({ length: 300 }, (_one, at) => ({
      mediaType: ENVELOPE,
      digest: sha256(piece),
      size: piece.length,
      annotations: { at: String(at) },
    }));
    const subject = { mediaType: OCI_MANIFEST, digest: manifest.digest, size: manifest.bytes.length };
    offer(imageOf(piece, [], { layers, subject }), "latest");
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.problem]).toEqual([200, ""]);
    expect(answer.bytes).toEqual(manifest.bytes);
    expect(answer.headers.get("warning")).toContain("may be out of date");
  });

  it("of a blob larger than any may be is not even asked for", async () => {
    const name = await mirrored();
    const digest = sha256("endless");
    const layers = [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: 2 ** 41 }];
    offer(imageOf(Buffer.from("{}"), [], { layers }), "latest");
    expect((await get(name, "manifests/latest")).status).toBe(200);
    const answer = await get(name, `blobs/${digest}`);
    expect([answer.status, answer.code]).toEqual([502, "UNKNOWN"]);
    expect(upstream.asked.filter(({ question }) => question.includes("/blobs/"))).toEqual([]);
  });

  it("that it has too much to do is heeded, for as long as it says", async () => {
    const name = await mirrored();
    upstream.instead = (_request, response) => {
      response.writeHead(429, { "retry-after": "120" }).end();
      return true;
    };
    const answer = await get(name, "manifests/latest");
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([502, "120"]);
    expect(upstream.asked).toHaveLength(1);
    expect((await get(name, "manifests/latest")).status).toBe(502);
    expect((await get(name, `manifests/${sha256("x")}`)).status).toBe(502);
    expect(upstream.asked).toHaveLength(1);
  });
});

describe("evidence", () => {
  it("that the organisation itself keeps under cosign's tags stays, whatever the upstream has there", async () => {
    const name = await mirrored({ evidence: true });
    const { manifest } = upstream.image("latest", "signed by both");
    const tag = `${manifest.digest.replace(":", "-")}.sig`;
    const theirs = offer(imageOf(Buffer.from("{}"), []), tag);
    expect((await get(name, "manifests/latest")).status).toBe(200);
    expect((await get(name, `manifests/${tag}`)).bytes).toEqual(theirs.bytes);
    const layer = Buffer.from("our own signature");
    await pushBlob(mirror.url, name, layer);
    const ours = imageOf(Buffer.from("{}"), [layer]);
    const put = await v2(mirror, "PUT", `${name}/manifests/${tag}`, { body: ours.bytes, type: ours.type });
    expect(put.status, put.problem).toBe(201);
    for (const reference of ["latest", manifest.digest, tag]) {
      expect((await get(name, `manifests/${reference}`)).status).toBe(200);
    }
    expect((await get(name, `manifests/${tag}`)).bytes).toEqual(ours.bytes);
  });

  it("brings as much along as evidence can have, and what is more when somebody asks for it", async () => {
    const name = await mirrored();
    const [small, config] = [Buffer.from("small"), Buffer.from("{}")];
    for (const bytes of [small, config]) upstream.blobs.set(sha256(bytes), bytes);
    const many = Array.from({ length: 20 }, (_one, at) => ({ digest: sha256(`large ${at}`), size: 64 * 1024 * 1024 }));
    const layers = [{ digest: sha256(small), size: small.length }, ...many].map((one) => ({
      mediaType: ENVELOPE,
      ...one,
    }));
    const subject = { mediaType: OCI_MANIFEST, digest: sha256("subject"), size: 10 };
    const { digest } = offer(imageOf(config, [], { layers, subject }), "latest");
    expect((await get(name, `manifests/${digest}`)).status).toBe(200);
    const asked = upstream.asked.filter(({ question }) => question.includes("/blobs/"));
    expect(asked.map(({ question }) => question.split("/").at(-1))).toEqual([sha256(config), sha256(small)]);
  });

  it("that can never be brought does not keep every pull waiting", async () => {
    const name = await mirrored({ evidence: true });
    const { manifest } = upstream.image("latest", "with a broken referrer");
    upstream.instead = (request, response) => {
      if (request.url?.includes("/referrers/") !== true) return false;
      response.writeHead(500).end();
      return true;
    };
    for (let pull = 0; pull < 5; pull += 1) {
      expect((await get(name, `manifests/${manifest.digest}`)).status).toBe(200);
    }
    const looks = upstream.asked.filter(({ question }) => question.includes("/referrers/"));
    expect(looks).toHaveLength(1);
  });

  it("is looked for until a moment and no longer", async () => {
    const given: number[] = [];
    const asked: Asking = {
      place: { origin: "https://registry.example.com", host: "registry.example.com", repository: "app" },
      ask: ({ totalMs }) => {
        given.push(totalMs);
        return Promise.reject(new Error("asked"));
      },
    };
    let now = 1_000;
    const until = askingUntil(asked, 1_500, () => now);
    const question = { method: "GET", path: "tags/list" } as const;
    await expect(until.ask({ ...question, totalMs: 30_000 })).rejects.toThrow("asked");
    await expect(until.ask({ ...question, totalMs: 100 })).rejects.toThrow("asked");
    now = 1_500;
    await expect(until.ask({ ...question, totalMs: 100 })).rejects.toThrow("took too long");
    expect(given).toEqual([500, 100]);
  });
});

describe("a mirror that is set anew", () => {
  it("asks its new upstream, however lately the former one was asked", async () => {
    const name = await mirrored({ maxAgeMs: 3_600_000 });
    const { manifest } = upstream.image("latest", "the former's");
    expect((await get(name, "manifests/latest")).bytes).toEqual(manifest.bytes);
    const other = elsewhere.image("latest", "the new one's").manifest;
    const set = await setMirror(mirror, name, `${elsewhere.url}/lib/app`, { evidence: false, maxAgeMs: 3_600_000 });
    expect(set.status).toBe(200);
    expect((await get(name, "manifests/latest")).bytes).toEqual(other.bytes);
    // And believes that one from then on.
    elsewhere.asked.splice(0);
    expect((await get(name, "manifests/latest")).bytes).toEqual(other.bytes);
    expect(elsewhere.asked).toEqual([]);
  });

  it("takes up nothing that was on its way from the former upstream", async () => {
    const name = await mirrored({ maxAgeMs: 3_600_000 });
    const { manifest } = upstream.image("latest", "on its way");
    const other = elsewhere.image("latest", "meant").manifest;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    upstream.instead = (request, response) => {
      if (request.url?.includes("/manifests/") !== true) return false;
      void released.then(() => response.writeHead(200, { "content-type": manifest.type }).end(manifest.bytes));
      return true;
    };
    const pulled = get(name, "manifests/latest");
    await vi.waitFor(() => expect(upstream.asked.length).toBeGreaterThan(0));
    await setMirror(mirror, name, `${elsewhere.url}/lib/app`, { evidence: false, maxAgeMs: 3_600_000 });
    release();
    expect((await pulled).status).not.toBe(200);
    expect((await get(name, "manifests/latest")).bytes).toEqual(other.bytes);
    const set = (await recorded(mirror, "registry.tag-set")).filter(({ body }) => body["repository"] === name);
    expect(set.map(({ body }) => body["digest"])).toEqual([other.digest]);
  });

  it("or removed leaves no secret behind that nothing needs", async () => {
    const kept = async (): Promise<string[]> => {
      const rows = await mirror.reader.tables<MirrorTables>().selectFrom("mirror_credential").select("id").execute();
      return rows.map(({ id }) => id);
    };
    const before = await kept();
    const credential = { username: "robot", password: "a secret" };
    const name = await mirrored({ credential });
    const first = (await kept()).filter((id) => !before.includes(id));
    expect(first).toHaveLength(1);
    await setMirror(mirror, name, `${upstream.url}/lib/app`, { credential: { ...credential, password: "another" } });
    const second = (await kept()).filter((id) => !before.includes(id));
    expect(second).toHaveLength(1);
    expect(second).not.toEqual(first);
    expect((await mirror.api("DELETE", `${API}/mirror?repository=${name}`)).status).toBe(200);
    expect(await kept()).toEqual(before);
  });
});

describe("28: filling a mirror", () => {
  const filled = async (name: string, tags: string[] | null): Promise<{ state: string; problem: string | null }> => {
    expect((await mirror.api("POST", `${API}/mirror/fill`, { repository: name, tags })).status).toBe(202);
    return await vi.waitFor(
      async () => {
        const { body } = await mirror.api("GET", `${API}/mirror?repository=${name}`);
        const { fill } = body as { fill: { state: string; problem: string | null } | null };
        if (fill === null || fill.state === "running") throw new Error("not yet");
        return fill;
      },
      { timeout: 20_000, interval: 50 },
    );
  };

  it("with indexes that list each other's members goes through each once", async () => {
    const name = await mirrored();
    const config = Buffer.from("{}");
    upstream.blobs.set(sha256(config), config);
    let members = Array.from({ length: 16 }, (_one, at) => imageOf(config, [], { annotations: { at: String(at) } }));
    for (const level of [1, 2, 3]) {
      for (const one of members) offer(one, one.digest);
      const below = members;
      members = below.map((_one, at) => indexOf(below, { annotations: { at: `${level} ${at}` } }));
    }
    for (const one of members) offer(one, one.digest);
    offer(indexOf(members), "deep");
    // 16 × 16 × 16 × 16 ways to the same images.
    expect(await filled(name, ["deep"])).toMatchObject({ state: "done" });
  }, 60_000);

  it("from a list of tags without end says that it is not all", async () => {
    const name = await mirrored();
    upstream.instead = (request, response) => {
      if (request.url?.includes("/tags/list") !== true) return false;
      const link = `<${request.url.split("?")[0]}?last=x>; rel="next"`;
      response.writeHead(200, { "content-type": "application/json", link }).end('{"name":"lib/app","tags":[]}');
      return true;
    };
    const fill = await filled(name, null);
    expect(fill.state).toBe("failed");
    expect(fill.problem).toContain("in more than 100 pages");
    await mirror.api("DELETE", `${API}/mirror?repository=${name}`);
  });
});

describe("places", () => {
  it("are held by one organisation only in part: another's work does not wait for it", async () => {
    const places = new AtOnce({ places: 3, each: 2, waiting: 6 });
    const ended: string[] = [];
    const ends: (() => void)[] = [];
    const slow = (name: string) =>
      places.run("slow", async () => {
        await new Promise<void>((resolve) => ends.push(resolve));
        ended.push(name);
      });
    const all = [slow("1"), slow("2"), slow("3")];
    await sleep(1);
    expect(ends).toHaveLength(2);
    await places.run("quick", async () => {
      ended.push("quick");
    });
    expect(ended).toEqual(["quick"]);
    ends[0]?.();
    await all[0];
    await vi.waitFor(() => expect(ends).toHaveLength(3));
    for (const end of ends) end();
    await Promise.all(all);
    expect(ended).toEqual(["quick", "1", "2", "3"]);
  });

  it("are waited for by so many and no more, of one organisation by its part", async () => {
    const places = new AtOnce({ places: 2, each: 1, waiting: 4 });
    let end: () => void = () => undefined;
    const until = new Promise<void>((resolve) => {
      end = resolve;
    });
    const work = () => until;
    const running = [places.run("one", work), places.run("one", work), places.run("one", work)];
    await expect(places.run("one", work)).rejects.toMatchObject({ status: 429 });
    running.push(places.run("two", work), places.run("two", work), places.run("two", work));
    await expect(places.run("three", work)).rejects.toMatchObject({ status: 429 });
    end();
    await Promise.all(running);
    await expect(places.run("three", () => Promise.resolve("done"))).resolves.toBe("done");
  });
});
