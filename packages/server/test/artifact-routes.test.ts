import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage, sha256 } from "./pushing.ts";

const API = "/api/assay/v1";

let instance: Instance;

beforeAll(async () => {
  instance = await startInstance();
  await instance.api("POST", `${API}/orgs`, { name: "acme" });
});

afterAll(async () => {
  await instance.stop();
});

type Row = { repository: string; digest?: string; tags?: string[]; pushedBy: string; kind?: string; size: number };
type Story = { places: Row[]; placesMore: boolean; partOf: Row[]; referrers: Row[]; referrersMore: boolean };

async function story(org: string, digest: string, key?: string): Promise<{ status: number; body: Story }> {
  const answer = await fetch(`${instance.url}${API}/orgs/${org}/artifacts/${digest}`, {
    headers: { authorization: key === undefined ? ADMIN_BASIC : `Bearer ${key}` },
  });
  return { status: answer.status, body: (await answer.json()) as Story };
}

/** Pushes a manifest about another. */
async function refer(repository: string, subject: string, note: string): Promise<string> {
  const empty = "{}";
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    artifactType: "application/vnd.example.note",
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest: sha256(empty), size: 2 },
    layers: [],
    subject: { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: subject, size: 1 },
    annotations: { note },
  });
  const answer = await fetch(`${instance.url}/v2/${repository}/manifests/${sha256(manifest)}`, {
    method: "PUT",
    headers: { authorization: ADMIN_BASIC, "content-type": "application/vnd.oci.image.manifest.v1+json" },
    body: manifest,
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  return sha256(manifest);
}

describe("where an artifact is", () => {
  it("says in which repositories, under which tags, by whom, and what refers to it", async () => {
    const layer = randomBytes(50);
    const image = await pushImage(instance.url, "default/one", "1.0.0", layer);
    await pushImage(instance.url, "default/one", "latest", layer);
    await pushImage(instance.url, "default/two", "1.0.0", layer);
    const note = await refer("default/two", image.manifest, "a");
    const { status, body } = await story("default", image.manifest);
    expect(status).toBe(200);
    expect(body.places).toMatchObject([
      { repository: "default/one", tags: ["1.0.0", "latest"], pushedBy: "admin" },
      { repository: "default/two", tags: ["1.0.0"] },
    ]);
    expect(body.referrers).toMatchObject([{ repository: "default/two", digest: note }]);
    expect(body).toMatchObject({ placesMore: false, referrersMore: false, partOf: [] });
  });

  it("says of a layer what it is part of", async () => {
    const image = await pushImage(instance.url, "default/parts", "1.0.0", randomBytes(50));
    const { body } = await story("default", image.layer);
    expect(body).toMatchObject({
      places: [],
      partOf: [{ repository: "default/parts", digest: image.manifest, kind: "layer", tags: ["1.0.0"] }],
    });
  });

  it("forgets what was deleted", async () => {
    const image = await pushImage(instance.url, "default/gone", "1.0.0", randomBytes(50));
    await fetch(`${instance.url}/v2/default/gone/manifests/${image.manifest}`, {
      method: "DELETE",
      headers: { authorization: ADMIN_BASIC },
    });
    expect((await story("default", image.manifest)).body).toMatchObject({ places: [], partOf: [] });
    expect((await story("default", image.layer)).body.partOf).toEqual([]);
  });

  it("counts on past a page, and says when there is more than it shows", async () => {
    const image = await pushImage(instance.url, "default/many", "1.0.0", randomBytes(50));
    for (let at = 0; at < 101; at += 1) await refer("default/many", image.manifest, String(at));
    const { body } = await story("default", image.manifest);
    expect(body.referrers).toHaveLength(100);
    expect(body.referrersMore).toBe(true);
  });

  it("is nothing another organisation hears of, and no organisation that one may not see", async () => {
    const image = await pushImage(instance.url, "default/secret", "1.0.0", randomBytes(50));
    expect((await story("acme", image.manifest)).body).toMatchObject({ places: [], partOf: [], referrers: [] });
    await instance.api("POST", `${API}/people`, { name: "eve" });
    await instance.api("PUT", `${API}/orgs/acme/members/person/eve`, { role: "admin" });
    const made = await instance.api("POST", `${API}/people/eve/keys`, { label: "k" });
    const { key } = made.body as { key: string };
    const theirs = await story("default", image.manifest, key);
    const nowhere = await story("no-such-org", image.manifest, key);
    expect(theirs.status).toBe(404);
    expect(JSON.stringify(theirs.body).replaceAll("default", "X")).toBe(
      JSON.stringify(nowhere.body).replaceAll("no-such-org", "X"),
    );
    expect((await story("acme", image.manifest, key)).body).toMatchObject({ places: [], partOf: [] });
  });

  it("is not asked about by anything but a digest", async () => {
    expect((await story("default", "latest")).status).toBe(400);
  });
});
