/** What signatures over the bytes of large artifacts cost, and whom they keep waiting. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import {
  digestOf,
  formatBlobSignature,
  formatOpenPgpSignature,
  formatPublicKeyPem,
  LIMITS,
  toBase64,
  type TrustVersion,
  utf8Encode,
  verify,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "@assay/evidence/node";
import { openPgp } from "@assay/evidence/openpgp";
import { createMessage, generateKey, readPrivateKey, sign } from "openpgp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ArtifactBytes, artifactSource, withinOneRequest } from "../src/attestations/artifact-bytes.ts";
import { ArtifactReadings, ReadingAllowance } from "../src/attestations/artifact-readings.ts";
import { ServerError } from "../src/errors.ts";
import { makeKey, openRoom, type Room } from "./evidence-room.ts";
import { pushImage } from "./pushing.ts";

const MIB = 1024 * 1024;
const layer = randomBytes(2 * MIB);
const artifact = digestOf(nodeCrypto, layer);
const ed = generateKeyPair("ed25519");
const p384 = generateKeyPair("ecdsa-p384-sha384");

/** A store of one artifact that counts how often it is read, and by how many at once; it can fail, wait, and hold other bytes. */
function storeOf(readings = new ArtifactReadings()) {
  const counts = { reads: 0, atOnce: 0 };
  const store: { bytes: Uint8Array; fault?: Error | undefined; hold?: Promise<void> } = { bytes: layer };
  let reading = 0;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    counts.reads++;
    counts.atOnce = Math.max(counts.atOnce, ++reading);
    try {
      await store.hold;
      yield store.bytes.subarray(0, MIB);
      if (store.fault !== undefined) throw store.fault;
      yield store.bytes.subarray(MIB);
    } finally {
      reading--;
    }
  }
  const context: ArtifactBytes = {
    readings,
    artifactSize: async () => layer.length,
    blobs: {
      read: async () => Readable.from(chunks()),
      readSmall: () => Promise.reject(new Error("no evidence is stored here")),
    },
  };
  return { context, counts, store };
}

function trusting(...keys: PrivateKey[]): TrustVersion {
  const entries = keys.map(({ publicKey }) => ({
    kind: "key" as const,
    id: publicKey.keyId,
    name: publicKey.keyId.slice(0, 8),
    publicKeyPem: formatPublicKeyPem(publicKey),
    keyId: publicKey.keyId,
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
  }));
  return { org: "acme", version: 1, entries, logs: [], roots: [] };
}

const trust = trusting(ed, p384);

/** "verified", or why not, and what is said of it. */
async function judged(
  context: ArtifactBytes,
  signature: Uint8Array,
  { allowance = new ReadingAllowance(), org = "acme", subject = artifact, whom = trust } = {},
): Promise<string> {
  const source = await artifactSource({ ...context, allowance }, org, subject, "message-signature");
  const verdict = await verify(nodeCrypto, {
    bundle: formatBlobSignature({ subject, signature }),
    artifact: subject,
    trust: whom,
    times: [],
    ...(source === undefined ? {} : { artifactSource: source }),
  });
  return verdict.status === "verified" ? "verified" : verdict.code;
}

/** A signature in good form that nobody made over the artifact. */
const garbage = (text: string): Uint8Array => ed.sign(utf8Encode(text));

