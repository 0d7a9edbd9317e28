/** Every form of evidence through the own API's door, and what is said of each piece. */
import { randomBytes } from "node:crypto";
import { createMessage, generateKey, readPrivateKey, sign } from "openpgp";
import { type Digest, digestOf, toBase64, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
import { pushImage } from "./pushing.ts";

let room: Room;
const key = makeKey();
const ed = makeKey("ed25519");
let gpg: { privateKey: string; publicKey: string };

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  await room.trust("acme", ed, { name: "ed" });
  gpg = await generateKey({ userIDs: [{ name: "Packager" }], format: "armored", type: "curve25519" });
  const entry = {
    kind: "openpgp",
    name: "packager",
    certificate: gpg.publicKey,
    scope: { repositories: ["**"], predicateTypes: ["*"] },
  };
  const answer = await room.call("POST", "/orgs/acme/trust/entries", entry);
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
});
afterAll(() => room.stop());

type Shown = Body & { readonly wrapping: string | null; readonly form: string };

/** A body of any type, as clients send files. */
async function send(
  body: Uint8Array | FormData,
  options: { type?: string; query?: string; org?: string; token?: string } = {},
): Promise<{ status: number; body: Body }> {
  const { org = "acme", query = "", type, token = room.instance.adminToken } = options;
  const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/${org}/attestations${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, ...(type === undefined ? {} : { "content-type": type }) },
    body: body instanceof FormData ? body : Buffer.from(body),
  });
  return { status: answer.status, body: (await answer.json()) as Body };
}

async function list(subject: string, query = "", org = "acme", token?: string) {
  const { status, body } = await room.call("GET", `/orgs/${org}/attestations/${subject}${query}`, undefined, token);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body.items;
}

async function shown(evidence: string): Promise<Shown> {
  return (await room.call("GET", `/orgs/acme/evidence/${evidence}`)).body as Shown;
}

async function envelope(subject: Digest, predicateType?: string): Promise<Uint8Array> {
  const bundle = opened(await attest(key, subject, predicateType));
  return utf8Encode(JSON.stringify(bundle["dsseEnvelope"]));
}

async function pgpSignature(bytes: Uint8Array, format: "armored" | "binary"): Promise<Uint8Array> {
  const message = await createMessage({ binary: bytes });
  const signingKeys = await readPrivateKey({ armoredKey: gpg.privateKey });
  const request = { message, signingKeys, detached: true } as const;
  const signed: unknown =
    format === "armored" ? await sign({ ...request, format: "armored" }) : await sign({ ...request, format: "binary" });
  if (typeof signed === "string") return utf8Encode(signed);
  if (signed instanceof Uint8Array) return new Uint8Array(signed);
  throw new Error("no signature was made");
}

describe("a bare DSSE envelope", () => {
  it("is evidence like the bundle around it, under its own digest and media type", async () => {
    const subject = artifact("bare");
    const bytes = await envelope(subject);
    const posted = await send(bytes, { type: "application/vnd.dsse.envelope.v1+json", query: "?repository=app" });
    expect(posted).toMatchObject({
      status: 201,
      body: { form: "dsse", evidence: digestOf(nodeCrypto, bytes), signers: [key.publicKey.keyId] },
    });
    expect((await list(subject))[0]).toMatchObject({ status: { status: "verified", by: { name: "release" } } });
    expect(await shown(posted.body.evidence)).toMatchObject({ wrapping: "envelope", form: "dsse" });
    const download = await fetch(
      `${room.instance.url}/api/assay/v1/orgs/acme/evidence/${posted.body.evidence}/bundle`,
      { headers: { authorization: `Bearer ${room.instance.adminToken}` } },
    );
    expect(new Uint8Array(await download.arrayBuffer())).toEqual(bytes);
    expect(download.headers.get("content-type")).toBe("application/vnd.dsse.envelope.v1+json");
  });

  it("comes as JSON and in base64 too, and is the same piece", async () => {
    const text = Buffer.from(await envelope(artifact("bare thrice"))).toString();
    const first = await room.call("POST", "/orgs/acme/attestations", { bundle: text });
    const again = await room.call("POST", "/orgs/acme/attestations", { bytes: toBase64(utf8Encode(text)) });
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.body.evidence).toBe(first.body.evidence);
  });

  it("with the signature of a bundle that was here before is no younger than that", async () => {
    const subject = artifact("bare and bundled");
    const bundle = await attest(key, subject);
    await room.post("acme", bundle);
    const bare = utf8Encode(JSON.stringify(opened(bundle)["dsseEnvelope"]));
    await send(bare, { type: "application/vnd.dsse.envelope.v1+json" });
    const items = (await list(subject)) as unknown as { status: { time: unknown } }[];
    expect(items).toHaveLength(2);
    expect(items[1]?.status.time).toEqual(items[0]?.status.time);
  });
});

