/** What is deleted: with which right and reason, that it comes back as it was, and until when. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { REGISTRY_LIMITS } from "../src/registry/limits.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";

const API = "/api/assay/v1";

let instance: Instance;
/** An admin of acme; an admin of acme/app alone; a member; an admin elsewhere. */
let alice: string;
let rob: string;
let mia: string;
let zoe: string;

type Body = Record<string, unknown>;

async function must(method: string, path: string, body?: unknown, token?: string): Promise<Body> {
  const answer = await instance.api(method, `${API}${path}`, body, token);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return (answer.body ?? {}) as Body;
}

async function refusal(path: string, body?: unknown, token?: string): Promise<[number, unknown]> {
  const answer = await instance.api("POST", `${API}${path}`, body, token);
  return [answer.status, (answer.body as { error?: { code?: unknown } }).error?.code];
}

async function registry(method: string, path: string, as = instance.adminToken): Promise<Response> {
  return await fetch(`${instance.url}/v2/${path}`, { method, headers: { authorization: `Bearer ${as}` } });
}

async function person(name: string): Promise<string> {
  await must("POST", "/people", { name });
  return String((await must("POST", `/people/${name}/keys`, { label: "x" }))["key"]);
}

const remove = (name: string, body: Body, as?: string): Promise<Body> =>
  must("POST", `/orgs/acme/repositories/${encodeURIComponent(name)}/deletions`, body, as);
const restore = (sequence: unknown, as?: string): Promise<Body> =>
  must("POST", `/orgs/acme/deletions/${String(sequence)}/restore`, undefined, as);

/** The newest deletion in a repository. */
async function newest(repository: string): Promise<Body> {
  const { items } = await must("GET", `/orgs/acme/deletions?repository=${repository}`);
  return (items as Body[])[0] ?? {};
}

beforeAll(async () => {
  instance = await startInstance();
  for (const name of ["acme", "riva"]) await must("POST", "/orgs", { name });
  [alice, rob, mia, zoe] = [await person("alice"), await person("rob"), await person("mia"), await person("zoe")];
  await must("PUT", "/orgs/acme/members/person/alice", { role: "admin" });
  await must("PUT", "/orgs/acme/members/person/mia", { role: "member" });
  await must("PUT", "/orgs/riva/members/person/zoe", { role: "admin" });
  await must("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/app", role: "admin" });
}, 60_000);

afterAll(async () => {
  await instance.stop();
});

describe("a tag that was deleted", () => {
  it("is listed with who, why and until when, and comes back", async () => {
    const { manifest } = await pushImage(instance.url, "acme/app", "1.0.0", randomBytes(32));
    const gone = await remove("app", { tag: "1.0.0", reason: "announced too early" }, rob);
    expect(gone).toMatchObject({ kind: "tag", tag: "1.0.0", digest: manifest, actor: "person:rob" });
    expect(gone["until"]).toBe(Number(gone["at"]) + 7 * 86_400_000);
    expect((await registry("GET", "acme/app/manifests/1.0.0")).status).toBe(404);
    expect(await must("GET", "/orgs/acme/deletions", undefined, mia)).toMatchObject({
      items: [{ sequence: gone["sequence"], reason: "announced too early" }],
    });
    await restore(gone["sequence"], rob);
    const back = await registry("GET", "acme/app/manifests/1.0.0");
    expect(back.headers.get("docker-content-digest")).toBe(manifest);
    expect((await must("GET", "/orgs/acme/deletions"))["items"]).toEqual([]);
    expect(await refusal(`/orgs/acme/deletions/${String(gone["sequence"])}/restore`)).toEqual([
      409,
      "deletion-restored",
    ]);
  });

  it("that was deleted through the registry comes back as well, unless it names something else by now", async () => {
    await pushImage(instance.url, "acme/app", "latest", randomBytes(32));
    expect((await registry("DELETE", "acme/app/manifests/latest")).status).toBe(202);
    const { sequence } = await newest("app");
    await pushImage(instance.url, "acme/app", "latest", randomBytes(32));
    expect(await refusal(`/orgs/acme/deletions/${String(sequence)}/restore`)).toEqual([409, "tag-taken"]);
  });
});

