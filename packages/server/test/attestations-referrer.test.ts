import { BUNDLE_MEDIA_TYPE, type Digest, digestOf, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newestSequence } from "../src/record/newest.ts";
import {
  artifact,
  attest,
  type Body,
  makeKey,
  openRoom,
  provenance,
  replayDifferences,
  type Room,
  signBytes,
} from "./evidence-room.ts";

let room: Room;
const key = makeKey();
const builder = makeKey();
const EMPTY = utf8Encode("{}");

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  await room.trust("acme", builder, { name: "builder", primary: true });
});
afterAll(() => room.stop());

function v2(
  method: string,
  path: string,
  body?: Uint8Array,
  type = "application/octet-stream",
  token = room.instance.adminToken,
) {
  const user = token === room.instance.adminToken ? "admin" : "someone";
  return fetch(`${room.instance.url}/v2/${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`,
      ...(body === undefined ? {} : { "content-type": type }),
    },
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  });
}

async function pushBlob(repository: string, bytes: Uint8Array, token?: string): Promise<Digest> {
  const digest = digestOf(nodeCrypto, bytes);
  const answer = await v2("POST", `${repository}/blobs/uploads/?digest=${digest}`, bytes, undefined, token);
  if (answer.status !== 201) throw new Error(`blob: ${answer.status} ${await answer.text()}`);
  return digest;
}

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** Pushes a referrer the way cosign 3 does: bundle as the only layer, empty config, subject. */
async function pushReferrer(
  repository: string,
  subject: Digest,
  bundle: Uint8Array,
  more: { token?: string; artifactType?: string; layerType?: string; layer?: Digest } = {},
): Promise<{ status: number; digest: Digest; text: string }> {
  const config = await pushBlob(repository, EMPTY, more.token);
  const layer = more.layer ?? (await pushBlob(repository, bundle, more.token));
  const manifest = utf8Encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: more.artifactType ?? BUNDLE_MEDIA_TYPE,
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: config, size: EMPTY.length },
      layers: [{ mediaType: more.layerType ?? BUNDLE_MEDIA_TYPE, digest: layer, size: bundle.length }],
      subject: { mediaType: OCI_MANIFEST, digest: subject, size: 100 },
    }),
  );
  const digest = digestOf(nodeCrypto, manifest);
  const answer = await v2("PUT", `${repository}/manifests/${digest}`, manifest, OCI_MANIFEST, more.token);
  return { status: answer.status, digest, text: await answer.text() };
}

async function list(subject: Digest, query = "", org = "acme"): Promise<Body> {
  return (await room.call("GET", `/orgs/${org}/attestations/${subject}${query}`)).body;
}

