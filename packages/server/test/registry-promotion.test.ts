/** Promotion: an artifact goes to another repository by its digest, with what belongs to it and its evidence, where a policy may be asked first. */
import { randomBytes } from "node:crypto";
import { type Digest, parseDigest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { primaryOf } from "../src/attestations/queries.ts";
import { attest, makeKey, openRoom, provenance, replayDifferences, type Room, SIGNED } from "./evidence-room.ts";
import { pushImage, sha256 } from "./pushing.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

let room: Room;
/** Admin of acme and prod; member of acme alone; admin elsewhere. */
let alice: string;
let mia: string;
let zoe: string;
const builder = makeKey();

interface Promoted {
  readonly manifests: number;
  readonly evidence: number;
  readonly changed: boolean;
  readonly decision: string | null;
  readonly receipt: unknown;
  readonly error: { readonly code: string; readonly message: string; readonly detail: Record<string, unknown> };
}

async function promote(
  org: string,
  body: { from: string; digest: string; repository: string; tags?: string[] },
  token = alice,
): Promise<{ status: number; body: Promoted }> {
  const answer = await room.instance.api("POST", `/api/assay/v1/orgs/${org}/promotions`, body, token);
  return { status: answer.status, body: answer.body as Promoted };
}

async function registry(method: string, path: string, body?: { type: string; text: string }): Promise<Response> {
  return await fetch(`${room.instance.url}/v2/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${room.instance.adminToken}`,
      ...(body === undefined ? {} : { "content-type": body.type }),
    },
    ...(body === undefined ? {} : { body: body.text }),
  });
}

/** An index of one image, and something that refers to the image. */
async function pushIndex(repository: string, tag: string): Promise<{ index: Digest; image: string; referrer: string }> {
  const image = await pushImage(room.instance.url, repository, `${tag}-amd64`, randomBytes(64));
  const held = await (await registry("GET", `${repository}/manifests/${image.manifest}`)).text();
  const descriptor = { mediaType: MANIFEST, digest: image.manifest, size: Buffer.byteLength(held) };
  const put = async (reference: string | undefined, json: object): Promise<string> => {
    const text = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, ...json });
    const place = `${repository}/manifests/${reference ?? sha256(text)}`;
    const answer = await registry("PUT", place, { type: INDEX, text });
    if (answer.status !== 201) throw new Error(await answer.text());
    return sha256(text);
  };
  const index = await put(tag, { manifests: [descriptor] });
  const note = { artifactType: "application/vnd.example.note", manifests: [], subject: descriptor };
  return { index: parseDigest(index), image: image.manifest, referrer: await put(undefined, note) };
}

beforeAll(async () => {
  room = await openRoom();
  for (const org of ["prod"]) await room.call("POST", "/orgs", { name: org });
  alice = (await room.person("alice", "acme", "admin")).token;
  mia = (await room.person("mia", "acme", "member")).token;
  zoe = (await room.person("zoe", "rival", "admin")).token;
  await room.call("PUT", "/orgs/prod/members/person/alice", { role: "admin" });
  const scope = { repositories: ["**"], predicateTypes: ["*"] };
  await room.trust("acme", builder, { name: "builder", primary: true, scope });
  await room.trust("prod", builder, { name: "builder", primary: true, scope });
});
afterAll(() => room.stop());

