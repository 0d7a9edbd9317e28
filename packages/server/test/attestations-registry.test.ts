/** What signing clients keep in registries by tags, annotations and referrers, taken in as evidence with the push. */
import { createHash } from "node:crypto";
import { type Digest, digestOf, isJsonObject, type JsonValue, parseJson, toBase64, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { PrivateKey } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attachmentsOf } from "../src/attestations/attachments.ts";
import { newestSequence } from "../src/record/newest.ts";
import {
  artifact,
  attest,
  type Body,
  makeKey,
  opened,
  openRoom,
  replayDifferences,
  type Room,
} from "./evidence-room.ts";

let room: Room;
const key = makeKey();
const EMPTY = utf8Encode("{}");
const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
});
afterAll(() => room.stop());

function v2(method: string, path: string, body: Uint8Array, type: string, token = room.instance.adminToken) {
  const user = token === room.instance.adminToken ? "admin" : "someone";
  return fetch(`${room.instance.url}/v2/${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`,
      "content-type": type,
    },
    body: Buffer.from(body),
  });
}

interface LayerSpec {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly annotations?: Record<string, string>;
}

interface ManifestSpec {
  readonly layers: readonly LayerSpec[];
  readonly subject?: Digest;
  readonly artifactType?: string;
}

/** Pushes a manifest and what it names, under a tag or by its digest. */
async function push(
  repository: string,
  tag: string | undefined,
  { layers, subject, artifactType }: ManifestSpec,
  token?: string,
): Promise<{ status: number; digest: Digest; text: string }> {
  for (const bytes of [EMPTY, ...layers.map((layer) => layer.bytes)]) {
    const path = `${repository}/blobs/uploads/?digest=${digestOf(nodeCrypto, bytes)}`;
    const answer = await v2("POST", path, bytes, "application/octet-stream", token);
    if (answer.status !== 201) return { status: answer.status, digest: artifact(""), text: await answer.text() };
  }
  const describeBlob = (bytes: Uint8Array) => ({ digest: digestOf(nodeCrypto, bytes), size: bytes.length });
  const manifest = utf8Encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      ...(artifactType === undefined ? {} : { artifactType }),
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...describeBlob(EMPTY) },
      layers: layers.map(({ bytes, mediaType, annotations }) => ({
        mediaType,
        ...describeBlob(bytes),
        ...(annotations === undefined ? {} : { annotations }),
      })),
      ...(subject === undefined ? {} : { subject: { mediaType: OCI_MANIFEST, digest: subject, size: 100 } }),
    }),
  );
  const digest = digestOf(nodeCrypto, manifest);
  const answer = await v2("PUT", `${repository}/manifests/${tag ?? digest}`, manifest, OCI_MANIFEST, token);
  return { status: answer.status, digest, text: await answer.text() };
}

async function list(subject: Digest, query = "", org = "acme"): Promise<Body["items"]> {
  return (await room.call("GET", `/orgs/${org}/attestations/${subject}${query}`)).body.items;
}

function tagOf(subject: Digest, suffix: string): string {
  return `${subject.replace(":", "-")}${suffix}`;
}

/** A layer as `cosign sign` of version 2 makes it: a claim of the digest, its signature beside it. */
function signed(signer: PrivateKey, subject: Digest, annotations: Record<string, string> = {}): LayerSpec {
  const bytes = utf8Encode(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": "registry.example.com/acme/app" },
        image: { "docker-manifest-digest": subject },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  );
  const signature = toBase64(signer.sign(bytes));
  return {
    bytes,
    mediaType: SIMPLE_SIGNING,
    annotations: { "dev.cosignproject.cosign/signature": signature, ...annotations },
  };
}

async function envelope(subject: Digest, predicateType?: string): Promise<Uint8Array> {
  return utf8Encode(JSON.stringify(opened(await attest(key, subject, predicateType))["dsseEnvelope"]));
}

