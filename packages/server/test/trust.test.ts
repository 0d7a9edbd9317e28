import { formatPublicKeyPem, type JsonObject, parseTrustFile, utf8Encode } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { currentTrustNumber, trustVersion } from "../src/trust/queries.ts";
import { makeKey, openRoom, replayDifferences, type Room } from "./evidence-room.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room.stop());

const EVERYTHING = { repositories: ["**"], predicateTypes: ["*"] };

function entry(key = makeKey(), more: JsonObject = {}): JsonObject {
  return { name: "release", publicKeyPem: formatPublicKeyPem(key.publicKey), scope: EVERYTHING, ...more };
}

describe("trust is versioned", () => {
  it("starts at version 0, which trusts nobody", async () => {
    const { status, body } = await room.call("GET", "/orgs/rival/trust");
    expect(status).toBe(200);
    expect(body).toMatchObject({ org: "rival", version: 0, entries: [] });
  });

  it("makes one version per change, and every version can be read back", async () => {
    const key = makeKey();
    const added = await room.call("POST", "/orgs/acme/trust/entries", entry(key, { name: "first" }));
    expect(added.status).toBe(201);
    const version = Number(added.body.version);
    const id = String(added.body.entry.id);
    expect(added.body.entry).toMatchObject({ keyId: key.publicKey.keyId, primary: false, validFrom: null });
    expect(added.body.receipt.sequence).toBeGreaterThan(0);

    const changed = await room.call("PATCH", `/orgs/acme/trust/entries/${id}`, { primary: true, validUntil: 5 });
    expect(changed.body).toMatchObject({ version: version + 1, entry: { id, primary: true, validUntil: 5 } });
    const removed = await room.call("DELETE", `/orgs/acme/trust/entries/${id}`);
    expect(removed.body.version).toBe(version + 2);

    const names = async (v: number): Promise<unknown> => {
      const { body } = await room.call("GET", `/orgs/acme/trust?version=${v}`);
      return body.entries.map((e) => [e.name, e.primary, e.validUntil]);
    };
    expect(await names(version - 1)).toEqual([]);
    expect(await names(version)).toEqual([["first", false, null]]);
    expect(await names(version + 1)).toEqual([["first", true, 5]]);
    expect(await names(version + 2)).toEqual([]);
    expect(await room.refusal("GET", `/orgs/acme/trust?version=${version + 3}`)).toBe("404 trust-version-unknown");
    // As of the sequence that added it, and of the one before.
    const sequence = Number(added.body.receipt.sequence);
    expect((await room.call("GET", `/orgs/acme/trust?asOf=${sequence}`)).body.version).toBe(version);
    expect((await room.call("GET", `/orgs/acme/trust?asOf=${sequence - 1}`)).body.version).toBe(version - 1);
  });

  it("answers with the very file that offline verification reads", async () => {
    await room.trust("acme", makeKey("ed25519"), { name: "offline", validFrom: 1, primary: true });
    const { body } = await room.call("GET", "/orgs/acme/trust");
    const file = parseTrustFile(utf8Encode(JSON.stringify(body)));
    expect(file.logs).toHaveLength(1);
    expect(file.logs[0]).toMatch(/\/logs\/record\+/);
    expect(file).toEqual(await trustVersion(room.instance.reader, "acme", {}, file.logs));
  });

  it("changes nothing when asked for what is so already", async () => {
    const { entry: made } = await room.trust("acme", makeKey(), { name: "same" });
    const before = await currentTrustNumber(room.instance.reader, "acme");
    const again = await room.call("PATCH", `/orgs/acme/trust/entries/${made.id}`, { name: "same" });
    expect(again.body).toMatchObject({ version: before, receipt: null });
    expect(await currentTrustNumber(room.instance.reader, "acme")).toBe(before);
  });

  it("gives each of many concurrent changes a version of its own", async () => {
    const before = await currentTrustNumber(room.instance.reader, "acme");
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        room.call("POST", "/orgs/acme/trust/entries", entry(makeKey(), { name: `n${i}` })),
      ),
    );
    const versions = answers.map(({ body }) => Number(body.version)).toSorted((a, b) => a - b);
    expect(versions).toEqual(Array.from({ length: 8 }, (_, i) => before + 1 + i));
  });

  it("lists its changes, newest first, page by page, as of one sequence", async () => {
    const first = await room.call("GET", "/orgs/acme/trust/versions?limit=2");
    expect(first.body.items).toHaveLength(2);
    await room.trust("acme", makeKey(), { name: "later" });
    const second = await room.call("GET", `/orgs/acme/trust/versions?limit=2&cursor=${first.body.next}`);
    const versions = [...first.body.items, ...second.body.items].map((item) => Number(item.version));
    expect(versions).toEqual(Array.from({ length: 4 }, (_, i) => (versions[0] ?? 0) - i));
    expect(await room.refusal("GET", "/orgs/acme/trust/versions?cursor=bm9uc2Vuc2U")).toBe("400 cursor-invalid");
  });
});