describe("a manifest that was deleted", () => {
  it("comes back with its bytes, what it names, and the tags that went with it", async () => {
    const image = await pushImage(instance.url, "acme/app", "2.0.0", randomBytes(32));
    expect((await registry("DELETE", `acme/app/manifests/${image.manifest}`)).status).toBe(202);
    expect((await registry("GET", `acme/app/manifests/${image.manifest}`)).status).toBe(404);
    await restore((await newest("app"))["sequence"], alice);
    for (const path of [`manifests/${image.manifest}`, "manifests/2.0.0", `blobs/${image.layer}`]) {
      expect((await registry("GET", `acme/app/${path}`)).status, path).toBe(200);
    }
  });

  it("comes back without the tags that name something else by now", async () => {
    const image = await pushImage(instance.url, "acme/app", "edge", randomBytes(32));
    await remove("app", { digest: image.manifest }, rob);
    const { sequence } = await newest("app");
    const other = await pushImage(instance.url, "acme/app", "edge", randomBytes(32));
    await restore(sequence, rob);
    expect((await registry("GET", `acme/app/manifests/${image.manifest}`)).status).toBe(200);
    const edge = await registry("GET", "acme/app/manifests/edge");
    expect(edge.headers.get("docker-content-digest")).toBe(other.manifest);
  });

  it("and has evidence, is deleted with a reason by an admin of the organisation and not otherwise", async () => {
    const image = await pushImage(instance.url, "acme/app", "3.0.0", randomBytes(32));
    const report = { subject: image.manifest, predicateType: "https://example.com/r", predicate: {} };
    await must("POST", "/orgs/acme/reports", report, alice);
    const refused = await registry("DELETE", `acme/app/manifests/${image.manifest}`, alice);
    expect(refused.status).toBe(403);
    const { errors } = (await refused.json()) as { errors: { code: string; message: string }[] };
    expect(errors[0]?.code).toBe("DENIED");
    expect(errors[0]?.message).toContain("has evidence");
    expect(errors[0]?.message).toContain(`assay repository delete app@${image.manifest} --reason`);
    const path = "/orgs/acme/repositories/app/deletions";
    expect(await refusal(path, { digest: image.manifest }, alice)).toEqual([403, "deletion-needs-reason"]);
    expect(await refusal(path, { digest: image.manifest, reason: "  " }, alice)).toEqual([400, "request-invalid"]);
    // The admin of the repository alone may delete there, but not this.
    expect(await refusal(path, { digest: image.manifest, reason: "built wrong" }, rob)).toEqual([404, "org-unknown"]);
    await remove("app", { digest: image.manifest, reason: "built wrong" }, alice);
    const { sequence } = await newest("app");
    // Nor does who may not delete it bring it back.
    expect(await refusal(`/orgs/acme/deletions/${String(sequence)}/restore`, undefined, rob)).toEqual([
      404,
      "org-unknown",
    ]);
    expect((await registry("GET", `acme/app/manifests/${image.manifest}`)).status).toBe(404);
    await restore(sequence, alice);
  });

  it("comes back without a tag that never moves and named something else since", async () => {
    const image = await pushImage(instance.url, "acme/kept", "stable", randomBytes(32));
    const gone = await remove("kept", { digest: image.manifest });
    const other = await pushImage(instance.url, "acme/kept", "stable", randomBytes(32));
    await remove("kept", { tag: "stable" });
    await must("PATCH", "/orgs/acme/repositories/kept", { immutableTags: ["stable"] });
    await restore(gone["sequence"]);
    expect((await registry("GET", `acme/kept/manifests/${image.manifest}`)).status).toBe(200);
    expect((await registry("GET", "acme/kept/manifests/stable")).status).toBe(404);
    await restore((await newest("kept"))["sequence"]);
    const stable = await registry("GET", "acme/kept/manifests/stable");
    expect(stable.headers.get("docker-content-digest")).toBe(other.manifest);
  });

  it("does not come back when its bytes are gone", async () => {
    const image = await pushImage(instance.url, "acme/bare", "1.0.0", randomBytes(32));
    await remove("bare", { digest: image.manifest });
    if (process.env["ASSAY_TEST_BLOBS"] === "s3") return;
    const hex = image.layer.slice("sha256:".length);
    await rm(`${instance.dataDirectory}/blobs/sha256/${hex.slice(0, 2)}/${hex}`);
    const { sequence } = await newest("bare");
    expect(await refusal(`/orgs/acme/deletions/${String(sequence)}/restore`)).toEqual([409, "deletion-final"]);
  });
});

