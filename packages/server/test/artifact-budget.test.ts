/** What becomes of a question that takes more reading of artifacts than one request may: no verdict, and a way on. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  type Digest,
  digestOf,
  formatBlobSignature,
  formatPublicKeyPem,
  MESSAGE_SIGNATURE_PREDICATE,
  parseDigest,
  toBase64,
  type TrustVersion,
  utf8Encode,
  verify,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "@assay/evidence/node";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type ArtifactBytes, artifactSource } from "../src/attestations/artifact-bytes.ts";
import { ArtifactReadings, ReadingAllowance } from "../src/attestations/artifact-readings.ts";
import { signersOfAll } from "../src/attestations/walk-queries.ts";
import { newestSequence } from "../src/record/newest.ts";
import { makeKey, openRoom, type Room } from "./evidence-room.ts";
import { pushImage } from "./pushing.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room.stop());
afterEach(() => {
  vi.restoreAllMocks();
});

/** Makes artifacts of a size so dear that a request may hash so many of them. */
function affording(hashings: number, size: number): void {
  const price = Math.floor(GIB / hashings) / size;
  const take = Reflect.get(ReadingAllowance.prototype, "take");
  vi.spyOn(ReadingAllowance.prototype, "take").mockImplementation(function (this: ReadingAllowance, bytes) {
    return Reflect.apply(take, this, [bytes * price]);
  });
}

/** An artifact of `org` with five signatures that `key` made over something else and, behind them, the one over it. */
async function signedBehindJunk(org: string, key: PrivateKey, size: number): Promise<Digest> {
  const bytes = randomBytes(size);
  const { layer } = await pushImage(room.instance.url, `${org}/app`, "latest", bytes);
  const subject = parseDigest(layer);
  const junk = Array.from({ length: 5 }, (_, number) => key.sign(utf8Encode(`${number}`)));
  for (const signature of [...junk, key.sign(bytes)]) {
    const given = await room.call("POST", `/orgs/${org}/attestations`, { signature: toBase64(signature), subject });
    expect(given.status).toBe(201);
  }
  return subject;
}

const policyOf = (name: string): string => `version: 1
name: release
rules:
  - id: signed
    evidence: { predicateType: "${MESSAGE_SIGNATURE_PREDICATE}", identities: [${name}] }
`;

describe("a decision", () => {
  it.each([
    ["large", 2 * MIB],
    ["small", 4096],
  ])(
    "that there is no time to judge all evidence for is not made (%s artifact); asked again, it comes",
    async (name, size) => {
      const key = makeKey("ed25519");
      const digest = await signedBehindJunk("acme", key, size);
      // Only now: else what was given was read then.
      await room.trust("acme", key, { name });
      affording(2, size);
      const ask = () => room.call("POST", "/decisions", { org: "acme", digest, policy: { yaml: policyOf(name) } });
      const before = await newestSequence(room.instance.reader);
      for (let time = 0; time < 2; time++) {
        const { status, body } = await ask();
        // The keys that other tests left trusted cost as well.
        expect([status, body.error.code]).toEqual([503, "artifacts-busy"]);
      }
      expect(await newestSequence(room.instance.reader)).toBe(before);
      let answer = await ask();
      for (let time = 0; answer.status === 503 && time < 20; time++) answer = await ask();
      expect(answer.body.decision).toMatchObject({ result: "allowed" });
      const { body: list } = await room.call("GET", `/orgs/acme/attestations/${digest}`);
      expect(list.items.map(({ status }) => status.status)).toEqual([...Array<string>(5).fill("refused"), "verified"]);
    },
  );
});

describe("a list", () => {
  it("says of each piece that there was no time for that its bytes are needed", async () => {
    const key = makeKey("ed25519");
    const digest = await signedBehindJunk("rival", key, 4096);
    await room.trust("rival", key, { name: "listed" });
    affording(2, 4096);
    const { status, body } = await room.call("GET", `/orgs/rival/attestations/${digest}`);
    expect(status).toBe(200);
    expect(body.items.filter((item) => item.status.code === "bytes-needed").length).toBeGreaterThanOrEqual(4);
  });
});

