import {
  BUNDLE_MEDIA_TYPE,
  digestOf,
  nobleCrypto,
  parseDigest,
  parseVkey,
  receiptTime,
  toBase64,
  utf8Encode,
  verifyReceipt,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evidenceBlobs } from "../src/attestations/named-blobs.ts";
import { newestSequence } from "../src/record/newest.ts";
import {
  artifact,
  attest,
  type Body,
  type Item,
  makeKey,
  opened,
  openRoom,
  provenance,
  replayDifferences,
  type Room,
  SIGNED,
  signBytes,
} from "./evidence-room.ts";
import { withRawBlobs } from "./stored-blobs.ts";

let room: Room;
const key = makeKey();
const stranger = makeKey();

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
});
afterAll(() => room.stop());

async function list(subject: string, query = "", org = "acme", token?: string): Promise<Body> {
  const { status, body } = await room.call("GET", `/orgs/${org}/attestations/${subject}${query}`, undefined, token);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body;
}

describe("evidence that names the step of a flow it belongs to", () => {
  it("is found by flow, trail and name, and by nothing it does not say", async () => {
    const subject = artifact("stepped");
    const predicateType = "https://assay.dev/attestation/artifact/v1";
    const predicate = { artifactType: "file", flow: "project-a", trail: "trail-1", name: "backend" };
    const posted = await room.post("acme", await attest(key, subject, predicateType, predicate), "app");
    expect(posted.status).toBe(201);
    const other = await attest(key, subject, "https://example.com/x", predicate);
    expect((await room.post("acme", other, "app")).status).toBe(201);
    const found = async (query: string): Promise<unknown[]> => {
      const { status, body } = await room.call("GET", `/orgs/acme/attestations?${query}`);
      if (status !== 200) throw new Error(JSON.stringify(body));
      return body["items"] as unknown[];
    };
    expect(await found("flow=project-a&trail=trail-1&name=backend")).toMatchObject([
      { evidence: posted.body["evidence"], flow: "project-a", trail: "trail-1", name: "backend", subjects: [subject] },
    ]);
    expect(await found("flow=project-a")).toHaveLength(1);
    expect(await found("flow=project-a&trail=trail-2")).toHaveLength(0);
    expect(await found("flow=project-b")).toHaveLength(0);
  });
});