describe("a detached signature", () => {
  const file = utf8Encode("the file itself");
  const subject = digestOf(nodeCrypto, file);
  const base64 = toBase64(key.sign(file));

  it.each<[string, () => Promise<{ status: number; body: Body }>]>([
    ["as JSON", () => room.call("POST", "/orgs/acme/attestations", { signature: base64, subject })],
    ["as a file with its line end", () => send(utf8Encode(`${base64}\n`), raw(`?subject=${subject}`))],
    ["as bare bytes", () => send(key.sign(file), raw(`?subject=${subject}`))],
    ["in a form", () => send(form({ signature: new Blob([base64]), subject }))],
  ])("%s is a signature over its subject's bytes", async (_how, give) => {
    const posted = await give();
    expect(posted.status).toBeLessThan(300);
    expect(posted.body).toMatchObject({ form: "message-signature", subjects: [subject] });
    expect(await shown(posted.body.evidence)).toMatchObject({ wrapping: "blob-signature" });
    expect((await list(subject))[0]).toMatchObject({ status: { status: "verified", by: { name: "release" } } });
  });

  it("about other bytes is kept, and refused when it is judged", async () => {
    const other = artifact("not what was signed");
    expect((await room.call("POST", "/orgs/acme/attestations", { signature: base64, subject: other })).status).toBe(
      201,
    );
    expect((await list(other))[0]).toMatchObject({ status: { status: "refused" } });
  });

  it.each<[string, () => Promise<{ status: number; body: Body }>, string]>([
    ["without its subject", () => send(utf8Encode(base64), raw("")), "json-invalid"],
    ["in a form without its subject", () => send(form({ signature: new Blob([base64]) })), "request-invalid"],
    [
      "in a form with a part of another name",
      () => send(form({ signature: new Blob([base64]), subject, more: "x" })),
      "request-invalid",
    ],
    [
      "in a form with a part twice",
      () => send(twice(form({ signature: new Blob([base64]), subject }))),
      "request-invalid",
    ],
    [
      "in a form that is none",
      () => send(utf8Encode("--x\r\nnonsense"), { type: "multipart/form-data; boundary=x" }),
      "request-invalid",
    ],
    ["that is empty", () => send(new Uint8Array(), raw(`?subject=${subject}`)), "request-invalid"],
    ["that is too long", () => send(new Uint8Array(70_000).fill(1), raw(`?subject=${subject}`)), "signature-invalid"],
    [
      "that is 300 random bytes too long",
      () => send(randomBytes(900), raw(`?subject=${subject}`)),
      "signature-invalid",
    ],
    [
      "with a certificate that is none",
      () => room.call("POST", "/orgs/acme/attestations", { signature: base64, subject, certificate: "x" }),
      "signature-invalid",
    ],
    [
      "with a subject that is none",
      () => room.call("POST", "/orgs/acme/attestations", { signature: base64, subject: "sha256:0" }),
      "request-invalid",
    ],
    [
      "of a type nobody knows",
      () => send(utf8Encode("x"), { type: "application/zip" }),
      "fst-err-ctp-invalid-media-type",
    ],
  ])("%s is refused, and nothing changes", async (_how, give, code) => {
    const before = await newestSequence(room.instance.reader);
    const { status, body } = await give();
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(body.error.code).toBe(code);
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });

  function raw(query: string): { type: string; query: string } {
    return { type: "application/octet-stream", query };
  }
  function form(parts: Record<string, string | Blob>): FormData {
    const data = new FormData();
    for (const [name, value] of Object.entries(parts)) data.append(name, value);
    return data;
  }
  function twice(data: FormData): FormData {
    data.append("subject", subject);
    return data;
  }
});

