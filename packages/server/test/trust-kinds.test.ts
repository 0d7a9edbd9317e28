/** Trust in more than keys, and trust as data: roots, certificate identities, whole files in, differences, and back. */
import { certificateKeyId, parseTrustFile, utf8Encode } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { currentTrustNumber, keysSince, trustVersion } from "../src/trust/queries.ts";
import { makeRoot } from "./certified.ts";
import { makeKey, openRoom, replayDifferences, type Room } from "./evidence-room.ts";

let room: Room;
let authority: string;

beforeAll(async () => {
  room = await openRoom();
  authority = (await makeRoot("Acme Root")).cert;
});
afterAll(() => room.stop());

const SCOPE = { repositories: ["acme/**"], predicateTypes: ["*"] };
const CERTIFICATE = {
  kind: "certificate",
  name: "release-workflow",
  root: "house",
  issuer: null,
  subject: { kind: "exact", value: "CN=build" },
  scope: SCOPE,
};

const current = (): Promise<number> => currentTrustNumber(room.instance.reader, "acme");

describe("roots", () => {
  it("are set, shown in the trust file, and set again without change", async () => {
    const set = await room.call("PUT", "/orgs/acme/trust/roots/house", { certificates: authority });
    expect(set.status).toBe(200);
    expect(set.body.root).toMatchObject({ name: "house", profile: "x509" });
    const again = await room.call("PUT", "/orgs/acme/trust/roots/house", { certificates: authority });
    expect(again.body).toMatchObject({ version: set.body.version, receipt: null });
    const { body } = await room.call("GET", "/orgs/acme/trust");
    const file = parseTrustFile(utf8Encode(JSON.stringify(body)));
    expect(file.roots.map(({ name }) => name)).toEqual(["house"]);
    expect(file).toEqual(await trustVersion(room.instance.reader, "acme", {}, file.logs));
  });

  it.each([
    ["no certificate", { certificates: "hello" }],
    ["a trusted root that is none", { trustedRoot: { mediaType: "x" } }],
  ])("of %s are refused, and change nothing", async (_, body) => {
    const before = await current();
    expect(await room.refusal("PUT", "/orgs/acme/trust/roots/other", body)).toBe("400 trust-root-invalid");
    expect(await current()).toBe(before);
  });

  it("cannot be removed while an entry is judged under them", async () => {
    const { body } = await room.call("POST", "/orgs/acme/trust/entries", CERTIFICATE);
    expect(body.entry.keyId).toBe(
      certificateKeyId({ root: "house", issuer: null, subject: { kind: "exact", value: "CN=build" } }),
    );
    expect(await room.refusal("DELETE", "/orgs/acme/trust/roots/house")).toBe("409 trust-root-used");
    expect(await room.refusal("DELETE", "/orgs/acme/trust/roots/none")).toBe("404 trust-root-unknown");
  });

  it("that changed make every certificate identity untried again", async () => {
    const before = await current();
    expect(await keysSince(room.instance.reader, "acme", before)).toEqual([]);
    const both = `${authority}\n${(await makeRoot("Second Root")).cert}`;
    expect((await room.call("PUT", "/orgs/acme/trust/roots/house", { certificates: both })).status).toBe(200);
    expect(await keysSince(room.instance.reader, "acme", before)).toHaveLength(1);
  });
});

describe("certificate entries", () => {
  it.each<[string, Record<string, unknown>, string]>([
    ["an unknown root", { root: "nowhere" }, "400 trust-root-unknown"],
    ["a subject that matches anybody", { subject: { kind: "pattern", value: "**" } }, "400 request-invalid"],
    [
      "a subject that matches anybody, spelt otherwise",
      { subject: { kind: "pattern", value: "*@*.*" } },
      "400 request-invalid",
    ],
    ["an issuer that is no URL", { issuer: "github" }, "400 request-invalid"],
    ["a regular expression's kind", { subject: { kind: "regex", value: "a" } }, "400 request-invalid"],
    ["a window that holds no moment", { validFrom: 2, validUntil: 1 }, "400 trust-window-empty"],
  ])("with %s are refused", async (_, change, refusal) => {
    const before = await current();
    expect(await room.refusal("POST", "/orgs/acme/trust/entries", { ...CERTIFICATE, name: "x", ...change })).toBe(
      refusal,
    );
    expect(await current()).toBe(before);
  });
});