describe("a repository that was deleted", () => {
  it("is unknown, keeps its name from everybody, and comes back whole with its settings", async () => {
    const image = await pushImage(instance.url, "acme/shop", "1.0.0", randomBytes(32));
    await pushImage(instance.url, "acme/shop", "latest", randomBytes(32));
    await must("PATCH", "/orgs/acme/repositories/shop", { visibility: "public", description: "the shop" });
    const path = "/orgs/acme/repositories/shop/deletions";
    expect(await refusal(path, { whole: true }, alice)).toEqual([400, "request-invalid"]);
    expect(await refusal(path, { whole: true, reason: "moved away" }, mia)).toEqual([403, "forbidden"]);
    expect(await refusal("/orgs/acme/repositories/app/deletions", { whole: true, reason: "mine now" }, rob)).toEqual([
      404,
      "org-unknown",
    ]);
    const gone = await remove("shop", { whole: true, reason: "moved away" }, alice);
    expect(gone).toMatchObject({ kind: "repository", repository: "acme/shop", tag: null, digest: null });
    for (const place of ["tags/list", "manifests/1.0.0", `manifests/${image.manifest}`, `blobs/${image.layer}`]) {
      expect((await registry("GET", `acme/shop/${place}`)).status, place).toBe(404);
    }
    expect((await registry("GET", "acme/shop/manifests/1.0.0", zoe)).status).toBe(404);
    expect((await instance.api("GET", `${API}/orgs/acme/repositories/shop`)).status).toBe(404);
    expect(
      ((await (await registry("GET", "_catalog")).json()) as { repositories: string[] }).repositories,
    ).not.toContain("acme/shop");
    await expect(pushImage(instance.url, "acme/shop", "9.0.0", randomBytes(32))).rejects.toThrow(/its name is kept/);
    await restore(gone["sequence"], alice);
    expect((await registry("GET", "acme/shop/manifests/1.0.0", zoe)).status).toBe(200);
    expect((await registry("GET", `acme/shop/blobs/${image.layer}`, zoe)).status).toBe(200);
    expect(await must("GET", "/orgs/acme/repositories/shop")).toMatchObject({ description: "the shop" });
  });

  it("may be made anew by an admin of the organisation; its releases never name anything else", async () => {
    const image = await pushImage(instance.url, "acme/again", "1.0.0", randomBytes(32));
    const gone = await remove("again", { whole: true, reason: "a fresh start" });
    await must("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/again", role: "admin" });
    expect(await refusal("/orgs/acme/repositories", { name: "again" }, rob)).toEqual([403, "repository-name-held"]);
    await must("POST", "/orgs/acme/repositories", { name: "again" }, alice);
    await expect(pushImage(instance.url, "acme/again", "1.0.0", randomBytes(32))).rejects.toThrow(image.manifest);
    expect(await refusal(`/orgs/acme/deletions/${String(gone["sequence"])}/restore`)).toEqual([
      409,
      "repository-exists",
    ]);
  });
});

it("a manifest with more tags than fit an event stays as it is, and goes when some of them did", async () => {
  const { manifest } = await pushImage(instance.url, "acme/many", "first", randomBytes(32));
  const bytes = await (await registry("GET", `acme/many/manifests/${manifest}`)).text();
  const type = "application/vnd.oci.image.manifest.v1+json";
  const most = REGISTRY_LIMITS.tagsPerDeletion;
  const step = REGISTRY_LIMITS.tagsPerPut - 1;
  for (let tag = 0; tag < most; tag += step) {
    const count = Math.min(step, most - tag);
    const query = Array.from({ length: count }, (_, index) => `tag=t${tag + index}`).join("&");
    const put = await fetch(`${instance.url}/v2/acme/many/manifests/${manifest}?${query}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${instance.adminToken}`, "content-type": type },
      body: bytes,
    });
    expect(put.status).toBe(201);
  }
  const refused = await registry("DELETE", `acme/many/manifests/${manifest}`);
  expect(refused.status).toBe(409);
  const { errors } = (await refused.json()) as { errors: { code: string; message: string }[] };
  expect(errors[0]?.code).toBe("DENIED");
  expect(errors[0]?.message).toContain("delete tags of it first");
  expect((await registry("HEAD", "acme/many/manifests/t9999")).status).toBe(200);
  expect((await registry("DELETE", "acme/many/manifests/first")).status).toBe(202);
  expect((await registry("DELETE", `acme/many/manifests/${manifest}`)).status).toBe(202);
  expect((await registry("HEAD", "acme/many/manifests/t9999")).status).toBe(404);
  await restore((await newest("many"))["sequence"]);
  expect((await registry("HEAD", "acme/many/manifests/t9999")).status).toBe(200);
}, 60_000);

describe("what was deleted", () => {
  it("of another tenant is as what was never there", async () => {
    await pushImage(instance.url, "acme/app", "0.0.1", randomBytes(32));
    const gone = await remove("app", { tag: "0.0.1" });
    const path = (sequence: unknown): string => `/orgs/riva/deletions/${String(sequence)}/restore`;
    expect(await refusal(path(gone["sequence"]), undefined, zoe)).toEqual([404, "deletion-unknown"]);
    expect(await refusal(path(1_000_000), undefined, zoe)).toEqual([404, "deletion-unknown"]);
    expect(await refusal(`/orgs/acme/deletions/${String(gone["sequence"])}/restore`, undefined, zoe)).toEqual([
      404,
      "org-unknown",
    ]);
    expect(await refusal(`/orgs/acme/deletions/${String(gone["sequence"])}/restore`, undefined, mia)).toEqual([
      403,
      "forbidden",
    ]);
    const mine = await must("GET", "/orgs/acme/deletions", undefined, rob);
    for (const { repository } of mine["items"] as Body[]) expect(repository).toMatch(/^acme\/(app|again)$/);
  });

  it("stays deleted when its time is over", async () => {
    await pushImage(instance.url, "acme/late", "1.0.0", randomBytes(32));
    const gone = await remove("late", { tag: "1.0.0" });
    await instance.restart({ deletedGraceMs: 0 });
    expect((await must("GET", "/orgs/acme/deletions"))["items"]).toEqual([]);
    expect(await refusal(`/orgs/acme/deletions/${String(gone["sequence"])}/restore`)).toEqual([409, "deletion-final"]);
    await instance.restart({ deletedGraceMs: undefined });
    await restore(gone["sequence"]);
  });
});
