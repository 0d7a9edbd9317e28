import { join } from "node:path";
import type { Digest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { primaryOf } from "../src/attestations/queries.ts";
import { proveSigners } from "../src/attestations/signers.ts";
import { readPosted } from "../src/attestations/reading.ts";
import { withinOneRequest } from "../src/attestations/artifact-bytes.ts";
import { newestSequence } from "../src/record/newest.ts";
import { DirectoryBlobs } from "../src/storage/directory-blobs.ts";
import { ADMIN } from "./core.ts";
import { artifact, attest, makeKey, openRoom, provenance, replayDifferences, type Room } from "./evidence-room.ts";

let room: Room;
const builder = makeKey();
const second = makeKey("ed25519");
const bystander = makeKey();

beforeAll(async () => {
  room = await openRoom();
  const scope = { repositories: ["acme/app"], predicateTypes: ["*"] };
  await room.trust("acme", builder, { name: "builder", primary: true, scope });
  await room.trust("acme", second, { name: "second builder", primary: true, scope });
  await room.trust("acme", bystander, { name: "bystander" });
});
afterAll(() => room.stop());

async function primary(subject: Digest, repository = "acme/app") {
  const [row] = await primaryOf(room.instance.reader, "acme", repository, [subject]);
  return row;
}

describe("primary provenance", () => {
  it("is set by a primary key in scope, with the trust version that made it so", async () => {
    const subject = artifact("built");
    const posted = await room.post("acme", await provenance(builder, subject, "1"), "app");
    expect(posted.body).toMatchObject({ created: true, primary: "set" });
    const trust = (await room.call("GET", "/orgs/acme/trust")).body.version;
    expect(await primary(subject)).toMatchObject({
      evidence: posted.body.evidence,
      key_id: builder.publicKey.keyId,
      trust_version: trust,
    });
    const { body } = await room.call("GET", `/orgs/acme/attestations/${subject}?repository=app`);
    expect(body.items[0]).toMatchObject({ primary: true });
    const metadata = await room.call("GET", `/orgs/acme/evidence/${posted.body.evidence}`);
    expect(metadata.body).toMatchObject({ primaryFor: [{ repository: "acme/app", subject, trustVersion: trust }] });
  });

  it("stays when the same payload comes again, signed anew or by another primary key", async () => {
    const subject = artifact("same payload");
    const first = await room.post("acme", await provenance(builder, subject, "1"), "app");
    const again = await room.post("acme", await provenance(second, subject, "1"), "app");
    expect(again).toMatchObject({ status: 201, body: { primary: "already" } });
    expect(await primary(subject)).toMatchObject({ evidence: first.body.evidence });
  });

  it("refuses a different one, and nothing of it is recorded", async () => {
    const subject = artifact("rebuilt");
    await room.post("acme", await provenance(builder, subject, "1"), "app");
    const before = await newestSequence(room.instance.reader);
    const other = await room.post("acme", await provenance(builder, subject, "2"), "app");
    expect(other.status).toBe(409);
    expect(other.body.error).toMatchObject({
      code: "primary-provenance-exists",
      detail: { repository: "acme/app", subject },
    });
    expect((await room.post("acme", await provenance(second, subject, "3"), "app")).status).toBe(409);
    expect(await newestSequence(room.instance.reader)).toBe(before);
    expect((await room.call("GET", `/orgs/acme/attestations/${subject}`)).body.items).toHaveLength(1);
  });

  it("is per repository and per artifact", async () => {
    const subject = artifact("elsewhere");
    await room.post("acme", await provenance(builder, subject, "1"), "app");
    // The entry's scope is acme/app: elsewhere this is further evidence, and no primary.
    expect((await room.post("acme", await provenance(builder, subject, "2"), "other")).body).toMatchObject({
      primary: "none",
    });
    expect((await room.post("acme", await provenance(builder, subject, "4"))).body).toMatchObject({ primary: "none" });
    expect(await primary(subject, "acme/other")).toBeUndefined();
    expect((await room.post("acme", await provenance(builder, artifact("another"), "1"), "app")).body).toMatchObject({
      primary: "set",
    });
  });

  it("is not set by a key without that rank, nor by another predicate type, nor by an unknown key", async () => {
    const subject = artifact("not primary");
    expect((await room.post("acme", await provenance(bystander, subject, "1"), "app")).body).toMatchObject({
      primary: "none",
    });
    expect((await room.post("acme", await attest(builder, subject), "app")).body).toMatchObject({ primary: "none" });
    expect((await room.post("acme", await provenance(makeKey(), subject, "1"), "app")).body).toMatchObject({
      primary: "none",
    });
    expect(await primary(subject)).toBeUndefined();
  });

  it("is not set by a key outside its window, whatever its entry says otherwise", async () => {
    const expired = makeKey();
    const scope = { repositories: ["acme/app"], predicateTypes: ["*"] };
    await room.trust("acme", expired, { name: "expired", primary: true, scope, validUntil: 1_000 });
    expect((await room.post("acme", await provenance(expired, artifact("expired"), "1"), "app")).body).toMatchObject({
      primary: "none",
    });
  });

  it("is not set by one entry's rank with another entry's scope", async () => {
    const split = makeKey();
    await room.trust("acme", split, {
      name: "split",
      primary: true,
      scope: { repositories: ["acme/lib"], predicateTypes: ["*"] },
    });
    await room.trust("acme", split, { name: "split", scope: { repositories: ["acme/app"], predicateTypes: ["*"] } });
    expect((await room.post("acme", await provenance(split, artifact("split"), "1"), "app")).body).toMatchObject({
      primary: "none",
    });
  });

  it("holds for exactly one of two different ones that race, every time", async () => {
    for (let round = 0; round < 10; round++) {
      const subject = artifact(`raced ${round}`);
      const bundles = await Promise.all([
        provenance(builder, subject, "a"),
        provenance(second, subject, "b"),
        provenance(builder, subject, "c"),
      ]);
      const answers = await Promise.all(bundles.map((bundle) => room.post("acme", bundle, "app")));
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409]);
      const winner = answers.find(({ status }) => status === 201);
      expect(await primary(subject)).toMatchObject({ evidence: winner?.body.evidence });
    }
  });

  it("is asked for again when a key it could have been signed by became trusted meanwhile", async () => {
    const late = makeKey();
    const subject = artifact("late key");
    const bundle = await provenance(late, subject, "1");
    const piece = readPosted(bundle);
    const { reader, dataDirectory } = room.instance;
    const context = withinOneRequest({ reader, blobs: await DirectoryBlobs.open(join(dataDirectory, "unused")) });
    const proven = await proveSigners(context, "acme", bundle, piece, Date.now());
    expect(proven.signers).toEqual([]);
    await room.trust("acme", late, { name: "late", primary: true });
    const appended = await room.instance.record.append({
      type: "attestations.add",
      org: "acme",
      actor: ADMIN,
      body: {
        ...piece,
        signers: proven.signers,
        provenUnder: proven.provenUnder,
        repository: "acme/app",
        source: { kind: "api" },
      },
    });
    expect(appended).toMatchObject({ ok: false, refusal: { code: "trust-changed", status: 503 } });
    expect((await room.post("acme", bundle, "app")).body).toMatchObject({ primary: "set" });
  });

  it("is the same after replay", async () => {
    expect(await replayDifferences(room.instance)).toEqual([]);
  });
});
