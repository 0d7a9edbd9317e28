/** Repositories as things people manage: settings, who may read what is public, and tags that never move, over the wire. */
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecordTables } from "../src/record/schema.ts";
import { REFUSED_MOVES } from "../src/registry/repository-commands.ts";
import { immutability, matchesTag } from "../src/registry/repository-settings.ts";
import { type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage } from "./pushing.ts";

const API = "/api/assay/v1";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

let instance: Instance;
/** Keys: an admin and a member of acme; an admin of one repository there; somebody of another organisation. */
let alice: string;
let mia: string;
let rob: string;
let zoe: string;

type Body = Record<string, unknown>;

async function must(method: string, path: string, body?: unknown, token?: string): Promise<Body> {
  const answer = await instance.api(method, `${API}${path}`, body, token);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return (answer.body ?? {}) as Body;
}

async function refusal(method: string, path: string, body?: unknown, token?: string): Promise<[number, unknown]> {
  const answer = await instance.api(method, `${API}${path}`, body, token);
  const { error } = answer.body as { error?: { code?: unknown } };
  return [answer.status, error?.code];
}

/** A request at the registry, with an API key, a token, or nothing. */
async function registry(method: string, path: string, as: string | undefined, body?: string): Promise<Response> {
  return await fetch(`${instance.url}/v2/${path}`, {
    method,
    headers: {
      ...(as === undefined ? {} : { authorization: `Bearer ${as}` }),
      ...(body === undefined ? {} : { "content-type": MANIFEST }),
    },
    ...(body === undefined ? {} : { body }),
  });
}

/** A token as docker asks for one; undefined: without a credential. */
async function token(scope: string, as?: string): Promise<{ status: number; token: string }> {
  const query = new URLSearchParams({ service: new URL(instance.url).host, scope });
  const answer = await fetch(`${instance.url}/v2/token?${query.toString()}`, {
    headers: as === undefined ? {} : { authorization: `Basic ${Buffer.from(`x:${as}`).toString("base64")}` },
  });
  return { status: answer.status, token: ((await answer.json()) as { token?: string }).token ?? "" };
}

async function person(name: string): Promise<string> {
  await must("POST", "/people", { name });
  return String((await must("POST", `/people/${name}/keys`, { label: "x" }))["key"]);
}

/** A push of a manifest that names nothing new: the newest image's bytes with another annotation. */
async function retag(repository: string, tag: string, mark: string, as?: string): Promise<Response> {
  const bytes = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest: await empty(repository), size: 2 },
    layers: [],
    annotations: { mark },
  });
  return await registry("PUT", `${repository}/manifests/${tag}`, as ?? instance.adminToken, bytes);
}