describe("cosign 2's signature tag", () => {
  it("makes each layer with its annotations a piece about the digest in the tag", async () => {
    const subject = artifact("image signed by cosign 2");
    const pushed = await push("acme/app", tagOf(subject, ".sig"), { layers: [signed(key, subject)] });
    expect(pushed).toMatchObject({ status: 201 });
    const items = await list(subject);
    expect(items).toMatchObject([
      {
        form: "simple-signing",
        repositories: ["acme/app"],
        status: { status: "verified", by: { name: "release" } },
      },
    ]);
    const metadata = await room.call("GET", `/orgs/acme/evidence/${items[0]?.evidence}`);
    expect(metadata.body).toMatchObject({
      wrapping: "cosign",
      repositories: [{ manifest: pushed.digest }],
      signers: [key.publicKey.keyId],
    });
  });

  it("that moves adds what its new manifest has, and what it had stays", async () => {
    const subject = artifact("image signed by two");
    const other = makeKey();
    await room.trust("acme", other, { name: "other" });
    const [first, second] = [signed(key, subject), signed(other, subject)];
    await push("acme/app", tagOf(subject, ".sig"), { layers: [first] });
    // Both layers are the same bytes: what tells them apart is beside them.
    expect(second.bytes).toEqual(first.bytes);
    await push("acme/app", tagOf(subject, ".sig"), { layers: [first, second] });
    expect((await list(subject)).map((item) => item.status.by.name)).toEqual(["release", "other"]);
    const before = await newestSequence(room.instance.reader);
    await push("acme/app", tagOf(subject, ".sig"), { layers: [first, second] });
    expect(await newestSequence(room.instance.reader)).toBe(before);
    await push("acme/app", tagOf(subject, ".sig"), { layers: [second] });
    expect(await list(subject)).toHaveLength(2);
  });

  it("about another image than the tag says is listed under the one that was signed only", async () => {
    const [named, tagged] = [artifact("signed"), artifact("tagged")];
    await push("acme/app", tagOf(tagged, ".sig"), { layers: [signed(key, named)] });
    expect(await list(tagged)).toEqual([]);
    expect(await list(named)).toMatchObject([{ status: { status: "verified" } }]);
  });

  it.each<[string, Partial<LayerSpec>]>([
    ["no signature", { annotations: {} }],
    ["a signature that is no base64", { annotations: { "dev.cosignproject.cosign/signature": "!" } }],
    ["a payload that is no claim", { bytes: utf8Encode('{"critical":{}}') }],
    [
      "a certificate that is none",
      { annotations: { "dev.cosignproject.cosign/signature": "AAAA", "dev.sigstore.cosign/certificate": "x" } },
    ],
    [
      "a log entry that is none",
      { annotations: { "dev.cosignproject.cosign/signature": "AAAA", "dev.sigstore.cosign/bundle": "{" } },
    ],
  ])("with %s is kept as unreadable, and never counts", async (what, change) => {
    const subject = artifact(`cosign 2 with ${what}`);
    const layer = { ...signed(key, subject), ...change };
    expect((await push("acme/app", tagOf(subject, ".sig"), { layers: [layer] })).status).toBe(201);
    expect(await list(subject)).toMatchObject([
      { form: "unreadable", status: { status: "refused", code: "malformed" } },
    ]);
  });

  it("may be set only where evidence may be written", async () => {
    const subject = artifact("image of a reader");
    const reader = await room.person("rea", "acme", "reader");
    const refused = await push("acme/app", tagOf(subject, ".sig"), { layers: [signed(key, subject)] }, reader.token);
    expect(refused.status).toBeGreaterThanOrEqual(401);
    expect(await list(subject)).toEqual([]);
  });

  it("comes as a referrer too, from clients that keep it so", async () => {
    const subject = artifact("cosign 2 as a referrer");
    const artifactType = "application/vnd.dev.cosign.artifact.sig.v1+json";
    await push("acme/app", undefined, { layers: [signed(key, subject)], subject, artifactType });
    expect(await list(subject)).toMatchObject([{ form: "simple-signing", status: { status: "verified" } }]);
  });
});