describe("a posted bundle", () => {
  it("is stored to the byte, indexed, and judged when it is read", async () => {
    const subject = artifact("posted");
    const bundle = await attest(key, subject);
    const posted = await room.post("acme", bundle, "app");
    expect(posted.status).toBe(201);
    expect(posted.body).toMatchObject({
      evidence: digestOf(nodeCrypto, bundle),
      created: true,
      form: "dsse",
      predicateType: SIGNED,
      subjects: [subject],
      signers: [key.publicKey.keyId],
      primary: "none",
    });
    const answer = await list(subject, "?repository=app");
    expect(answer).toMatchObject({ subject, repository: "acme/app", trust: { org: "acme" }, next: null });
    expect(answer.items).toHaveLength(1);
    expect(answer.items[0]).toMatchObject({
      evidence: posted.body.evidence,
      repositories: ["acme/app"],
      status: {
        status: "verified",
        by: {
          name: "release",
          keyId: key.publicKey.keyId,
          entries: [{ name: "release", counts: true }],
        },
        time: { source: "received-here", evidence: `record ${posted.body.sequence}` },
      },
    });

    const download = await fetch(
      `${room.instance.url}/api/assay/v1/orgs/acme/evidence/${posted.body.evidence}/bundle`,
      { headers: { authorization: `Bearer ${room.instance.adminToken}` } },
    );
    expect(new Uint8Array(await download.arrayBuffer())).toEqual(bundle);
    expect(download.headers.get("content-type")).toBe(BUNDLE_MEDIA_TYPE);
    expect(download.headers.get("x-content-type-options")).toBe("nosniff");
    expect(download.headers.get("content-disposition")).toMatch(/^attachment; filename="[0-9a-f]{64}\.json"$/);
    expect(download.headers.get("content-security-policy")).toBe("sandbox");

    const metadata = await room.call("GET", `/orgs/acme/evidence/${posted.body.evidence}`);
    expect(metadata.body).toMatchObject({ subjects: [subject], signers: [key.publicKey.keyId], receivedFrom: "admin" });
  });

  it("comes with a receipt that proves, offline, that the record has it", async () => {
    const posted = await room.post("acme", await attest(key, artifact("receipt")));
    const logKeys = (await room.call("GET", "/keys")).body.logs.map(parseVkey);
    const verified = await verifyReceipt(nobleCrypto, posted.body.receipt, logKeys);
    expect(verified.event).toMatchObject({
      type: "attestations.evidence-added",
      org: "acme",
      body: { evidence: posted.body.evidence },
    });
    const later = await room.call("GET", `/orgs/acme/evidence/${posted.body.evidence}/receipt`);
    expect((await verifyReceipt(nobleCrypto, later.body.receipt ?? (later.body as never), logKeys)).sequence).toBe(
      posted.body.sequence,
    );
  });

  it("wrapped anew is new bytes with the old signature, and proven no younger than that", async () => {
    const subject = artifact("wrapped anew");
    const bundle = await attest(key, subject);
    const first = await room.post("acme", bundle);
    const wrapped = Buffer.from(JSON.stringify(opened(bundle), null, 2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const second = await room.post("acme", wrapped);
    expect(second).toMatchObject({ status: 201, body: { created: true } });
    expect(second.body.evidence).not.toBe(first.body.evidence);

    const items = (await list(subject)).items as readonly (Item & { status: { time: { time: number } } })[];
    expect(items.map(({ status }) => status.status)).toEqual(["verified", "verified"]);
    expect(items[1]?.status.time).toEqual(items[0]?.status.time);
    const logKeys = (await room.call("GET", "/keys")).body.logs.map(parseVkey);
    const [older, newer] = [
      await verifyReceipt(nobleCrypto, first.body.receipt, logKeys),
      await verifyReceipt(nobleCrypto, second.body.receipt, logKeys),
    ];
    expect(newer.time).toBeGreaterThan(older.time);
    expect(receiptTime(newer, parseDigest(second.body.evidence))?.time).toBe(older.time);
    expect(await replayDifferences(room.instance)).toEqual([]);
  });

  it("given as an object is stored in canonical form", async () => {
    const bundle = opened(await attest(key, artifact("object")));
    const posted = await room.call("POST", "/orgs/acme/attestations", { bundle });
    expect(posted.status).toBe(201);
    const shuffled = Object.fromEntries(Object.entries(bundle).toReversed());
    const again = await room.call("POST", "/orgs/acme/attestations", { bundle: shuffled });
    expect(again).toMatchObject({ status: 200, body: { created: false, evidence: posted.body.evidence } });
  });

  it("again is accepted and changes nothing; from another repository it is linked", async () => {
    const bundle = await attest(key, artifact("again"));
    const first = await room.post("acme", bundle, "app");
    const before = await newestSequence(room.instance.reader);
    const again = await room.post("acme", bundle, "app");
    expect(again).toMatchObject({ status: 200, body: { created: false, sequence: first.body.sequence } });
    expect(again.body.receipt.sequence).toBe(first.body.sequence);
    await room.post("acme", bundle);
    expect(await newestSequence(room.instance.reader)).toBe(before);
    await room.post("acme", bundle, "acme/other");
    expect(await newestSequence(room.instance.reader)).toBe(before + 1);
    const [item] = (await list(artifact("again"))).items;
    expect(item).toMatchObject({ repositories: ["acme/app", "acme/other"] });
  });

  it("posted many times at once is one piece", async () => {
    const bundle = await attest(key, artifact("at once"));
    const answers = await Promise.all(Array.from({ length: 10 }, () => room.post("acme", bundle, "app")));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([...Array<number>(9).fill(200), 201]);
    expect((await list(artifact("at once"))).items).toHaveLength(1);
  });

  it("by a key nobody trusts is kept and refused, and counts as soon as the key is trusted, and no longer", async () => {
    const subject = artifact("stranger");
    await room.post("acme", await attest(stranger, subject));
    const status = async (query = ""): Promise<unknown> => (await list(subject, query)).items[0]?.status;
    expect(await status()).toMatchObject({ status: "refused", code: "unknown-signer" });
    const { version, entry } = await room.trust("acme", stranger, { name: "late" });
    expect(await status()).toMatchObject({ status: "verified", by: { name: "late" } });
    await room.call("DELETE", `/orgs/acme/trust/entries/${entry.id}`);
    expect(await status()).toMatchObject({ status: "refused", code: "unknown-signer" });
    expect(await status(`?trustVersion=${version}`)).toMatchObject({ status: "verified" });
    expect(await room.refusal("GET", `/orgs/acme/attestations/${subject}?trustVersion=999`)).toBe(
      "404 trust-version-unknown",
    );
  });

  it("counts only in its key's scope and window", async () => {
    const scoped = makeKey("ed25519");
    const subject = artifact("scoped");
    await room.post("acme", await attest(scoped, subject));
    const { entry } = await room.trust("acme", scoped, {
      name: "scoped",
      scope: { repositories: ["acme/app"], predicateTypes: ["*"] },
    });
    const code = async (query: string): Promise<unknown> => {
      const status = (await list(subject, query)).items[0]?.status;
      return status?.status === "refused" ? status.code : status?.status;
    };
    expect(await code("?repository=app")).toBe("verified");
    expect(await code("?repository=other")).toBe("out-of-scope");
    expect(await code("")).toBe("out-of-scope");
    await room.call("PATCH", `/orgs/acme/trust/entries/${entry.id}`, { validUntil: 1_000 });
    expect(await code("?repository=app")).toBe("outside-validity");
  });

  it("that signs bytes is listed as a message signature", async () => {
    const bytes = utf8Encode("bytes themselves");
    await room.post("acme", await signBytes(key, bytes));
    expect((await list(digestOf(nodeCrypto, bytes))).items[0]).toMatchObject({
      form: "message-signature",
      predicateType: "https://assay.dev/message-signature/v1",
      status: { status: "verified" },
    });
  });
});

describe("bad input is refused and leaves nothing", () => {
  const damage: [string, (bundle: Record<string, unknown>) => unknown, RegExp][] = [
    ["no bundle", () => ({}), /^400 bundle-invalid/],
    ["a text that is no JSON", () => "{", /^400 json-invalid/],
    ["a repeated member", () => '{"mediaType":"a","mediaType":"b"}', /^400 json-duplicate-key/],
    ["a __proto__ member", () => '{"__proto__":{}}', /^400 json-invalid/],
    ["a byte order mark", () => "\ufeff{}", /^400 json-invalid/],
    ["deep nesting", () => "[".repeat(100_000), /^400 json-too-deep/],
    ["deep nesting in an object", () => ({ a: nest(3_000) }), /^400 json-/],
    ["another media type", (bundle) => ({ ...bundle, mediaType: "application/json" }), /^400 bundle-unsupported/],
    ["a payload that is no statement", (bundle) => withPayload(bundle, "{}"), /^400 statement-invalid/],
    [
      "a statement without sha256",
      (bundle) => withPayload(bundle, JSON.stringify({ ...STATEMENT, subject: [{ digest: { sha1: "00" } }] })),
      /^400 evidence-without-subject/,
    ],
    ["two signatures", (bundle) => twoSignatures(bundle), /^400 envelope-invalid/],
    ["a number", () => 7, /^400 request-invalid/],
    ["an empty text", () => "", /^400 request-invalid/],
  ];
  const STATEMENT = { _type: "https://in-toto.io/Statement/v1", predicateType: "https://x.example/y", predicate: {} };

  function nest(depth: number): unknown {
    let value: unknown = 1;
    for (let i = 0; i < depth; i++) value = { a: value };
    return value;
  }
  function withPayload(bundle: Record<string, unknown>, payload: string): unknown {
    return {
      ...bundle,
      dsseEnvelope: { ...(bundle["dsseEnvelope"] as object), payload: toBase64(utf8Encode(payload)) },
    };
  }
  function twoSignatures(bundle: Record<string, unknown>): unknown {
    const envelope = bundle["dsseEnvelope"] as { signatures: unknown[] };
    return { ...bundle, dsseEnvelope: { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] } };
  }

  it.each(damage)("%s", async (_what, change, expected) => {
    const before = await newestSequence(room.instance.reader);
    const bundle = change(opened(await attest(key, artifact("damaged"))));
    expect(await room.refusal("POST", "/orgs/acme/attestations", { bundle })).toMatch(expected);
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });

  it("names out of grammar, digests that are none, and bodies that are too large", async () => {
    const bundle = opened(await attest(key, artifact("names")));
    for (const repository of ["Acme/App", "../etc", "rival/app", "a//b", "x".repeat(300)]) {
      expect(await room.refusal("POST", "/orgs/acme/attestations", { bundle, repository })).toMatch(
        /^400 (repository|request)-invalid$/,
      );
    }
    for (const digest of ["sha256:ABC", "latest", `sha256:${"A".repeat(64)}`, `sha512:${"a".repeat(128)}`]) {
      expect(await room.refusal("GET", `/orgs/acme/attestations/${digest}`)).toBe("400 request-invalid");
      expect(await room.refusal("GET", `/orgs/acme/evidence/${digest}`)).toBe("400 request-invalid");
    }
    const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/acme/attestations`, {
      method: "POST",
      headers: { authorization: `Bearer ${room.instance.adminToken}`, "content-type": "application/json" },
      body: `{"bundle":"${"x".repeat(33 * 1024 * 1024)}"}`,
    });
    expect(answer.status).toBe(413);
    const raw = await fetch(`${room.instance.url}/api/assay/v1/orgs/acme/attestations`, {
      method: "POST",
      headers: { authorization: `Bearer ${room.instance.adminToken}`, "content-type": "application/json" },
      body: '{"__proto__":{"bundle":"x"},"bundle":"y"}',
    });
    expect(raw.status).toBe(400);
  });
});

describe("unsigned reports", () => {
  it("are kept and always shown as reported", async () => {
    const subject = artifact("scanned");
    const report = { subject, predicateType: "https://example.com/scan/v1", predicate: { findings: 0 } };
    const posted = await room.call("POST", "/orgs/acme/reports", report);
    expect(posted).toMatchObject({ status: 201, body: { form: "report", signers: [], primary: "none" } });
    expect((await room.call("POST", "/orgs/acme/reports", report)).status).toBe(200);
    expect((await list(subject)).items[0]).toMatchObject({
      predicateType: "https://example.com/scan/v1",
      status: { status: "reported" },
    });
  });

  it("take a whole statement too, and refuse one about nothing", async () => {
    const statement = {
      _type: "https://in-toto.io/Statement/v1",
      subject: [{ name: "app", digest: { sha256: artifact("stated").slice(7) } }],
      predicateType: "https://example.com/scan/v1",
      predicate: {},
    };
    expect((await room.call("POST", "/orgs/acme/reports", { statement })).status).toBe(201);
    const about = { ...statement, subject: [{ digest: { sha1: "00" } }] };
    expect(await room.refusal("POST", "/orgs/acme/reports", { statement: about })).toBe("400 evidence-without-subject");
    expect(await room.refusal("POST", "/orgs/acme/reports", { statement: { a: 1 } })).toBe("400 statement-invalid");
  });

  it("of provenance never become primary", async () => {
    const primary = makeKey();
    await room.trust("acme", primary, { name: "reporter", primary: true });
    const body = {
      subject: artifact("reported build"),
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {},
      repository: "app",
    };
    expect((await room.call("POST", "/orgs/acme/reports", body)).body).toMatchObject({ primary: "none" });
  });
});

describe("lists", () => {
  it("go page by page as of one sequence, and by predicate type", async () => {
    const subject = artifact("listed");
    for (let i = 0; i < 5; i++) await room.post("acme", await attest(key, subject, `https://example.com/t/${i}`));
    const first = await list(subject, "?limit=3");
    await room.post("acme", await attest(key, subject, "https://example.com/t/late"));
    const second = await list(subject, `?limit=3&cursor=${first.next}`);
    expect([...first.items, ...second.items].map((item) => item.predicateType?.at(-1))).toEqual([
      "0",
      "1",
      "2",
      "3",
      "4",
    ]);
    expect(second.next).toBeNull();
    expect((await list(subject, "?predicateType=https://example.com/t/3")).items).toHaveLength(1);
  });

  it("show a piece whose stored bytes were altered as refused", async () => {
    const subject = artifact("altered");
    const posted = await room.post("acme", await attest(key, subject));
    const other = await attest(key, subject, "https://example.com/forged");
    await withRawBlobs(room.instance.dataDirectory, async (raw) => {
      await raw.write(posted.body.evidence, other);
      expect((await list(subject)).items[0]?.status).toMatchObject({ status: "refused", code: "malformed" });
      await raw.remove(posted.body.evidence);
      expect((await list(subject)).items[0]?.status).toMatchObject({ status: "refused", code: "malformed" });
    });
  });
});

describe("two tenants", () => {
  it("see only their own evidence, and the same bytes count for each only where they were given", async () => {
    const subject = artifact("tenants");
    const bundle = await attest(key, subject);
    const { body } = await room.post("acme", bundle);
    const rival = await room.person("rita", "rival", "admin");
    for (const org of ["acme", "nowhere"]) {
      for (const path of [
        `attestations/${subject}`,
        `evidence/${body.evidence}`,
        `evidence/${body.evidence}/bundle`,
        `evidence/${body.evidence}/receipt`,
      ]) {
        expect(await room.refusal("GET", `/orgs/${org}/${path}`, undefined, rival.token)).toBe("404 org-unknown");
      }
      expect((await room.post(org, bundle, undefined, rival.token)).status).toBe(404);
      const report = { subject, predicateType: "https://example.com/x", predicate: {} };
      expect(await room.refusal("POST", `/orgs/${org}/reports`, report, rival.token)).toBe("404 org-unknown");
    }
    expect((await list(subject, "", "rival", rival.token)).items).toEqual([]);
    expect(await room.refusal("GET", `/orgs/rival/evidence/${body.evidence}`, undefined, rival.token)).toBe(
      "404 evidence-unknown",
    );
    expect(await room.refusal("GET", `/orgs/rival/evidence/${body.evidence}/bundle`, undefined, rival.token)).toBe(
      "404 evidence-unknown",
    );

    // Given to the rival it is the rival's too, and is judged by the rival's trust.
    expect((await room.post("rival", bundle, undefined, rival.token)).body).toMatchObject({
      created: true,
      signers: [],
    });
    expect((await list(subject, "", "rival", rival.token)).items[0]?.status).toMatchObject({ code: "unknown-signer" });
  });

  it("let readers read and not write, in the route and in the transaction", async () => {
    const reader = await room.person("ron", "acme", "reader");
    const bundle = await attest(key, artifact("by a reader"));
    expect((await room.post("acme", bundle, undefined, reader.token)).status).toBe(403);
    const appended = await room.instance.record.append({
      type: "attestations.add",
      org: "acme",
      actor: reader.actor,
      body: {
        evidence: artifact("x"),
        size: 1,
        form: "report",
        predicateType: "https://example.com/x",
        subjects: [artifact("x")],
        payloadDigest: null,
        signature: null,
        hint: null,
        signers: [],
        unreadable: null,
        repository: null,
        source: { kind: "api" },
        provenUnder: 0,
      },
    });
    expect(appended.ok ? 200 : appended.refusal.status).toBe(403);
  });
});

it("every piece's bytes are named for the check of the blobs", async () => {
  const posted = await room.post("acme", await attest(key, artifact("named")));
  const named: string[] = [];
  for await (const { digest } of evidenceBlobs(room.instance.reader)) named.push(digest);
  expect(named).toContain(posted.body.evidence);
});

it("projecting the events again gives the same tables", async () => {
  await room.post("acme", await provenance(key, artifact("replayed"), "1"), "app");
  expect(await replayDifferences(room.instance)).toEqual([]);
});