describe("a preview of trust", () => {
  let digest: Digest;
  let file: object;
  const SIZE = 2 * MIB;

  interface Step {
    readonly evidence: readonly { readonly subject: string; readonly after: { readonly status: string } }[];
    readonly decisions: readonly { readonly policy: string; readonly after: string }[];
    readonly unjudged: readonly { readonly evidence: string | null; readonly policy: string | null }[];
    readonly next: string | null;
  }

  async function preview(): Promise<Step[]> {
    const steps: Step[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const { status, body } = await room.call("POST", "/orgs/previewed/trust/preview", { file, cursor });
      expect(status, JSON.stringify(body)).toBe(200);
      const step = body as unknown as Step;
      steps.push(step);
      cursor = step.next;
    }
    return steps;
  }

  beforeAll(async () => {
    expect((await room.call("POST", "/orgs", { name: "previewed" })).status).toBe(201);
    const key = makeKey("ed25519");
    digest = await signedBehindJunk("previewed", key, SIZE);
    const put = await room.call("PUT", "/orgs/previewed/policies/release", { yaml: policyOf("coming") });
    expect(put.status).toBe(200);
    const asked = { org: "previewed", digest, policy: { name: "release" } };
    expect((await room.call("POST", "/decisions", asked)).body.decision.result).toBe("denied");
    const { body: was } = await room.call("GET", "/orgs/previewed/trust");
    const { body: known } = await room.call("GET", "/orgs/rival/trust");
    await room.trust("rival", key, { name: "coming" });
    const { body: knows } = await room.call("GET", "/orgs/rival/trust");
    const entry = knows.entries.find(({ name }) => name === "coming");
    expect(known.entries.length).toBe(knows.entries.length - 1);
    file = { ...was, entries: [{ ...entry, id: "entry-1" }] };
  });

  it("goes in smaller steps where reading is dear, and says the same; nothing of it stays behind", async () => {
    const remembered = vi.spyOn(ArtifactReadings.prototype, "remember");
    const whole = await preview();
    affording(2, SIZE);
    const steps = await preview();
    const changes = (all: readonly Step[]) => all.flatMap(({ evidence }) => evidence);
    expect(changes(steps)).toEqual(changes(whole));
    expect(changes(steps)).toMatchObject([{ subject: digest, after: { status: "verified" } }]);
    expect(steps.length).toBeGreaterThan(whole.length);
    expect(whole.flatMap(({ unjudged }) => unjudged)).toEqual([]);
    expect(whole.flatMap(({ decisions }) => decisions)).toMatchObject([{ policy: "release", after: "allowed" }]);
    expect(remembered).not.toHaveBeenCalled();
    // Six hashes at once are more than a step may have: not known, rather than unchanged.
    expect(steps.flatMap(({ decisions }) => decisions)).toEqual([]);
    expect(steps.flatMap(({ unjudged }) => unjudged)).toMatchObject([{ evidence: null, policy: "release" }]);
  });

  it("names every piece that is too much for a whole step, and comes to its end", async () => {
    affording(0.5, SIZE);
    const steps = await preview();
    expect(steps.flatMap(({ evidence }) => evidence)).toEqual([]);
    expect(steps.flatMap(({ unjudged }) => unjudged).filter(({ evidence }) => evidence !== null)).toHaveLength(6);
  });
});