describe("a signature over bytes", () => {
  it("is judged over the artifact's own, where the organisation holds it and nowhere else", async () => {
    const layer = randomBytes(200_000);
    const subject = digestOf(nodeCrypto, layer);
    const detached = { signature: toBase64(ed.sign(layer)), subject };
    for (const org of ["acme", "rival"]) {
      expect((await room.call("POST", `/orgs/${org}/attestations`, detached)).status).toBe(201);
    }
    await room.trust("rival", ed, { name: "ed" });
    expect((await list(subject))[0]).toMatchObject({ status: { code: "bytes-needed" } });
    await pushImage(room.instance.url, "acme/app", "1.0.0", layer);
    expect((await list(subject))[0]).toMatchObject({ status: { status: "verified", by: { name: "ed" } } });
    // The store has the bytes now. That another tenant's verdict changes would tell that somebody has them.
    expect((await list(subject, "", "rival"))[0]).toMatchObject({ status: { code: "bytes-needed" } });
  });
});

describe("an OpenPGP signature", () => {
  const layer = randomBytes(5_000);
  const subject = digestOf(nodeCrypto, layer);

  it.each(["armored", "binary"] as const)("%s and detached is judged over the artifact's bytes", async (format) => {
    await pushImage(room.instance.url, "acme/gpg", "1.0.0", layer);
    const signature = await pgpSignature(layer, format);
    const posted = await send(signature, { type: "application/pgp-signature", query: `?subject=${subject}` });
    expect(posted).toMatchObject({ status: 201, body: { form: "openpgp", subjects: [subject] } });
    expect(posted.body).toMatchObject({ signers: [expect.stringMatching(/^[0-9a-f]{40}$/)] });
    const items = await list(subject);
    expect(items.find(({ evidence }) => evidence === posted.body.evidence)).toMatchObject({
      form: "openpgp",
      status: { status: "verified", by: { name: "packager", kind: "openpgp" } },
    });
  });

  it("without the artifact's bytes needs them, and without a subject is refused", async () => {
    const away = utf8Encode("somewhere else");
    const signature = await pgpSignature(away, "armored");
    const digest = digestOf(nodeCrypto, away);
    await send(signature, { type: "application/pgp-signature", query: `?subject=${digest}` });
    expect((await list(digest))[0]).toMatchObject({ status: { code: "bytes-needed" } });
    const refused = await send(signature, { type: "application/pgp-signature" });
    expect(refused).toMatchObject({ status: 400, body: { error: { code: "evidence-without-subject" } } });
  });
});

describe("what a piece is worth", () => {
  it("is explained step by step when that is asked", async () => {
    const subject = artifact("explained");
    await room.post("acme", await attest(key, subject));
    await room.post("acme", await attest(makeKey(), subject));
    await room.call("POST", "/orgs/acme/reports", { subject, predicateType: "https://example.com/r", predicate: {} });
    expect(JSON.stringify(await list(subject))).not.toContain('"steps"');
    const items = (await list(subject, "?explain=true")) as unknown as {
      status: { status: string; steps: { check: string; outcome: string; detail: string }[] };
    }[];
    expect(items.map(({ status }) => status.status)).toEqual(["verified", "refused", "reported"]);
    for (const { status } of items) expect(status.steps.length).toBeGreaterThan(0);
    expect(items[0]?.status.steps.every(({ outcome }) => outcome === "passed")).toBe(true);
    expect(items[1]?.status.steps.at(-1)?.outcome).toBe("failed");
    expect(items[2]?.status.steps).toMatchObject([{ check: "signature", outcome: "not-evaluated" }]);
  });

  it("names the signer by kind and principal", async () => {
    const subject = artifact("principal");
    await room.post("acme", await attest(key, subject));
    expect((await list(subject))[0]).toMatchObject({
      status: { by: { kind: "key", principal: key.publicKey.keyId, algorithm: "ecdsa-p256-sha256" } },
    });
  });
});

describe("two tenants", () => {
  it("have doors that say nothing to each other, whatever comes through them", async () => {
    const rita = await room.person("rita", "rival", "admin");
    const bare = await envelope(artifact("tenant"));
    for (const org of ["acme", "nowhere"]) {
      const type = "application/vnd.dsse.envelope.v1+json";
      expect(await send(bare, { type, org, token: rita.token })).toMatchObject({
        status: 404,
        body: { error: { code: "org-unknown" } },
      });
    }
    const reader = await room.person("rob", "acme", "reader");
    expect(await send(bare, { type: "application/vnd.dsse.envelope.v1+json", token: reader.token })).toMatchObject({
      status: 403,
    });
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