describe("a promotion", () => {
  it("brings an index with its platforms, what refers to them, and the evidence, as one event", async () => {
    const { index, image, referrer } = await pushIndex("acme/app", "1.0.0");
    await room.post("acme", await provenance(builder, index, "1"), "app");
    const done = await promote(
      "acme",
      { from: "acme/app", digest: index, repository: "delivered", tags: ["1.0.0"] },
      mia,
    );
    expect(done.body).toMatchObject({ manifests: 3, evidence: 1, changed: true, decision: null });
    expect(done.body.receipt).not.toBeNull();
    for (const path of [`manifests/${index}`, "manifests/1.0.0", `manifests/${image}`, `manifests/${referrer}`]) {
      expect((await registry("GET", `acme/delivered/${path}`)).status, path).toBe(200);
    }
    const manifest = (await (await registry("GET", `acme/delivered/manifests/${image}`)).json()) as {
      layers: { digest: string }[];
    };
    const [layer] = manifest.layers;
    expect((await registry("GET", `acme/delivered/blobs/${layer?.digest ?? ""}`)).status).toBe(200);
    const listed = (await (await registry("GET", `acme/delivered/referrers/${image}`)).json()) as {
      manifests: { digest: string }[];
    };
    expect(listed.manifests.map(({ digest }) => digest)).toEqual([referrer]);
    // The evidence is the destination's too, and what is primary there is decided there.
    expect(await primaryOf(room.instance.reader, "acme", "acme/delivered", [index])).toHaveLength(1);
    const again = await promote("acme", { from: "acme/app", digest: index, repository: "delivered", tags: ["1.0.0"] });
    expect(again.body).toMatchObject({ manifests: 0, changed: false, receipt: null });
  });

  it("moves no tag that never moves", async () => {
    const one = await pushIndex("acme/app", "2.0.0");
    const two = await pushIndex("acme/app", "2.0.1");
    await promote("acme", { from: "acme/app", digest: one.index, repository: "kept", tags: ["2.0.0", "latest"] });
    const moved = await promote("acme", { from: "acme/app", digest: two.index, repository: "kept", tags: ["2.0.0"] });
    expect([moved.status, moved.body.error.code]).toEqual([403, "tag-immutable"]);
    // That somebody tried is on record, as of a push.
    const { body } = await room.call("GET", "/orgs/acme/repositories/kept/refused-moves");
    expect(body.items).toMatchObject([{ tag: "2.0.0", names: one.index, refused: two.index, actor: "person:alice" }]);
    expect((await registry("GET", `acme/kept/manifests/${two.index}`)).status).toBe(404);
    const latest = await promote("acme", { from: "acme/app", digest: two.index, repository: "kept", tags: ["latest"] });
    expect(latest.status).toBe(200);
    const evidence = `sha256-${"0".repeat(64)}.sig`;
    const wrong = await promote("acme", { from: "acme/app", digest: two.index, repository: "kept", tags: [evidence] });
    expect(wrong.status).toBe(400);
  });

  it("stands when its source goes", async () => {
    const { index } = await pushIndex("acme/source", "1.0.0");
    await promote("acme", { from: "acme/source", digest: index, repository: "stands" });
    const path = "/orgs/acme/repositories/source/deletions";
    expect((await room.call("POST", path, { whole: true, reason: "done with it" }, alice)).status).toBe(200);
    expect((await registry("GET", `acme/stands/manifests/${index}`)).status).toBe(200);
    const gone = await promote("acme", { from: "acme/source", digest: index, repository: "other" });
    expect([gone.status, gone.body.error.code]).toEqual([404, "manifest-unknown"]);
  });

  it("brings what signing clients keep under tags, and leaves what the destination keeps there", async () => {
    const { index } = await pushIndex("acme/app", "3.0.0");
    const tag = `sha256-${index.slice("sha256:".length)}.sig`;
    const signature = await pushImage(room.instance.url, "acme/app", tag, randomBytes(32));
    await promote("acme", { from: "acme/app", digest: index, repository: "signed" });
    const copied = await registry("GET", `acme/signed/manifests/${tag}`);
    expect(copied.headers.get("docker-content-digest")).toBe(signature.manifest);
    const own = await pushImage(room.instance.url, "acme/signed", tag, randomBytes(32));
    await promote("acme", { from: "acme/app", digest: index, repository: "signed", tags: ["latest"] });
    const kept = await registry("GET", `acme/signed/manifests/${tag}`);
    expect(kept.headers.get("docker-content-digest")).toBe(own.manifest);
  });
});