describe("a bundle pushed as a referrer", () => {
  it("is evidence as soon as the push is answered", async () => {
    const subject = artifact("image");
    const pushed = await pushReferrer("acme/app", subject, await attest(key, subject));
    expect(pushed).toMatchObject({ status: 201 });
    const { items } = await list(subject);
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({
      repositories: ["acme/app"],
      status: { status: "verified", by: { name: "release" } },
    });
    const metadata = await room.call("GET", `/orgs/acme/evidence/${items[0]?.evidence}`);
    expect(metadata.body).toMatchObject({ repositories: [{ repository: "acme/app", manifest: pushed.digest }] });
  });

  it("pushed again changes nothing, and pushed elsewhere is linked", async () => {
    const subject = artifact("image twice");
    const bundle = await attest(key, subject);
    await pushReferrer("acme/app", subject, bundle);
    await pushReferrer("acme/app", subject, bundle);
    await pushReferrer("acme/lib", subject, bundle);
    const { items } = await list(subject);
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ repositories: ["acme/app", "acme/lib"] });
  });

  it("that cannot be read is kept as unreadable evidence about the subject, and never counts", async () => {
    const subject = artifact("image unreadable");
    const bytes = utf8Encode('{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}');
    expect((await pushReferrer("acme/app", subject, bytes)).status).toBe(201);
    const { items } = await list(subject);
    expect(items[0]).toMatchObject({
      form: "unreadable",
      predicateType: null,
      status: { status: "refused", code: "malformed" },
    });
    // The same bytes attached to another artifact are about that one too.
    const other = artifact("image unreadable, another");
    await pushReferrer("acme/app", other, bytes);
    expect((await list(other)).items).toHaveLength(1);
    const metadata = await room.call("GET", `/orgs/acme/evidence/${items[0]?.evidence}`);
    expect(metadata.body).toMatchObject({ form: "unreadable", subjects: [subject, other].toSorted() });
  });

  it("that is unreadable as a bundle does not keep the same bytes from being a report", async () => {
    const subject = artifact("image shadowed");
    const report = { subject, predicateType: "https://example.com/scan/v1", predicate: {} };
    const canonical = `{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"https://example.com/scan/v1","subject":[{"digest":{"sha256":"${subject.slice(7)}"}}]}`;
    await pushReferrer("acme/app", subject, utf8Encode(canonical));
    const posted = await room.call("POST", "/orgs/acme/reports", report);
    expect(posted).toMatchObject({ status: 201, body: { evidence: digestOf(nodeCrypto, utf8Encode(canonical)) } });
    const { items } = await list(subject);
    expect(items.map((item) => item.form)).toEqual(["unreadable", "report"]);
    const explained = await room.call("GET", `/orgs/acme/evidence/${posted.body.evidence}?explain=true`);
    expect(explained.body).toMatchObject({
      form: "report",
      judged: {
        items: [
          { subject, form: "report", status: { status: "reported" } },
          { subject, form: "unreadable", status: { status: "refused" } },
        ],
      },
    });
  });

  it("about another artifact than it is attached to is listed under the one it names only", async () => {
    const named = artifact("named in the statement");
    const attachedTo = artifact("attached to");
    await pushReferrer("acme/app", attachedTo, await attest(key, named));
    expect((await list(attachedTo)).items).toEqual([]);
    expect((await list(named)).items[0]).toMatchObject({ status: { status: "verified" } });
  });

  it("by a key that signs bytes without naming their digest is listed under what it is attached to", async () => {
    const ed = makeKey("ed25519");
    const bytes = utf8Encode("signed by ed25519");
    const subject = digestOf(nodeCrypto, bytes);
    await room.trust("acme", ed, { name: "ed" });
    await pushReferrer("acme/app", subject, await signBytes(ed, bytes));
    expect((await list(subject)).items[0]).toMatchObject({
      form: "message-signature",
      status: { status: "refused", code: "bytes-needed" },
    });
  });

  it("is recognised by its layer's media type alone, and nothing else is taken for one", async () => {
    const subject = artifact("by layer");
    await pushReferrer("acme/app", subject, await attest(key, subject), {
      artifactType: "application/vnd.example+json",
    });
    expect((await list(subject)).items).toHaveLength(1);
    const none = artifact("no bundle");
    await pushReferrer("acme/app", none, await attest(key, none), {
      artifactType: "application/vnd.example+json",
      layerType: "application/json",
    });
    expect((await list(none)).items).toEqual([]);
  });

  it("sets primary provenance; a different one is refused together with its manifest", async () => {
    const subject = artifact("image built");
    expect((await pushReferrer("acme/app", subject, await provenance(builder, subject, "1"))).status).toBe(201);
    expect((await list(subject, "?repository=app")).items[0]).toMatchObject({ primary: true });
    const before = await newestSequence(room.instance.reader);
    const refused = await pushReferrer("acme/app", subject, await provenance(builder, subject, "2"));
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.status).toBeLessThan(500);
    expect(JSON.parse(refused.text)).toMatchObject({ errors: [{}] });
    expect(await newestSequence(room.instance.reader)).toBe(before);
    expect((await v2("GET", `acme/app/manifests/${refused.digest}`)).status).toBe(404);
    expect((await list(subject)).items).toHaveLength(1);
  });

  it("races another primary and exactly one of both stands, manifest and all", async () => {
    for (let round = 0; round < 5; round++) {
      const subject = artifact(`image raced ${round}`);
      const bundles = await Promise.all(["a", "b"].map((run) => provenance(builder, subject, run)));
      const pushes = await Promise.all(bundles.map((bundle) => pushReferrer("acme/app", subject, bundle)));
      expect(pushes.filter(({ status }) => status === 201)).toHaveLength(1);
      const stored = await Promise.all(
        pushes.map(async ({ digest }) => (await v2("GET", `acme/app/manifests/${digest}`)).status),
      );
      expect(stored.toSorted((a, b) => a - b)).toEqual([200, 404]);
    }
  });
});

describe("two tenants", () => {
  it("cannot make evidence of bytes they may not see", async () => {
    const subject = artifact("private");
    const bundle = await attest(key, subject);
    await pushReferrer("acme/app", subject, bundle);
    const rival = await room.person("rita", "rival", "admin");
    const stolen = await pushReferrer("rival/app", subject, bundle, {
      token: rival.token,
      layer: digestOf(nodeCrypto, bundle),
    });
    expect(stolen.status).toBeGreaterThanOrEqual(400);
    expect((await list(subject, "", "rival")).items).toEqual([]);
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