describe("a signature over a large artifact", () => {
  it.each([
    ["Ed25519", ed],
    ["P-384", p384],
  ])("(%s) makes it be read once, however often it is judged", async (_name, key) => {
    const { context, counts } = storeOf();
    const signature = key.sign(layer);
    for (let time = 0; time < 3; time++) expect(await judged(context, signature)).toBe("verified");
    expect(counts.reads).toBe(1);
  });

  it("that is garbage is refused each time, and costs one reading in all", async () => {
    const { context, counts } = storeOf();
    for (let time = 0; time < 3; time++) expect(await judged(context, garbage("x"))).toBe("unknown-signer");
    expect(counts.reads).toBe(1);
    expect(await judged(context, ed.sign(layer))).toBe("verified");
    expect(await judged(context, garbage("x"))).toBe("unknown-signer");
    expect(counts.reads).toBe(2);
  });

  it("by a key that signs a digest costs no more for being one of many", async () => {
    const { context, counts } = storeOf();
    const whom = trusting(p384);
    for (let number = 0; number < 5; number++) {
      expect(await judged(context, p384.sign(utf8Encode(`${number}`)), { whom })).toBe("unknown-signer");
    }
    expect(counts.reads).toBe(1);
  });

  it("that is over the SHA-256 digest, or of no form that a key's has, makes nothing be read", async () => {
    const { context, counts } = storeOf();
    const p256 = generateKeyPair("ecdsa-p256-sha256");
    const whom = trusting(ed, p384, p256);
    expect(await judged(context, p256.sign(layer), { whom })).toBe("verified");
    expect(await judged(context, randomBytes(70), { whom })).toBe("unknown-signer");
    expect(counts.reads).toBe(0);
  });

  it("is judged by the keys of the moment: nothing about trust is remembered", async () => {
    const { context } = storeOf();
    const signature = ed.sign(layer);
    expect(await judged(context, signature)).toBe("verified");
    expect(await judged(context, signature, { whom: trusting(p384) })).toBe("unknown-signer");
    expect(await judged(context, signature)).toBe("verified");
  });

  it("is read anew for each organisation: how long an answer takes tells nothing of others", async () => {
    const { context, counts } = storeOf();
    await judged(context, ed.sign(layer));
    await judged(context, ed.sign(layer), { org: "rival" });
    expect(counts.reads).toBe(2);
  });

  it("by OpenPGP is hashed once for all signatures that hash it alike, whatever they say", async () => {
    const { context, counts } = storeOf();
    const { privateKey, publicKey } = await generateKey({
      userIDs: [{ name: "P" }],
      format: "armored",
      type: "curve25519",
    });
    const { fingerprint } = openPgp.readCertificate(publicKey);
    const terms = { scope: { repositories: ["**"], predicateTypes: ["*"] }, validFrom: null, validUntil: null };
    const packager = { id: "gpg", name: "packager", certificate: publicKey, keyId: fingerprint, primary: false };
    const whom: TrustVersion = { ...trust, entries: [{ kind: "openpgp", ...packager, ...terms }] };
    const outcomes: string[] = [];
    for (const signed of [layer, utf8Encode("another"), utf8Encode("a third"), layer]) {
      const message = await createMessage({ binary: signed });
      const signingKeys = await readPrivateKey({ armoredKey: privateKey });
      const made: unknown = await sign({ message, signingKeys, detached: true, format: "binary" });
      if (!(made instanceof Uint8Array)) throw new Error("no signature was made");
      const source = await artifactSource(
        { ...context, allowance: new ReadingAllowance() },
        "acme",
        artifact,
        "openpgp",
      );
      const verdict = await verify(nodeCrypto, {
        bundle: formatOpenPgpSignature({ subject: artifact, signature: new Uint8Array(made) }),
        artifact,
        trust: whom,
        times: [],
        openpgp: openPgp,
        ...(source === undefined ? {} : { artifactSource: source }),
      });
      outcomes.push(verdict.status === "verified" ? "verified" : verdict.code);
    }
    expect(outcomes).toEqual(["verified", "signature-invalid", "signature-invalid", "verified"]);
    expect(counts.reads).toBe(1);
  });
});

it("others have their turn many times while an artifact is read, however large the store's chunks are", async () => {
  const { context } = storeOf();
  let turns = 0;
  let isReading = true;
  const counting = (async () => {
    for (; isReading; turns++) await setImmediate();
  })();
  expect(await judged(context, ed.sign(layer))).toBe("verified");
  isReading = false;
  await counting;
  expect(turns).toBeGreaterThanOrEqual((layer.length / MIB) * 4);
});

describe("what goes wrong while an artifact is read", () => {
  it("is not remembered: an error of the store is the reader's, and the next judgement reads again", async () => {
    const { context, counts, store } = storeOf();
    store.fault = new ServerError("blobs-unavailable", "gone for a moment");
    await expect(judged(context, ed.sign(layer))).rejects.toMatchObject({ code: "blobs-unavailable" });
    store.fault = undefined;
    expect(await judged(context, ed.sign(layer))).toBe("verified");
    expect(counts.reads).toBe(2);
  });

  it.each<[string, Uint8Array]>([
    ["other bytes than the digest names", layer.map((byte, index) => (index === 5 ? byte ^ 1 : byte))],
    ["fewer", layer.subarray(0, layer.length - 1)],
    ["more", Buffer.concat([layer, randomBytes(1)])],
  ])("(%s) is the store's fault and not the evidence's, and not remembered", async (_what, bytes) => {
    const { context, store } = storeOf();
    store.bytes = bytes;
    await expect(judged(context, ed.sign(bytes))).rejects.toMatchObject({ code: "blob-digest-mismatch" });
    store.bytes = layer;
    expect(await judged(context, ed.sign(layer))).toBe("verified");
    expect(await judged(context, ed.sign(bytes))).toBe("unknown-signer");
  });
});