describe("a promotion to another organisation", () => {
  it("gives the evidence there, proven by who is trusted there", async () => {
    const { index } = await pushIndex("acme/app", "4.0.0");
    await room.post("acme", await attest(builder, index, SIGNED, {}), "app");
    expect((await room.call("GET", `/orgs/prod/attestations/${index}`)).body.items).toEqual([]);
    const done = await promote("prod", { from: "acme/app", digest: index, repository: "app", tags: ["4.0.0"] });
    expect(done.body).toMatchObject({ manifests: 3, evidence: 1 });
    const { items } = (await room.call("GET", `/orgs/prod/attestations/${index}`)).body;
    expect(items).toMatchObject([{ status: { status: "verified" } }]);
  });

  it("is for who may pull there and push here; everything else is not there", async () => {
    const { index } = await pushIndex("acme/app", "5.0.0");
    const asked = { from: "acme/app", digest: index, repository: "app" };
    const none = { from: "ghost/app", digest: index, repository: "app" };
    const foreign = await promote("rival", asked, zoe);
    const nobodys = await promote("rival", none, zoe);
    expect([foreign.status, foreign.body.error.code]).toEqual([404, "org-unknown"]);
    expect(JSON.stringify(foreign.body).replaceAll("acme", "ghost")).toBe(JSON.stringify(nobodys.body));
    const into = await promote("prod", asked, mia);
    expect([into.status, into.body.error.code]).toEqual([404, "org-unknown"]);
    expect((await registry("GET", `rival/app/manifests/${index}`)).status).toBe(404);
  });
});

