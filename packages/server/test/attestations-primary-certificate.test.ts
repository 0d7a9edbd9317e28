/** Primary provenance by an identity that a certificate proves: the same rule as for keys, and what is different about certificates. */
import { buildStatement, type Digest, digestHex, type JsonObject } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { primaryOf } from "../src/attestations/queries.ts";
import { readPosted } from "../src/attestations/reading.ts";
import { currentTrustNumber } from "../src/trust/queries.ts";
import { type Authority, type Certified, certifiedBundle, certify, makeRoot } from "./certified.ts";
import { ADMIN } from "./core.ts";
import { artifact, openRoom, PROVENANCE, replayDifferences, type Room } from "./evidence-room.ts";

const WORKFLOW = "https://ci.example.com/acme/app/release.yml@refs/heads/main";

let room: Room;
let authority: Authority;
let holder: Certified;

beforeAll(async () => {
  room = await openRoom();
  authority = await makeRoot("Acme Root");
  holder = await certify(authority, WORKFLOW);
  expect(await setRoot(authority)).toBe(200);
  const { status } = await room.call("POST", "/orgs/acme/trust/entries", {
    kind: "certificate",
    name: "release-workflow",
    root: "house",
    issuer: null,
    subject: { kind: "exact", value: WORKFLOW },
    scope: { repositories: ["acme/app"], predicateTypes: [PROVENANCE] },
    primary: true,
  });
  expect(status).toBe(201);
});
afterAll(() => room.stop());

async function setRoot({ cert }: Authority): Promise<number> {
  return (await room.call("PUT", "/orgs/acme/trust/roots/house", { certificates: cert })).status;
}

type Terms = { readonly run?: string; readonly predicate?: JsonObject; readonly by?: Certified };

function provenance(subject: Digest, { run = "1", predicate, by = holder }: Terms = {}): Uint8Array {
  const whole: JsonObject = {
    buildDefinition: { buildType: "https://example.com/build", externalParameters: {} },
    runDetails: { builder: { id: "https://ci.example.com/builder" }, metadata: { invocationId: run } },
  };
  return certifiedBundle(
    by,
    buildStatement({
      subjects: [{ name: "app", digest: { sha256: digestHex(subject) } }],
      predicateType: PROVENANCE,
      predicate: predicate ?? whole,
    }),
  );
}

async function primary(subject: Digest) {
  const [row] = await primaryOf(room.instance.reader, "acme", "acme/app", [subject]);
  return row;
}

describe("primary provenance by certificate", () => {
  it("is set by an identity whose entry is primary, and is the identity's, not its certificate's", async () => {
    const subject = artifact("certified");
    const posted = await room.post("acme", provenance(subject), "app");
    expect(posted).toMatchObject({ status: 201, body: { created: true, primary: "set" } });
    const row = await primary(subject);
    expect(row).toMatchObject({ evidence: posted.body.evidence });
    // The same statement under the identity's next certificate, with its next key, is the same provenance.
    const renewed = await certify(authority, WORKFLOW);
    expect(await room.post("acme", provenance(subject, { by: renewed }), "app")).toMatchObject({
      status: 201,
      body: { primary: "already" },
    });
    expect(await primary(subject)).toEqual(row);
    const other = await room.post("acme", provenance(subject, { by: renewed, run: "2" }), "app");
    expect(other).toMatchObject({ status: 409, body: { error: { code: "primary-provenance-exists" } } });
  });

  it("is not set by another name, another authority, or in another repository", async () => {
    const subject = artifact("not certified");
    for (const by of [
      await certify(authority, `${WORKFLOW}-fork`),
      await certify(authority, WORKFLOW.replace("ci.example.com", "ci.example.com.evil.example")),
      await certify(await makeRoot("Acme Root"), WORKFLOW),
    ])
      expect((await room.post("acme", provenance(subject, { by }), "app")).body).toMatchObject({ primary: "none" });
    expect((await room.post("acme", provenance(subject), "other")).body).toMatchObject({ primary: "none" });
    expect(await primary(subject)).toBeUndefined();
  });

  it("is not set by provenance that does not say who built it and how", async () => {
    const subject = artifact("says nothing");
    for (const predicate of [
      {},
      { buildDefinition: { buildType: "https://example.com/build", externalParameters: {} } },
      { runDetails: { builder: { id: "https://ci.example.com/builder" } } },
    ])
      expect((await room.post("acme", provenance(subject, { predicate }), "app")).body).toMatchObject({
        created: true,
        primary: "none",
      });
    // The place is still free for the real one.
    expect((await room.post("acme", provenance(subject), "app")).body).toMatchObject({ primary: "set" });
  });

  it("is asked for again when the authorities changed after the certificate was proven", async () => {
    const subject = artifact("authority withdrawn");
    const bundle = provenance(subject);
    const { reader, record } = room.instance;
    const provenUnder = await currentTrustNumber(reader, "acme");
    const { entries } = (await room.call("GET", "/orgs/acme/trust")).body;
    const keyId = entries.find(({ name }) => name === "release-workflow")?.keyId ?? "";
    expect(keyId).toMatch(/^[0-9a-f]{64}$/);
    // Proven under the authority of before; since then the root of that name holds another.
    expect(await setRoot(await makeRoot("Acme Root"))).toBe(200);
    const appended = await record.append({
      type: "attestations.add",
      org: "acme",
      actor: ADMIN,
      body: { ...readPosted(bundle), signers: [keyId], provenUnder, repository: "acme/app", source: { kind: "api" } },
    });
    expect(appended).toMatchObject({ ok: false, refusal: { code: "trust-changed", status: 503 } });
    // Sent again it is judged under the trust of now, which does not believe the authority any more.
    expect((await room.post("acme", bundle, "app")).body).toMatchObject({ primary: "none" });
    expect(await primary(subject)).toBeUndefined();
  });

  it("is the same after replay", async () => {
    expect(await replayDifferences(room.instance)).toEqual([]);
  });
});