describe("trust refuses", () => {
  it("a private key, by name, and keeps nothing of it", async () => {
    const before = await currentTrustNumber(room.instance.reader, "acme");
    const pem = makeKey().toPem();
    const { status, body } = await room.call("POST", "/orgs/acme/trust/entries", { ...entry(), publicKeyPem: pem });
    expect(status).toBe(400);
    expect(body.error.code).toBe("private-key-refused");
    expect(JSON.stringify(body)).not.toContain(pem.split("\n")[1]);
    expect(await currentTrustNumber(room.instance.reader, "acme")).toBe(before);
  });

  it.each([
    ["no PEM", { publicKeyPem: "hello" }],
    ["two PEM blocks", { publicKeyPem: formatPublicKeyPem(makeKey().publicKey).repeat(2) }],
    ["a certificate", { publicKeyPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" }],
    [
      "DER with bytes after it",
      { publicKeyPem: formatPublicKeyPem(makeKey().publicKey).replace(/(.)(=*\n-----END)/, "A$1$2") },
    ],
  ])("%s as a public key", async (_what, more) => {
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", entry(makeKey(), more))).toBe(
      "400 public-key-invalid",
    );
  });

  it.each([
    ["an empty name", { name: "" }],
    ["a name like a key id", { name: "sha256:abc" }],
    ["a name like 64 digits", { name: "a".repeat(64) }],
    ["a name like an entry's id", { name: "entry-7" }],
    ["a name with a direction mark", { name: "release\u202e" }],
    ["a name that ends in a space", { name: "release " }],
    ["no repositories", { scope: { repositories: [], predicateTypes: ["*"] } }],
    ["a repeated pattern", { scope: { repositories: ["a/b", "a/b"], predicateTypes: ["*"] } }],
    ["a pattern that is none", { scope: { repositories: ["Acme/../x"], predicateTypes: ["*"] } }],
    ["a long run of stars", { scope: { repositories: [`${"*".repeat(250)}!`], predicateTypes: ["*"] } }],
    ["an unknown field", { trusted: true }],
    ["a moment that is no whole number", { validFrom: 1.5 }],
  ])("%s", async (_what, more) => {
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", entry(makeKey(), more))).toBe("400 request-invalid");
  });

  it("a window that never opens", async () => {
    const more = { validFrom: 10, validUntil: 9 };
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", entry(makeKey(), more))).toBe(
      "400 trust-window-empty",
    );
  });

  it("the same name for the same key and scope twice, and allows one name two keys", async () => {
    const key = makeKey();
    await room.trust("acme", key, { name: "twice" });
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", entry(key, { name: "twice" }))).toBe(
      "409 trust-entry-exists",
    );
    await room.trust("acme", makeKey(), { name: "twice" });
  });

  it("an entry that is not there, or not any more", async () => {
    const { entry: made } = await room.trust("acme", makeKey(), { name: "gone" });
    await room.call("DELETE", `/orgs/acme/trust/entries/${made.id}`);
    expect(await room.refusal("DELETE", `/orgs/acme/trust/entries/${made.id}`)).toBe("404 trust-entry-unknown");
    expect(await room.refusal("PATCH", "/orgs/acme/trust/entries/entry-999999", { name: "x" })).toBe(
      "404 trust-entry-unknown",
    );
    expect(await room.refusal("PATCH", `/orgs/acme/trust/entries/${made.id}`, {})).toBe("400 request-invalid");
  });
});

describe("two tenants", () => {
  it("see and change only their own trust; not there and not theirs are one answer", async () => {
    const mine = await room.trust("acme", makeKey(), { name: "mine" });
    const rival = await room.person("rita", "rival", "admin");
    for (const org of ["acme", "nowhere"]) {
      expect(await room.refusal("GET", `/orgs/${org}/trust`, undefined, rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("GET", `/orgs/${org}/trust/versions`, undefined, rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("POST", `/orgs/${org}/trust/entries`, entry(), rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("DELETE", `/orgs/${org}/trust/entries/${mine.entry.id}`, undefined, rival.token)).toBe(
        "404 org-unknown",
      );
    }
    // Their own organisation does not have the other's entries under their ids either.
    expect(await room.refusal("DELETE", `/orgs/rival/trust/entries/${mine.entry.id}`, undefined, rival.token)).toBe(
      "404 trust-entry-unknown",
    );
  });

  it("lets readers read and only admins change, decided in the transaction too", async () => {
    const member = await room.person("mia", "acme", "member");
    expect((await room.call("GET", "/orgs/acme/trust", undefined, member.token)).status).toBe(200);
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", entry(), member.token)).toMatch(/^403 /);
    const body = { entry: entry(makeKey(), { name: "sneaky" }) };
    const appended = await room.instance.record.append({
      type: "trust.add-entry",
      org: "acme",
      actor: member.actor,
      body,
    });
    expect(appended.ok ? 200 : appended.refusal.status).toBe(403);
    expect(await room.refusal("GET", "/orgs/acme/trust", undefined, "assay_nonsense")).toBe("401 unauthorized");
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