describe("evidence in bulk", () => {
  const SIZE = 2 * MIB;

  async function bulk(lines: readonly Uint8Array[]): Promise<{ status?: string; code?: string; evidence: string }[]> {
    const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/acme/attestations/bulk`, {
      method: "POST",
      headers: { authorization: `Bearer ${room.instance.adminToken}`, "content-type": "application/x-ndjson" },
      body: Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from("\n")])),
    });
    const text = await answer.text();
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { status?: string; code?: string; evidence: string });
  }

  it("is read for line by line; a line that there is no time for is sent again, and is never without its signer", async () => {
    const key = makeKey("ed25519");
    const bytes = randomBytes(SIZE);
    await pushImage(room.instance.url, "acme/bulk", "latest", bytes);
    const subject = digestOf(nodeCrypto, bytes);
    await room.trust("acme", key, { name: "bulk" });
    const junk = Array.from({ length: 3 }, (_, number) => key.sign(utf8Encode(`${number}`)));
    const lines = [...junk, key.sign(bytes)].map((signature) => formatBlobSignature({ subject, signature }));

    affording(0.5, SIZE);
    const refused = await bulk(lines);
    expect(refused.slice(0, 4)).toMatchObject(Array(4).fill({ status: "refused", code: "artifacts-busy" }));
    vi.restoreAllMocks();

    // All together cost more than one request may; each by itself does not.
    const { body: trust } = await room.call("GET", "/orgs/acme/trust");
    affording(trust.entries.length, SIZE);
    const taken = await bulk(lines);
    expect(taken.slice(0, 4)).toMatchObject(Array(4).fill({ status: "added" }));
    const named = taken.slice(0, 4).map(({ evidence }) => evidence);
    const signers = await signersOfAll(room.instance.reader, "acme", named);
    expect(named.map((evidence) => signers.get(evidence) ?? [])).toEqual([[], [], [], [key.publicKey.keyId]]);
  });
});

describe("one reading", () => {
  const layer = randomBytes(2 * MIB);
  const subject = digestOf(nodeCrypto, layer);
  const ed = generateKeyPair("ed25519");
  const trust: TrustVersion = {
    org: "acme",
    version: 1,
    entries: [
      {
        kind: "key",
        id: "entry-1",
        name: "ed",
        publicKeyPem: formatPublicKeyPem(ed.publicKey),
        keyId: ed.publicKey.keyId,
        scope: { repositories: ["**"], predicateTypes: ["*"] },
        validFrom: null,
        validUntil: null,
        primary: false,
      },
    ],
    logs: [],
    roots: [],
  };

  async function judged(context: ArtifactBytes, allowance: ReadingAllowance, signature: Uint8Array): Promise<string> {
    const source = await artifactSource({ ...context, allowance }, "acme", subject, "message-signature");
    const verdict = await verify(nodeCrypto, {
      bundle: formatBlobSignature({ subject, signature }),
      artifact: subject,
      trust,
      times: [],
      ...(source === undefined ? {} : { artifactSource: source }),
    });
    return verdict.status === "verified" ? "verified" : verdict.code;
  }

  function contextOf(read: () => Promise<Readable>, readingMs = 60_000): ArtifactBytes {
    const blobs = { read, readSmall: () => Promise.reject(new Error("no evidence is stored here")) };
    return { blobs, readings: new ArtifactReadings(), readingMs, artifactSize: async () => layer.length };
  }

  it("that several share is paid for once", async () => {
    const context = contextOf(async () => Readable.from([layer]));
    const allowance = new ReadingAllowance(2 * layer.length);
    const signature = ed.sign(layer);
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => judged(context, allowance, signature)));
    expect(outcomes).toEqual(Array(6).fill("verified"));
    expect(await judged(context, allowance, ed.sign(utf8Encode("other")))).toBe("unknown-signer");
    expect(allowance.isSpent).toBe(false);
    expect(await judged(context, allowance, ed.sign(utf8Encode("a third")))).toBe("bytes-needed");
    expect(allowance.isSpent).toBe(true);
  });

  it.each<[string, (streams: Readable[]) => Promise<Readable>]>([
    ["never opens", () => new Promise(() => undefined)],
    [
      "stops sending",
      async (streams) => {
        const stream = new Readable({ read: () => undefined });
        stream.push(layer.subarray(0, MIB));
        streams.push(stream);
        return stream;
      },
    ],
  ])("of a store that %s ends in time, is no verdict, and passes the turn on", async (_what, hang) => {
    const streams: Readable[] = [];
    let isHanging = true;
    const context = contextOf(() => (isHanging ? hang(streams) : Promise.resolve(Readable.from([layer]))), 50);
    const first = judged(context, new ReadingAllowance(), ed.sign(layer));
    await expect(first).rejects.toMatchObject({ code: "artifacts-busy" });
    expect(streams.every(({ destroyed }) => destroyed)).toBe(true);
    isHanging = false;
    expect(await judged({ ...context, readingMs: 10_000 }, new ReadingAllowance(), ed.sign(layer))).toBe("verified");
  });

  it("that opens only after its time is closed again", async () => {
    const opening = Promise.withResolvers<Readable>();
    const context = contextOf(() => opening.promise, 20);
    await expect(judged(context, new ReadingAllowance(), ed.sign(layer))).rejects.toMatchObject({
      code: "artifacts-busy",
    });
    const stream = Readable.from([layer]);
    opening.resolve(stream);
    await vi.waitFor(() => expect(stream.destroyed).toBe(true));
  });
});
