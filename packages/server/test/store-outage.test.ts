/** A store that fails while evidence is judged: when that is a verdict, and when it is none. */
import { randomBytes } from "node:crypto";
import { type Digest, MESSAGE_SIGNATURE_PREDICATE, parseDigest, toBase64 } from "@assay/evidence";
import type { PrivateKey } from "@assay/evidence/node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newestSequence } from "../src/record/newest.ts";
import { makeKey, openRoom, type Room } from "./evidence-room.ts";
import { pushImage } from "./pushing.ts";
import { type S3Place, s3Place } from "./s3-place.ts";
import { type Fault, type FaultyProxy, startFaultyProxy, startS3rver } from "./s3-server.ts";

let place: S3Place;
let proxy: FaultyProxy;
let room: Room;
/** Who signed the artifact. */
let key: PrivateKey;
let policy: string;
/** An artifact whose signature is over its bytes, so that judging it reads both from the store: no key was trusted before it was given. */
let subject: Digest;
let bytes: Uint8Array;
let evidence: Digest;

beforeAll(async () => {
  const server = await startS3rver();
  place = await s3Place(server.location, () => server.stop());
  proxy = await startFaultyProxy(server.location.endpoint);
  room = await openRoom({ s3: { ...place.location, endpoint: proxy.endpoint } });
});

afterAll(async () => {
  await room.stop();
  await proxy.stop();
  await place.dispose();
});

beforeEach(async () => {
  key = makeKey("ed25519");
  const name = key.publicKey.keyId.slice(0, 8);
  policy = `version: 1
name: release
rules:
  - id: signed
    evidence:
      predicateType: ${MESSAGE_SIGNATURE_PREDICATE}
      identities: [signer-${name}]
`;
  bytes = randomBytes(5000);
  subject = parseDigest((await pushImage(room.instance.url, "acme/app", "latest", bytes)).layer);
  evidence = parseDigest((await give()).body.evidence);
  await room.trust("acme", key, { name: `signer-${name}` });
});

afterEach(() => {
  proxy.fault = () => undefined;
});

/** Gives the artifact's signature to the server. */
const give = () => room.call("POST", "/orgs/acme/attestations", { signature: toBase64(key.sign(bytes)), subject });

/** Lets the store fail at whatever has to do with one blob. */
function failAt(digest: Digest, fault: Fault): void {
  proxy.fault = ({ url }) => (url.includes(digest.slice("sha256:".length)) ? fault : undefined);
}

const decide = () =>
  room.call("POST", "/decisions", {
    org: "acme",
    digest: subject,
    repository: "acme/app",
    policy: { yaml: policy },
  });
const list = () => room.call("GET", `/orgs/acme/attestations/${subject}?explain=true`);

describe("a store that does not answer", () => {
  it.each<[string, () => Digest, Fault, string]>([
    [
      "the evidence",
      () => evidence,
      { kind: "answer", status: 503, code: "SlowDown", retryAfter: 0 },
      "503 blobs-unavailable",
    ],
    [
      "the artifact",
      () => subject,
      { kind: "answer", status: 503, code: "SlowDown", retryAfter: 0 },
      "503 blobs-unavailable",
    ],
    [
      "the evidence, for credentials that are refused,",
      () => evidence,
      { kind: "answer", status: 403, code: "AccessDenied" },
      "500 internal",
    ],
  ])(
    "for %s is no verdict: nothing is decided or recorded, and it is when the store is well",
    async (_what, blob, fault, answer) => {
      const before = await newestSequence(room.instance.reader);
      failAt(blob(), fault);
      for (const asked of await Promise.all([decide(), list()])) {
        expect(`${asked.status} ${asked.body.error.code}`).toBe(answer);
      }
      expect(await newestSequence(room.instance.reader)).toBe(before);
      proxy.fault = () => undefined;
      expect(await decide()).toMatchObject({ status: 200, body: { decision: { result: "allowed" } } });
      expect(await newestSequence(room.instance.reader)).toBeGreaterThan(before);
    },
  );
});

describe("stored bytes that are lost for good", () => {
  const refusal = {
    status: "refused",
    code: "malformed",
    message: expect.stringContaining("run `assay server check`") as string,
  };

  it.each<[string, () => Digest, (digest: Digest) => Promise<void>]>([
    ["the evidence's, altered", () => evidence, (digest) => place.damageBlob(digest)],
    ["the evidence's, gone", () => evidence, (digest) => remove(digest)],
    ["the artifact's, altered", () => subject, (digest) => place.damageBlob(digest)],
    ["the artifact's, gone", () => subject, (digest) => remove(digest)],
  ])("(%s) are a refusal that says what to run, and so a denial", async (_what, blob, harm) => {
    await harm(blob());
    expect((await list()).body.items).toMatchObject([{ status: refusal }]);
    expect(await decide()).toMatchObject({ status: 200, body: { decision: { result: "denied" } } });
  });

  it("of an artifact keep no evidence about it from being taken in", async () => {
    await place.damageBlob(subject);
    key = makeKey("ed25519");
    await room.trust("acme", key, { name: "late" });
    expect((await give()).status).toBe(201);
  });
});

async function remove(digest: Digest): Promise<void> {
  const hex = digest.slice("sha256:".length);
  await place.client.delete(`${place.location.prefix}/blobs/sha256/${hex.slice(0, 2)}/${hex}`);
}