async function empty(repository: string): Promise<string> {
  const digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  const answer = await fetch(`${instance.url}/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    headers: { authorization: ADMIN_BASIC },
    body: "{}",
  });
  expect(answer.status).toBe(201);
  return digest;
}

async function recorded(type: string): Promise<number> {
  const rows = await instance.reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("sequence")
    .where("type", "=", type)
    .execute();
  return rows.length;
}

beforeAll(async () => {
  instance = await startInstance();
  for (const name of ["acme", "riva"]) await must("POST", "/orgs", { name });
  alice = await person("alice");
  mia = await person("mia");
  rob = await person("rob");
  zoe = await person("zoe");
  await must("PUT", "/orgs/acme/members/person/alice", { role: "admin" });
  await must("PUT", "/orgs/acme/members/person/mia", { role: "member" });
  await must("PUT", "/orgs/riva/members/person/zoe", { role: "admin" });
  await must("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/team/**", role: "admin" });
}, 60_000);

afterAll(async () => {
  await instance.stop();
});

describe("a repository's settings", () => {
  it("are what the defaults say after a first push, and change one by one, each change a version", async () => {
    await pushImage(instance.url, "acme/app", "1.0.0", randomBytes(32));
    expect(await must("GET", "/orgs/acme/repositories/app", undefined, mia)).toMatchObject({
      name: "acme/app",
      description: "",
      visibility: "private",
      immutable: "release-tags",
      immutableTags: [],
      promotionPolicy: null,
      setBy: null,
    });
    await must("PATCH", "/orgs/acme/repositories/app", { description: "Our application" }, alice);
    const set = await must("PATCH", "/orgs/acme/repositories/app", { immutableTags: ["stable", "v*"] }, alice);
    expect(set).toMatchObject({ description: "Our application", immutableTags: ["stable", "v*"] });
    expect(set["receipt"]).not.toBeNull();
    const same = await must("PATCH", "/orgs/acme/repositories/app", { immutableTags: ["stable", "v*"] }, alice);
    expect(same["receipt"]).toBeNull();
    const { items, next } = await must("GET", "/orgs/acme/repositories/app/history?limit=1", undefined, mia);
    expect(items).toMatchObject([{ immutableTags: ["stable", "v*"], setBy: "person:alice", until: null }]);
    const rest = await must("GET", `/orgs/acme/repositories/app/history?cursor=${String(next)}`, undefined, mia);
    expect(rest).toMatchObject({ items: [{ description: "Our application", immutableTags: [] }], next: null });
  });

  it("are there ahead of the first push for a repository that was made so", async () => {
    const made = await instance.api(
      "POST",
      `${API}/orgs/acme/repositories`,
      { name: "team/new", immutable: "all-tags", description: "soon" },
      rob,
    );
    expect([made.status, made.body]).toMatchObject([201, { name: "acme/team/new", immutable: "all-tags" }]);
    expect(await (await registry("GET", "acme/team/new/tags/list", alice)).json()).toEqual({
      name: "acme/team/new",
      tags: [],
    });
    expect(await refusal("POST", "/orgs/acme/repositories", { name: "team/new" }, rob)).toEqual([
      409,
      "repository-exists",
    ]);
    await pushImage(instance.url, "acme/team/new", "latest", randomBytes(16));
    expect(await must("GET", "/orgs/acme/repositories/team%2Fnew", undefined, rob)).toMatchObject({
      immutable: "all-tags",
    });
  });

  it("are set by admins there and nobody else; what everybody may read, by admins of the organisation", async () => {
    const change = { description: "mine" };
    expect(await refusal("PATCH", "/orgs/acme/repositories/app", change, mia)).toEqual([403, "forbidden"]);
    expect(await refusal("PATCH", "/orgs/acme/repositories/app", change, rob)).toEqual([404, "org-unknown"]);
    expect(await refusal("PATCH", "/orgs/acme/repositories/app", change, zoe)).toEqual([404, "org-unknown"]);
    expect(await refusal("POST", "/orgs/acme/repositories", { name: "mine" }, mia)).toEqual([403, "forbidden"]);
    expect(await refusal("PATCH", "/orgs/acme/repositories/none", change, alice)).toEqual([404, "repository-unknown"]);
    await must("PATCH", "/orgs/acme/repositories/team%2Fnew", change, rob);
    const open = { visibility: "public" };
    expect(await refusal("PATCH", "/orgs/acme/repositories/team%2Fnew", open, rob)).toEqual([404, "org-unknown"]);
    expect(await refusal("POST", "/orgs/acme/repositories", { name: "team/open", ...open }, rob)).toEqual([
      404,
      "org-unknown",
    ]);
  });

  it("show who may what there to those who may know", async () => {
    const shown = await must("GET", "/orgs/acme/repositories/team%2Fnew", undefined, alice);
    expect(shown["who"]).toEqual([
      { principal: "person:alice", role: "admin", through: null },
      { principal: "person:mia", role: "member", through: null },
      { principal: "person:rob", role: "admin", through: "acme/team/**" },
    ]);
    expect((await must("GET", "/orgs/acme/repositories/team%2Fnew", undefined, rob))["who"]).toBeNull();
    expect(await refusal("GET", "/orgs/acme/repositories/team%2Fnew", undefined, zoe)).toEqual([404, "org-unknown"]);
  });

  it("are listed with their repositories, page by page, of those the caller may pull from", async () => {
    const first = await must("GET", "/orgs/acme/repositories?limit=1", undefined, alice);
    const second = await must(
      "GET",
      `/orgs/acme/repositories?limit=1&cursor=${String(first["next"])}`,
      undefined,
      alice,
    );
    expect([first["items"], second["items"], second["next"]]).toMatchObject([
      [{ name: "acme/team/new" }],
      [{ name: "acme/app" }],
      null,
    ]);
    expect(await must("GET", "/orgs/acme/repositories", undefined, rob)).toMatchObject({
      items: [{ name: "acme/team/new" }],
    });
    expect(await refusal("GET", "/orgs/acme/repositories", undefined, zoe)).toEqual([404, "org-unknown"]);
  });

  it("are refused where they are none", async () => {
    for (const wrong of [
      { immutableTags: ["a b"] },
      { immutableTags: Array.from({ length: 33 }, () => "a") },
      { visibility: "open" },
      { description: "x".repeat(4097) },
      { unknown: 1 },
    ]) {
      expect(await refusal("PATCH", "/orgs/acme/repositories/app", wrong, alice)).toEqual([400, "request-invalid"]);
    }
    expect(await refusal("POST", "/orgs/acme/repositories", { name: "No/Such" }, alice)).toEqual([
      400,
      "repository-invalid",
    ]);
  });
});

describe("a public repository", () => {
  let digest: string;
  let layer: string;

  beforeAll(async () => {
    const image = await pushImage(instance.url, "acme/open", "1.0.0", randomBytes(32));
    await pushImage(instance.url, "acme/shut", "1.0.0", randomBytes(32));
    ({ manifest: digest, layer } = image);
    await must("PATCH", "/orgs/acme/repositories/open", { visibility: "public" }, alice);
  });

  it("is pulled without a credential, through a token as docker asks for one", async () => {
    const challenged = await registry("GET", "acme/open/manifests/1.0.0", undefined);
    expect(challenged.status).toBe(401);
    expect(challenged.headers.get("www-authenticate")).toContain('scope="repository:acme/open:pull"');
    const nobody = await token("repository:acme/open:pull,push,delete");
    expect(nobody.status).toBe(200);
    for (const path of [
      `manifests/${digest}`,
      "manifests/1.0.0",
      `blobs/${layer}`,
      "tags/list",
      `referrers/${digest}`,
    ]) {
      expect((await registry("GET", `acme/open/${path}`, nobody.token)).status, path).toBe(200);
      expect((await registry("GET", `acme/shut/${path}`, nobody.token)).status, path).toBe(401);
    }
    for (const [method, path] of [
      ["POST", "blobs/uploads/"],
      ["PUT", "manifests/2.0.0"],
      ["DELETE", `manifests/${digest}`],
      ["DELETE", `blobs/${layer}`],
    ] as const) {
      const body = method === "PUT" ? "{}" : undefined;
      const answer = await registry(method, `acme/open/${path}`, nobody.token, body);
      expect(answer.status, `${method} ${path}`).toBe(401);
    }
  });

  it("may be kept by any cache that asks again, as long as no gate stands over it and it is as everybody that somebody pulls", async () => {
    const nobody = await token("repository:acme/open:pull");
    const caching = async (as: string): Promise<(string | null)[]> => {
      const said: (string | null)[] = [];
      for (const path of ["manifests/1.0.0", `manifests/${digest}`, `blobs/${layer}`]) {
        for (const method of ["GET", "HEAD"]) {
          said.push((await registry(method, `acme/open/${path}`, as)).headers.get("cache-control"));
        }
      }
      return [...new Set(said)];
    };
    expect(await caching(nobody.token)).toEqual(["public, no-cache"]);
    expect(await caching(zoe)).toEqual(["public, no-cache"]);
    expect(await caching(mia)).toEqual(["private, no-cache"]);
    const signed = "https://sigstore.dev/cosign/sign/v1";
    const yaml = `version: 1\nname: none\nrules:\n  - id: signed\n    evidence:\n      predicateType: ${signed}\n      identities: [nobody]\n`;
    await must("PUT", "/orgs/acme/policies/none", { yaml });
    await must("PUT", "/orgs/acme/pull-gates", { repository: "acme/open", policy: "none" });
    expect(
      (await registry("GET", `acme/open/manifests/${digest}`, nobody.token)).headers.get("cache-control"),
    ).toBeNull();
    expect(await caching(mia)).toEqual(["private, no-cache"]);
    await must("DELETE", "/orgs/acme/pull-gates?repository=acme/open");
    expect(await caching(nobody.token)).toEqual(["public, no-cache"]);
  });

  it("gives nobody a token for what is private, and none that reaches the own API", async () => {
    expect((await token("repository:acme/shut:pull")).status).toBe(401);
    expect((await token("repository:acme/none:pull")).status).toBe(401);
    expect((await token("")).status).toBe(401);
    const { token: nobody } = await token("repository:acme/open:pull");
    for (const path of ["/whoami", "/orgs", "/orgs/acme/repositories/open"]) {
      expect((await instance.api("GET", `${API}${path}`, undefined, nobody)).status, path).toBe(401);
    }
    const query = new URLSearchParams({ service: new URL(instance.url).host, scope: "repository:acme/open:pull" });
    const again = await fetch(`${instance.url}/v2/token?${query.toString()}`, {
      headers: { authorization: `Bearer ${nobody}` },
    });
    expect(again.status).toBe(401);
  });

  it("is pulled by people of other organisations, who push nothing there", async () => {
    expect((await registry("GET", `acme/open/manifests/${digest}`, zoe)).status).toBe(200);
    expect((await registry("GET", `acme/shut/manifests/1.0.0`, zoe)).status).toBe(404);
    expect((await registry("POST", "acme/open/blobs/uploads/", zoe)).status).toBe(404);
    const narrow = await token("repository:acme/open:pull,push", zoe);
    expect((await registry("GET", `acme/open/manifests/${digest}`, narrow.token)).status).toBe(200);
    const elsewhere = await token("repository:riva/x:pull", zoe);
    expect((await registry("GET", `acme/open/manifests/${digest}`, elsewhere.token)).status).toBe(401);
  });

  it("is listed in everybody's catalog, and no other is", async () => {
    const nobody = await token("registry:catalog:*");
    const open = { repositories: ["acme/open"] };
    expect(await (await registry("GET", "_catalog", nobody.token)).json()).toEqual(open);
    expect(await (await registry("GET", "_catalog", zoe)).json()).toEqual(open);
    expect(await (await registry("GET", "_catalog", rob)).json()).toEqual({
      repositories: ["acme/open", "acme/team/new"],
    });
    expect(await (await registry("GET", "_catalog", mia)).json()).toEqual({
      repositories: ["acme/app", "acme/open", "acme/shut", "acme/team/new"],
    });
    const first = await registry("GET", "_catalog?n=1", rob);
    expect(await first.json()).toEqual(open);
    expect(first.headers.get("link")).toContain("last=acme%2Fopen");
    const { token: narrow } = await token("repository:acme/open:pull");
    expect((await registry("GET", "_catalog", narrow)).status).toBe(401);
  });

  it("is nobody's any more the moment it is private, also for a token that was given out", async () => {
    const nobody = await token("repository:acme/open:pull");
    await must("PATCH", "/orgs/acme/repositories/open", { visibility: "private" }, alice);
    expect((await registry("GET", "acme/open/manifests/1.0.0", nobody.token)).status).toBe(401);
    expect((await token("repository:acme/open:pull")).status).toBe(401);
    expect((await token("registry:catalog:*")).status).toBe(401);
    await must("PATCH", "/orgs/acme/repositories/open", { visibility: "public" }, alice);
  });
});

describe("an immutable tag", () => {
  it("does not move, and that somebody tried is on record once, with its repeats counted", async () => {
    await pushImage(instance.url, "acme/kept", "stable", randomBytes(32));
    await must("PATCH", "/orgs/acme/repositories/kept", { immutableTags: ["sta*"] }, alice);
    const before = await recorded("registry.tag-move-refused");
    for (const _attempt of [1, 2, 3]) {
      const refused = await retag("acme/kept", "stable", "other", mia);
      expect(refused.status).toBe(403);
      const { errors } = (await refused.json()) as { errors: { code: string; message: string; detail: Body }[] };
      expect(errors[0]?.code).toBe("DENIED");
      expect(errors[0]?.message).toContain("immutable tag stable of acme/kept");
      expect(errors[0]?.detail).toMatchObject({ tag: "stable" });
    }
    expect(await recorded("registry.tag-move-refused")).toBe(before + 1);
    const { items } = await must("GET", "/orgs/acme/repositories/kept/refused-moves", undefined, mia);
    expect(items).toMatchObject([{ tag: "stable", actor: "person:mia", attempts: 3 }]);
    // Somebody else's attempt is another fact.
    expect((await retag("acme/kept", "stable", "other", alice)).status).toBe(403);
    expect(await recorded("registry.tag-move-refused")).toBe(before + 2);
    expect(await refusal("GET", "/orgs/acme/repositories/kept/refused-moves", undefined, rob)).toEqual([
      404,
      "org-unknown",
    ]);
  });

  it("fills the record no further, however many digests one client tries", async () => {
    await pushImage(instance.url, "acme/loop", "1.0.0", randomBytes(32));
    const before = await recorded("registry.tag-move-refused");
    for (let at = 0; at < REFUSED_MOVES.perTag + 4; at += 1) {
      expect((await retag("acme/loop", "1.0.0", `loop ${at}`, mia)).status).toBe(403);
    }
    expect(await recorded("registry.tag-move-refused")).toBe(before + REFUSED_MOVES.perTag);
    const { items } = await must("GET", "/orgs/acme/repositories/loop/refused-moves?limit=1", undefined, mia);
    expect(items).toMatchObject([{ tag: "1.0.0", attempts: REFUSED_MOVES.perTag + 4 }]);
  });

  it("leaves no trace of somebody who may not push there", async () => {
    const before = await recorded("registry.tag-move-refused");
    expect((await registry("PUT", "acme/kept/manifests/stable", zoe, "{}")).status).toBe(404);
    expect((await registry("PUT", "acme/kept/manifests/stable", undefined, "{}")).status).toBe(401);
    expect(await recorded("registry.tag-move-refused")).toBe(before);
  });

  it("may be any tag of a repository, but those that signing clients keep evidence under", async () => {
    const image = await pushImage(instance.url, "acme/whole", "edge", randomBytes(32));
    await must("PATCH", "/orgs/acme/repositories/whole", { immutable: "all-tags" }, alice);
    expect((await retag("acme/whole", "edge", "moved")).status).toBe(403);
    expect((await retag("acme/whole", "fresh", "first")).status).toBe(201);
    expect((await retag("acme/whole", "fresh", "first")).status).toBe(201);
    expect((await retag("acme/whole", "fresh", "second")).status).toBe(403);
    const evidence = `sha256-${image.manifest.slice("sha256:".length)}.sig`;
    expect((await retag("acme/whole", evidence, "one")).status).toBe(201);
    expect((await retag("acme/whole", evidence, "two")).status).toBe(201);
  });

  it("comes back with its former digest only, after it was deleted", async () => {
    expect((await registry("DELETE", "acme/whole/manifests/fresh", alice)).status).toBe(202);
    expect((await retag("acme/whole", "fresh", "second")).status).toBe(403);
    expect((await retag("acme/whole", "fresh", "first")).status).toBe(201);
  });

  it("moves again once the setting goes, but a release tag never does", async () => {
    await must("PATCH", "/orgs/acme/repositories/whole", { immutable: "release-tags" }, alice);
    expect((await retag("acme/whole", "edge", "moved")).status).toBe(201);
    expect((await retag("acme/whole", "v3.0.0", "one")).status).toBe(201);
    expect((await retag("acme/whole", "v3.0.0", "two")).status).toBe(403);
  });
});

describe("patterns of tags", () => {
  it("fit as a star for any characters says, and in linear time", () => {
    expect(matchesTag("stable", "stable")).toBe(true);
    expect(matchesTag("stable", "stable1")).toBe(false);
    expect(matchesTag("v*", "v1")).toBe(true);
    expect(matchesTag("*-final", "a-final")).toBe(true);
    expect(matchesTag("*-final", "-finale")).toBe(false);
    expect(matchesTag("a*a", "a")).toBe(false);
    const started = performance.now();
    expect(matchesTag(`${"*a".repeat(60)}b`, "a".repeat(128))).toBe(false);
    expect(performance.now() - started).toBeLessThan(50);
  });

  it("agree with a regular expression", () => {
    const piece = fc.constantFrom("a", "b", "-", "*");
    const tag = fc.array(fc.constantFrom("a", "b", "-"), { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), tag, (parts, text) => {
        const pattern = parts.join("");
        expect(matchesTag(pattern, text)).toBe(new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(text));
      }),
    );
  });

  it("never free a release tag, nor hold an evidence tag", () => {
    expect(immutability("1.0.0", { immutable: "release-tags", immutableTags: [] })).toBe("release");
    expect(
      immutability(`sha256-${"a".repeat(64)}.sig`, { immutable: "all-tags", immutableTags: ["*"] }),
    ).toBeUndefined();
  });
});