describe("cosign 2's attestation and SBOM tags", () => {
  it("make each envelope a piece, with what stands beside it", async () => {
    const subject = artifact("image attested by cosign 2");
    const bytes = await envelope(subject, "https://slsa.dev/provenance/v1");
    const annotations = { "dev.cosignproject.cosign/signature": "", predicateType: "https://slsa.dev/provenance/v1" };
    await push("acme/app", tagOf(subject, ".att"), { layers: [{ bytes, mediaType: ENVELOPE, annotations }] });
    expect(await list(subject)).toMatchObject([
      { form: "dsse", predicateType: "https://slsa.dev/provenance/v1", status: { status: "verified" } },
    ]);
  });

  it("make an SBOM that nobody signed a report, and what is none of ours unreadable", async () => {
    const subject = artifact("image with sbom");
    const sbom = utf8Encode(JSON.stringify({ spdxVersion: "SPDX-2.3", name: "app", packages: [] }));
    const text = utf8Encode("SPDXVersion: SPDX-2.3\n");
    await push("acme/app", tagOf(subject, ".sbom"), {
      layers: [
        { bytes: sbom, mediaType: "text/spdx+json" },
        { bytes: text, mediaType: "text/spdx" },
      ],
    });
    expect(await list(subject)).toMatchObject([
      { form: "report", predicateType: "https://spdx.dev/Document", status: { status: "reported" } },
      { form: "unreadable" },
    ]);
  });
});

describe("referrers of other forms", () => {
  it.each([
    ["an envelope by its layer's type", ENVELOPE, "application/vnd.example+json"],
    ["an envelope by the artifact's type", "application/octet-stream", ENVELOPE],
    ["an envelope as in-toto", "application/vnd.in-toto+json", "application/vnd.in-toto+json"],
  ])("%s is evidence", async (what, mediaType, artifactType) => {
    const subject = artifact(what);
    await push("acme/app", undefined, {
      layers: [{ bytes: await envelope(subject), mediaType }],
      subject,
      artifactType,
    });
    expect(await list(subject)).toMatchObject([{ form: "dsse", status: { status: "verified" } }]);
  });

  it("a statement that nobody signed is a report", async () => {
    const subject = artifact("buildkit");
    const statement = {
      _type: "https://in-toto.io/Statement/v0.1",
      predicateType: "https://slsa.dev/provenance/v0.2",
      subject: [{ name: "app", digest: { sha256: subject.slice(7) } }],
      predicate: {},
    };
    const layer = { bytes: utf8Encode(JSON.stringify(statement)), mediaType: "application/vnd.in-toto+json" };
    await push("acme/app", undefined, { layers: [layer], subject, artifactType: "application/vnd.in-toto+json" });
    expect(await list(subject)).toMatchObject([{ form: "report", status: { status: "reported" } }]);
  });

  it("a file of lines is one piece a line, and other tools' lines are passed over", async () => {
    const subject = artifact("lines");
    const lines = [
      await envelope(subject, "https://example.com/a"),
      utf8Encode('{"unknown":1}'),
      utf8Encode("no json"),
      await envelope(subject, "https://example.com/b"),
    ];
    const bytes = Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]));
    const layer = { bytes, mediaType: "application/vnd.in-toto.bundle" };
    await push("acme/app", undefined, { layers: [layer], subject });
    expect((await list(subject)).map((item) => item.predicateType)).toEqual([
      "https://example.com/a",
      "https://example.com/b",
    ]);
  });

  it("a notation signature that cannot be read is kept as unreadable, and its other layers are nothing", async () => {
    const subject = artifact("notation");
    await push("acme/app", undefined, {
      layers: [
        { bytes: utf8Encode('{"payload":"x"}'), mediaType: "application/jose+json" },
        { bytes: utf8Encode("text"), mediaType: "text/plain" },
      ],
      subject,
      artifactType: "application/vnd.cncf.notary.signature",
    });
    expect(await list(subject)).toMatchObject([{ form: "unreadable" }]);
  });

  it("listed in an index under the fallback tag are taken in once", async () => {
    const subject = artifact("fallback");
    const pushed = await push("acme/app", undefined, {
      layers: [{ bytes: await envelope(subject), mediaType: ENVELOPE }],
      subject,
    });
    const size = (
      await (
        await fetch(`${room.instance.url}/v2/acme/app/manifests/${pushed.digest}`, {
          headers: { authorization: `Basic ${Buffer.from(`admin:${room.instance.adminToken}`).toString("base64")}` },
        })
      ).arrayBuffer()
    ).byteLength;
    const index = utf8Encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ mediaType: OCI_MANIFEST, digest: pushed.digest, size }],
      }),
    );
    const answer = await v2("PUT", `acme/app/manifests/${tagOf(subject, "")}`, index, OCI_INDEX);
    expect(answer.status, await answer.text()).toBe(201);
    expect(await list(subject)).toHaveLength(1);
  });

  it("of more pieces than one push may bring are refused, manifest and all", async () => {
    const subject = artifact("many");
    const layers = Array.from({ length: 300 }, (_, index) => ({
      bytes: utf8Encode(`{"n":${index}}`),
      mediaType: ENVELOPE,
    }));
    // One upload suffices: a layer may be listed often.
    const [one] = layers;
    if (one === undefined) throw new Error("no layer");
    const many = Array.from({ length: 300 }, (_, index) => ({ ...one, annotations: { n: String(index) } }));
    const before = await newestSequence(room.instance.reader);
    expect((await push("acme/app", undefined, { layers: many, subject })).status).toBe(400);
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });
});