describe("judgements at the same time", () => {
  it("of the same question share one reading", async () => {
    const { context, counts } = storeOf();
    const signature = ed.sign(layer);
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => judged(context, signature)));
    expect(outcomes).toEqual(Array.from({ length: 8 }, () => "verified"));
    expect(counts.reads).toBe(1);
  });

  it("read one after another, never two at once", async () => {
    const { context, counts } = storeOf();
    await Promise.all(Array.from({ length: 6 }, (_, number) => judged(context, garbage(`${number}`))));
    expect(counts).toMatchObject({ reads: 6, atOnce: 1 });
  });

  it("wait for a bounded time, then say that the server is busy, which is no verdict; the next goes on", async () => {
    const { context, store } = storeOf(new ArtifactReadings({ patienceMs: 20 }));
    const gate = Promise.withResolvers<void>();
    store.hold = gate.promise;
    const first = judged(context, garbage("first"));
    await expect(judged(context, garbage("second"))).rejects.toMatchObject({ code: "artifacts-busy" });
    gate.resolve();
    expect(await first).toBe("unknown-signer");
    expect(await judged(context, garbage("third"))).toBe("unknown-signer");
  });

  it("of one organisation do not keep another waiting behind all of them", async () => {
    const readings = new ArtifactReadings();
    const order: string[] = [];
    const turn = (org: string) =>
      readings.turn(org, async () => {
        order.push(org);
        await setImmediate();
      });
    await Promise.all([turn("acme"), turn("acme"), turn("acme"), turn("acme"), turn("rival")]);
    expect(order.indexOf("rival")).toBeLessThanOrEqual(2);
    expect(order).toHaveLength(5);
  });

  it("are few for one organisation: what is one too many is refused at once", async () => {
    const readings = new ArtifactReadings();
    const gate = Promise.withResolvers<void>();
    const turns = Array.from({ length: 40 }, () => readings.turn("acme", () => gate.promise));
    const settled = Promise.allSettled(turns);
    gate.resolve();
    const refused = (await settled).filter(({ status }) => status === "rejected");
    expect(refused).toHaveLength(7);
  });
});

describe("one request", () => {
  it("hashes so many bytes and no more: what is left is refused as needing them, and comes with the next", async () => {
    const { context, counts } = storeOf();
    const pieces = [...Array.from({ length: 5 }, (_, number) => garbage(`${number}`)), ed.sign(layer)];
    const request = async (): Promise<string[]> => {
      const allowance = new ReadingAllowance(3 * layer.length);
      const outcomes: string[] = [];
      for (const piece of pieces) outcomes.push(await judged(context, piece, { allowance, whom: trusting(ed) }));
      return outcomes;
    };
    const [bad, needed] = ["unknown-signer", "bytes-needed"];
    expect(await request()).toEqual([bad, bad, bad, needed, needed, needed]);
    expect(counts.reads).toBe(3);
    expect(await request()).toEqual([bad, bad, bad, bad, bad, "verified"]);
    expect(counts.reads).toBe(6);
  });

  it("has an allowance of its own, which is enough for what one signature over the largest artifact can ask", () => {
    const { context } = storeOf();
    expect(withinOneRequest(context).allowance).not.toBe(withinOneRequest(context).allowance);
    expect(withinOneRequest(context).allowance.take(LIMITS.openPgpHashings * LIMITS.messageBytes)).toBe(true);
  });
});

describe("through the door", () => {
  let room: Room;
  beforeAll(async () => {
    room = await openRoom();
  });
  afterAll(() => room.stop());

  it("a list asks for an artifact's bytes no second time", async () => {
    const key = makeKey("ed25519");
    await room.trust("acme", key, { name: "ed" });
    const bytes = randomBytes(3 * MIB);
    const subject = digestOf(nodeCrypto, bytes);
    await pushImage(room.instance.url, "acme/app", "1.0.0", bytes);
    for (const signature of [key.sign(bytes), key.sign(utf8Encode("other"))]) {
      const posted = await room.call("POST", "/orgs/acme/attestations", { signature: toBase64(signature), subject });
      expect(posted.status).toBe(201);
    }
    const hashed = vi.spyOn(ArtifactReadings.prototype, "turn");
    const { body } = await room.call("GET", `/orgs/acme/attestations/${subject}`);
    expect(body.items).toMatchObject([
      { status: { status: "verified", by: { name: "ed" } } },
      { status: { status: "refused", code: "unknown-signer" } },
    ]);
    expect(hashed).not.toHaveBeenCalled();
    hashed.mockRestore();
  });
});