describe("trust as data", () => {
  it("comes back whole: exported, changed, imported, compared and rolled back", async () => {
    const key = makeKey();
    await room.trust("acme", key, { name: "steady" });
    const base = await current();
    const { body: file } = await room.call("GET", "/orgs/acme/trust");
    const changed = {
      ...file,
      entries: file.entries.map((entry) => (entry.name === "steady" ? { ...entry, name: "renamed" } : entry)),
    };

    const imported = await room.call("PUT", `/orgs/acme/trust?base=${base}`, changed);
    expect(imported.body.version).toBe(base + 1);
    const { body: diff } = await room.call("GET", `/orgs/acme/trust/diff?from=${base}`);
    expect(diff).toMatchObject({ from: base, to: base + 1 });
    expect(diff.diff.entries).toMatchObject({ added: [], removed: [], changed: [{ members: ["name"] }] });
    expect(diff.diff.roots).toEqual({ added: [], removed: [], changed: [] });

    // The same file again changes nothing; the version it was made for is not the one that is there.
    expect((await room.call("PUT", `/orgs/acme/trust?base=${base + 1}`, changed)).body).toMatchObject({
      receipt: null,
    });
    expect(await room.refusal("PUT", `/orgs/acme/trust?base=${base}`, file)).toBe("412 trust-changed");

    const back = await room.call("POST", "/orgs/acme/trust/rollback", { to: base, base: base + 1 });
    expect(back.body.version).toBe(base + 2);
    const again = await room.call("GET", `/orgs/acme/trust/diff?from=${base}&to=${base + 2}`);
    expect(again.body.diff.entries).toEqual({ added: [], removed: [], changed: [] });
    const { body: versions } = await room.call("GET", "/orgs/acme/trust/versions");
    expect(versions.items.slice(0, 2).map(({ change }) => change)).toEqual(["rolled-back", "imported"]);
  });

  it("gives entries of others ids of its own", async () => {
    const theirs = makeKey();
    await room.trust("rival", theirs, { name: "theirs" });
    const { body: file } = await room.call("GET", "/orgs/rival/trust");
    const { body: mine } = await room.call("GET", "/orgs/acme/trust");
    const base = await current();
    const merged = { ...mine, entries: [...mine.entries, ...file.entries] };
    expect((await room.call("PUT", `/orgs/acme/trust?base=${base}`, merged)).status).toBe(200);
    const { body: after } = await room.call("GET", "/orgs/acme/trust");
    const taken = after.entries.find((entry) => entry.name === "theirs");
    expect(taken?.keyId).toBe(theirs.publicKey.keyId);
    expect(taken?.id).toMatch(/^entry-\d+-\d+$/);
    expect(taken?.id).not.toBe(file.entries[0]?.id);
  });

  it.each<[string, (file: { entries: object[] }) => void]>([
    ["a key id that is another key's", (file) => Object.assign(file.entries[0] ?? {}, { keyId: "0".repeat(64) })],
    ["an unknown member", (file) => Object.assign(file, { extra: 1 })],
    ["a certificate entry without its root", (file) => Object.assign(file, { roots: [] })],
  ])("with %s is refused, and changes nothing", async (_, damage) => {
    const base = await current();
    const { body: file } = await room.call("GET", "/orgs/acme/trust");
    const damaged = structuredClone(file) as unknown as { entries: object[] };
    damage(damaged);
    expect(await room.refusal("PUT", `/orgs/acme/trust?base=${base}`, damaged)).toBe("400 trust-invalid");
    expect(await current()).toBe(base);
  });

  it("is changed by admins only, whatever the way", async () => {
    const { token } = await room.person("rita", "acme", "reader");
    const { body: file } = await room.call("GET", "/orgs/acme/trust", undefined, token);
    const base = await current();
    for (const [method, path, body] of [
      ["PUT", `/orgs/acme/trust?base=${base}`, file],
      ["POST", "/orgs/acme/trust/rollback", { to: 0, base }],
      ["PUT", "/orgs/acme/trust/roots/house", { certificates: authority }],
      ["DELETE", "/orgs/acme/trust/roots/house", undefined],
    ] as const) {
      expect(await room.refusal(method, path, body, token)).toBe("403 forbidden");
    }
    expect(await current()).toBe(base);
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