describe("a manifest in which everything is named by SHA-512", () => {
  it("brings evidence about what its subject is, by its one name", async () => {
    const other = (bytes: Uint8Array) => `sha512:${createHash("sha512").update(bytes).digest("hex")}`;
    const put = async (bytes: Uint8Array): Promise<void> => {
      const path = `acme/other/blobs/uploads/?digest=${other(bytes)}`;
      expect((await v2("POST", path, bytes, "application/octet-stream")).status).toBe(201);
    };
    const described = (bytes: Uint8Array, mediaType: string) => ({
      mediaType,
      digest: other(bytes),
      size: bytes.length,
    });
    const manifest = async (layers: object[], more: object = {}): Promise<Uint8Array> => {
      const config = described(EMPTY, "application/vnd.oci.image.config.v1+json");
      const bytes = utf8Encode(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, ...more }));
      const answer = await v2("PUT", `acme/other/manifests/${other(bytes)}`, bytes, OCI_MANIFEST);
      expect(answer.status).toBe(201);
      return bytes;
    };
    await put(EMPTY);
    const image = await manifest([]);
    const subject = digestOf(nodeCrypto, image);
    const signature = signed(key, subject);
    await put(signature.bytes);
    const layer = { ...described(signature.bytes, signature.mediaType), annotations: signature.annotations };
    await manifest([layer], { subject: described(image, OCI_MANIFEST) });
    expect(await list(subject)).toMatchObject([{ form: "simple-signing", status: { status: "verified" } }]);
  });
});