describe("a destination that demands a policy", () => {
  const yaml =
    "version: 1\nname: release\nrules:\n  - id: built\n    evidence:\n      predicateType: https://slsa.dev/provenance/v1\n      identities: [builder]\n";

  beforeAll(async () => {
    await room.call("PUT", "/orgs/prod/policies/release", { yaml });
    const demand = { name: "gated", promotionPolicy: "release" };
    expect((await room.call("POST", "/orgs/prod/repositories", demand)).status).toBe(201);
  });

  it("takes what the policy allows, and the event names the decision", async () => {
    const { index } = await pushIndex("acme/app", "6.0.0");
    await room.post("acme", await provenance(builder, index, "1"), "app");
    const done = await promote("prod", { from: "acme/app", digest: index, repository: "gated", tags: ["6.0.0"] });
    expect([done.status, done.body.manifests]).toEqual([200, 3]);
    const decision = await room.call("GET", `/decisions/${done.body.decision ?? ""}`);
    expect(decision.body.decision).toMatchObject({ result: "allowed", subject: index, repository: "prod/gated" });
    const { sequence } = done.body.receipt as { sequence: number };
    const { event } = done.body.receipt as { event: string };
    const recorded = JSON.parse(Buffer.from(event, "base64").toString()) as { type: string; body: object };
    expect(recorded).toMatchObject({
      type: "registry.promoted",
      body: { digest: index, allowed: { policy: "release", decision: done.body.decision } },
    });
    expect(sequence).toBeGreaterThan(0);
  });

  it("refuses what it denies, with the decision's reasons", async () => {
    const { index } = await pushIndex("acme/app", "7.0.0");
    const denied = await promote("prod", { from: "acme/app", digest: index, repository: "gated" });
    expect([denied.status, denied.body.error.code]).toEqual([403, "promotion-denied"]);
    expect(denied.body.error.detail["reasons"]).not.toEqual([]);
    const decision = await room.call("GET", `/decisions/${String(denied.body.error.detail["decision"])}`);
    expect(decision.body.decision.result).toBe("denied");
    expect((await registry("GET", `prod/gated/manifests/${index}`)).status).toBe(404);
  });

  it("takes nothing by a push but evidence", async () => {
    await expect(pushImage(room.instance.url, "prod/gated", "8.0.0", randomBytes(32))).rejects.toThrow(
      /by promotion only/,
    );
    await expect(pushImage(room.instance.url, "prod/gated", "latest", randomBytes(32))).rejects.toThrow(/DENIED/);
    const { index } = await pushIndex("acme/app", "9.0.0");
    await room.post("acme", await provenance(builder, index, "1"), "app");
    await promote("prod", { from: "acme/app", digest: index, repository: "gated" });
    const held = await (await registry("GET", `prod/gated/manifests/${index}`)).text();
    // What is there by its digest is tagged by promotion too.
    const tagged = await registry("PUT", "prod/gated/manifests/9.0.0", { type: INDEX, text: held });
    expect(tagged.status).toBe(403);
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: INDEX,
      artifactType: "application/vnd.example.note",
      manifests: [],
      subject: { mediaType: INDEX, digest: index, size: Buffer.byteLength(held) },
    });
    const note = await registry("PUT", `prod/gated/manifests/${sha256(text)}`, { type: INDEX, text });
    expect(note.status).toBe(201);
    expect(
      (await promote("prod", { from: "prod/gated", digest: index, repository: "gated", tags: ["9.0.0"] })).status,
    ).toBe(200);
  });

  it("takes no image as evidence, neither by a push nor along with what it says it is about", async () => {
    const { index } = await pushIndex("acme/app", "9.1.0");
    await room.post("acme", await provenance(builder, index, "1"), "app");
    const held = await (await registry("GET", `acme/app/manifests/${index}`)).text();
    const subject = { mediaType: INDEX, digest: index, size: Buffer.byteLength(held) };
    const config = JSON.stringify({ os: "linux", rootfs: { type: "layers", diff_ids: [] } });
    const image = (layer: string): string =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: sha256(config),
          size: config.length,
        },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: sha256(layer), size: layer.length }],
        subject,
      });
    const push = async (repository: string, layer: string, reference = sha256(image(layer))): Promise<number> => {
      for (const text of [config, layer]) {
        const path = `${repository}/blobs/uploads/?digest=${sha256(text)}`;
        expect((await registry("POST", path, { type: "application/octet-stream", text })).status).toBe(201);
      }
      const path = `${repository}/manifests/${reference}`;
      return (await registry("PUT", path, { type: MANIFEST, text: image(layer) })).status;
    };
    const tag = `sha256-${index.slice("sha256:".length)}.sig`;
    expect(await push("acme/app", "an image about another")).toBe(201);
    expect(await push("acme/app", "an image under a signature's tag", tag)).toBe(201);
    const done = await promote("prod", { from: "acme/app", digest: index, repository: "gated" });
    expect([done.status, done.body.manifests]).toEqual([200, 3]);
    for (const layer of ["an image about another", "an image under a signature's tag"]) {
      expect((await registry("GET", `prod/gated/manifests/${sha256(image(layer))}`)).status).toBe(404);
    }
    expect((await registry("GET", `prod/gated/manifests/${tag}`)).status).toBe(404);
    expect(await push("prod/gated", "an image about another")).toBe(403);
    expect(await push("prod/gated", "an image about another", tag)).toBe(403);
  });

  it("does not take a decision about something else, or one that is void", async () => {
    const one = await pushIndex("acme/app", "10.0.0");
    const two = await pushIndex("acme/app", "10.0.1");
    for (const { index } of [one, two]) await room.post("acme", await provenance(builder, index, "1"), "app");
    const done = await promote("prod", { from: "acme/app", digest: one.index, repository: "gated" });
    const attempt = (digest: string, decision: string | null, repository = "prod/gated") =>
      room.instance.record.append({
        type: "registry.promote",
        org: "prod",
        actor: { id: "admin", credential: { kind: "admin-token" } },
        body: { from: "acme/app", repository, digest, tags: ["10.0.0"], decision },
      });
    const code = async (append: ReturnType<typeof attempt>): Promise<string> => {
      const appended = await append;
      return appended.ok ? "accepted" : appended.refusal.code;
    };
    expect(await code(attempt(two.index, done.body.decision))).toBe("promotion-undecided");
    expect(await code(attempt(one.index, null))).toBe("promotion-undecided");
    expect(await code(attempt(one.index, `sha256:${"0".repeat(64)}`))).toBe("promotion-undecided");
    await room.trust("prod", makeKey(), { name: "someone else" });
    expect(await code(attempt(one.index, done.body.decision))).toBe("promotion-undecided");
    const again = await promote("prod", { from: "acme/app", digest: one.index, repository: "gated", tags: ["10.0.0"] });
    expect([again.status, again.body.decision === done.body.decision]).toEqual([200, false]);
  });

  it("says so when the policy it demands is not there", async () => {
    const { index } = await pushIndex("acme/app", "11.0.0");
    await room.call("POST", "/orgs/prod/repositories", { name: "unready", promotionPolicy: "none-such" });
    const refused = await promote("prod", { from: "acme/app", digest: index, repository: "unready" });
    expect([refused.status, refused.body.error.code]).toEqual([404, "policy-unknown"]);
  });
});

it("a replay of the record gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