describe("the reading of a manifest", () => {
  const untyped = { artifactType: undefined, aliases: new Map<string, Digest>() };

  it("finds nothing in an image, under whatever tag", () => {
    const layers = [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: artifact("layer"), size: 1 }];
    const bytes = utf8Encode(JSON.stringify({ schemaVersion: 2, layers }));
    const artifactType = "application/vnd.oci.image.config.v1+json";
    const nothing = { bytes, subject: undefined, artifactType, aliases: new Map<string, Digest>() };
    for (const tags of [[], ["v1"], [tagOf(artifact("x"), "")], [tagOf(artifact("x"), ".sig")]]) {
      expect(attachmentsOf({ ...nothing, tags })).toEqual([]);
    }
  });

  it("takes tags that only look like evidence's for what they are", () => {
    const layers = [{ mediaType: ENVELOPE, digest: artifact("layer"), size: 1 }];
    const bytes = utf8Encode(JSON.stringify({ schemaVersion: 2, layers }));
    const hex = "a".repeat(64);
    for (const tag of [
      `sha256-${hex.slice(1)}.sig`,
      `sha256-${hex}.sigs`,
      `sha512-${hex}.sig`,
      `sha256-${hex.toUpperCase()}`,
    ]) {
      expect(attachmentsOf({ bytes, ...untyped, subject: undefined, tags: [tag] })).toEqual([]);
    }
  });

  it("lets a manifest's own subject decide over its tag", () => {
    const layers = [{ mediaType: ENVELOPE, digest: artifact("layer"), size: 1 }];
    const bytes = utf8Encode(JSON.stringify({ schemaVersion: 2, layers }));
    const [own, tagged] = [artifact("own"), artifact("tagged")];
    const found = attachmentsOf({ bytes, ...untyped, subject: own, tags: [tagOf(tagged, ".sig")] });
    expect(found.map(({ subject, tag }) => [subject, tag])).toEqual([[own, undefined]]);
  });
});

describe("two tenants", () => {
  it("cannot make evidence under a tag of bytes they may not see", async () => {
    const subject = artifact("private");
    const layer = signed(key, subject);
    await push("acme/secret", tagOf(subject, ".sig"), { layers: [layer] });
    const container = (await list(subject))[0]?.evidence;
    const rival = await room.person("rita", "rival", "admin");
    const stolen = await push("rival/app", tagOf(subject, ".sig"), { layers: [layer] }, rival.token);
    // The bytes are the rival's own here: they have uploaded them, and their evidence is their own too.
    expect(stolen.status).toBe(201);
    expect(await room.refusal("GET", `/orgs/acme/evidence/${container}`, undefined, rival.token)).toBe(
      "404 org-unknown",
    );
    // The container is a blob of ours, and no layer that anybody could pull.
    const pulled = await fetch(`${room.instance.url}/v2/acme/secret/blobs/${container}`, {
      headers: { authorization: `Basic ${Buffer.from(`admin:${room.instance.adminToken}`).toString("base64")}` },
    });
    expect(pulled.status).toBe(404);
  });
});

it("keeps containers as canonical JSON", async () => {
  const subject = artifact("canonical");
  await push("acme/app", tagOf(subject, ".sig"), { layers: [signed(key, subject)] });
  const [item] = await list(subject);
  const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/acme/evidence/${item?.evidence}/bundle`, {
    headers: { authorization: `Bearer ${room.instance.adminToken}` },
  });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  expect(digestOf(nodeCrypto, bytes)).toBe(item?.evidence);
  const container: JsonValue = parseJson(bytes);
  expect(isJsonObject(container) ? container["mediaType"] : undefined).toBe(
    "application/vnd.assay.cosign-signature.v1+json",
  );
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});

it("refuses a manifest that lists one large blob so often that a few kilobytes would become gigabytes of evidence", async () => {
  const subject = artifact("amplified");
  const bytes = utf8Encode(JSON.stringify({ payload: "A".repeat(14 * 1024 * 1024) }));
  const layers = Array.from({ length: 5 }, (_, index) => ({
    bytes,
    mediaType: ENVELOPE,
    annotations: { "dev.cosignproject.cosign/signature": `${index}` },
  }));
  const pushed = await push("acme/app", `${subject.replace(":", "-")}.att`, { layers });
  expect([pushed.status, pushed.text]).toEqual([400, expect.stringContaining("bytes of evidence")]);
  expect(await list(subject)).toEqual([]);
});
