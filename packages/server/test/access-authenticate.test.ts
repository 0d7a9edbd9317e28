import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { equalHashes, generateApiKey, hashSecret, parseApiKey } from "../src/access/api-key.ts";
import type { AccessTables } from "../src/access/schema.ts";
import { Problem } from "../src/http/problem.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import type { RecordTables } from "../src/record/schema.ts";
import { type AccessRoom, ADMIN_TOKEN, openAccessRoom, refusalCode } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme"]);
});

afterEach(async () => {
  await room.stop();
});

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

async function refused(authorization: string): Promise<Problem> {
  const outcome = await room.authenticator.authenticate({ authorization }).catch((error: unknown) => error);
  if (!(outcome instanceof Problem)) throw new Error(`${authorization} was not refused`);
  expect(outcome).toMatchObject({ status: 401, code: "unauthorized" });
  return outcome;
}

describe("credentials", () => {
  test("no header is no credential, and no error", async () => {
    expect(await room.authenticator.authenticate({})).toBeUndefined();
  });

  test("the admin token is good as Bearer and, under the name admin, as Basic", async () => {
    const admin = { id: "admin", credential: { kind: "admin-token" } };
    expect(await room.authenticator.authenticate({ authorization: `Bearer ${ADMIN_TOKEN}` })).toEqual(admin);
    expect(await room.authenticator.authenticate({ authorization: `bearer  ${ADMIN_TOKEN}` })).toEqual(admin);
    expect(await room.authenticator.authenticate({ authorization: basic("admin", ADMIN_TOKEN) })).toEqual(admin);
    await refused(basic("alice", ADMIN_TOKEN));
    await refused(`Bearer ${ADMIN_TOKEN}x`);
    await refused(`Bearer ${ADMIN_TOKEN.slice(0, -1)}`);
    await refused(basic("admin", ""));
  });

  test("an API key is good as Bearer and as Basic password under any name", async () => {
    const { key, actor } = await room.principal("person:alice", {});
    expect(await room.authenticator.authenticate({ authorization: `Bearer ${key}` })).toEqual(actor);
    expect(await room.authenticator.authenticate({ authorization: basic("whoever", key) })).toEqual(actor);
    expect(await room.authenticator.authenticate({ authorization: basic("admin", key) })).toEqual(actor);
    expect(await room.authenticator.authenticate({ authorization: basic("", key) })).toEqual(actor);
  });

  test("an unknown key and a known key with a wrong secret are refused alike", async () => {
    const { key, keyId } = await room.principal("person:alice", {});
    const stranger = generateApiKey();
    const unknown = await refused(`Bearer ${stranger.text}`);
    const wrong = await refused(`Bearer assay_${keyId}_${stranger.secret}`);
    expect([wrong.message, wrong.hint, wrong.headers]).toEqual([unknown.message, unknown.hint, unknown.headers]);
    await refused(`Bearer ${key.slice(0, -1)}`);
    await refused(`Bearer ${key}0`);
  });

  test("a key dies at its expiry, to the millisecond, by the authenticator's clock", async () => {
    const expires = Date.now() + 3_600_000;
    const { key } = await room.principal("person:alice", {}, expires);
    room.clock.now = expires - 1;
    expect(await room.authenticator.authenticate({ authorization: `Bearer ${key}` })).toMatchObject({
      id: "person:alice",
    });
    room.clock.now = expires;
    expect((await refused(`Bearer ${key}`)).message).toContain("expired");
  });

  test("a revoked key is dead at once", async () => {
    const { key, keyId } = await room.principal("person:alice", {});
    expect(await room.authenticator.authenticate({ authorization: `Bearer ${key}` })).toBeDefined();
    await room.append("access.revoke-api-key", SYSTEM_ORG, { id: keyId, principal: "person:alice" });
    await refused(`Bearer ${key}`);
  });

  test("a disabled bootstrap admin's token is refused", async () => {
    await room.principal("person:alice", { default: "admin" });
    await room.append("access.disable-bootstrap", SYSTEM_ORG, {});
    expect((await refused(`Bearer ${ADMIN_TOKEN}`)).hint).toContain("administrator");
    expect((await refused(basic("admin", ADMIN_TOKEN))).status).toBe(401);
  });
});

describe("malformed Authorization headers", () => {
  test.each([
    "",
    " ",
    "Bearer",
    "Bearer ",
    "Basic",
    "Basic !!!!",
    "Basic YWRtaW4", // no colon inside
    "Basic YWRtaW46=eA==",
    "Bearer a b",
    "Bearer \u0000",
    "Digest username=x",
    "Bearer ..",
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer assay__",
    "Bearer assay_aaaaaaaaaaaaaaaa_",
    "__proto__ constructor",
    `Bearer ${"x".repeat(20_000)}`,
    `Basic ${"A".repeat(20_000)}`,
  ])("%j is refused with 401", async (authorization) => {
    expect((await refused(authorization)).status).toBe(401);
  });

  test("any text is refused with 401 and never crashes", async () => {
    const schemes = fc.constantFrom("Bearer ", "Basic ", "bearer assay_", "Basic  ", "");
    const texts = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.base64String({ maxLength: 200 }),
      fc.string({ maxLength: 60 }).map((text) => Buffer.from(text).toString("base64")),
      fc.tuple(fc.base64String(), fc.base64String(), fc.base64String()).map((parts) => parts.join(".")),
    );
    await fc.assert(
      fc.asyncProperty(schemes, texts, async (scheme, text) => {
        expect((await refused(scheme + text)).status).toBe(401);
      }),
      { numRuns: 300 },
    );
  });
});

describe("API keys", () => {
  test("read back what was generated, and are all different", () => {
    const keys = Array.from({ length: 200 }, generateApiKey);
    for (const key of keys) expect(parseApiKey(key.text)).toEqual({ id: key.id, secret: key.secret });
    expect(new Set(keys.map((key) => key.id)).size).toBe(200);
    expect(new Set(keys.map((key) => key.secret)).size).toBe(200);
    expect(keys.every((key) => key.secret.length === 43)).toBe(true);
  });

  test("hashes are equal only when both are the same 32 bytes", () => {
    const hash = hashSecret("secret");
    expect(equalHashes(hash, hash)).toBe(true);
    expect(equalHashes(hash, hashSecret("other"))).toBe(false);
    expect(equalHashes("", "")).toBe(false);
    expect(equalHashes(hash, "")).toBe(false);
  });

  test("no secret is in any event, table, or answer but the first", async () => {
    const created = await room.request("POST", "/api/assay/v1/people", ADMIN_TOKEN, { name: "alice" });
    expect(created.status).toBe(201);
    const answer = await room.request("POST", "/api/assay/v1/people/alice/keys", ADMIN_TOKEN, { label: "laptop" });
    expect(answer.status).toBe(201);
    const secret = parseApiKey(String(answer.body["key"]))?.secret ?? "";
    expect(secret).toHaveLength(43);
    const events = await room.reader.tables<RecordTables>().selectFrom("event").select("bytes").execute();
    const all = events.map((row) => Buffer.from(row.bytes).toString("utf8")).join("\n");
    expect(all).toContain(hashSecret(secret));
    expect(all).not.toContain(secret);
    expect(all).not.toContain(ADMIN_TOKEN);
    const rows = await room.reader.tables<AccessTables>().selectFrom("api_key").selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain(secret);
    const list = await room.request("GET", "/api/assay/v1/people/alice/keys", ADMIN_TOKEN);
    expect(list.text).not.toContain(secret);
    expect(list.text).not.toContain(hashSecret(secret));
    const receipt = JSON.stringify(answer.body["receipt"]);
    expect(Buffer.from(receipt).toString()).not.toContain(secret);
  });

  test("a key made with one's own key does not outlive it", async () => {
    const expires = Date.now() + 86_400_000;
    const alice = await room.principal("person:alice", {}, expires);
    const made = await room.request("POST", "/api/assay/v1/people/alice/keys", alice.key, {
      label: "more",
      expiresInDays: null,
    });
    expect(made).toMatchObject({ status: 201, body: { expires } });
  });

  test("a principal has a bounded number of live keys", async () => {
    await room.principal("person:alice", {});
    const make = () => {
      const key = generateApiKey();
      const body = {
        id: key.id,
        principal: "person:alice",
        label: "x",
        secretHash: hashSecret(key.secret),
        expires: null,
      };
      return room.append("access.create-api-key", SYSTEM_ORG, body);
    };
    const outcomes = await Promise.all(Array.from({ length: 105 }, make));
    expect(outcomes.filter((outcome) => refusalCode(outcome) === "keys-full")).toHaveLength(6);
  });
});

describe("refused requests", () => {
  async function counts() {
    await room.authenticator.flush();
    return await room.reader.tables<AccessTables>().selectFrom("denial").selectAll().orderBy("route").execute();
  }

  test("are counted per identity, route pattern and hour, and leave no event", async () => {
    const alice = await room.principal("person:alice", {});
    const before = await room.reader.tables<RecordTables>().selectFrom("event").select("sequence").execute();
    await room.request("GET", "/api/assay/v1/orgs/acme", alice.key);
    await room.request("GET", "/api/assay/v1/orgs/nowhere", alice.key);
    await room.request("POST", "/api/assay/v1/orgs", alice.key, { name: "mine" });
    await room.request("GET", "/api/assay/v1/whoami", "wrong-token");
    await room.request("GET", "/api/assay/v1/whoami");
    const hour = Math.floor(room.clock.now / 3_600_000);
    expect(await counts()).toEqual([
      { identity: "person:alice", route: "GET /api/assay/v1/orgs/:org", hour, count: 2 },
      { identity: "(anonymous)", route: "GET /api/assay/v1/whoami", hour, count: 1 },
      { identity: "person:alice", route: "POST /api/assay/v1/orgs", hour, count: 1 },
    ]);
    await room.request("GET", "/api/assay/v1/orgs/acme", alice.key);
    expect((await counts())[0]).toMatchObject({ count: 3 });
    const after = await room.reader.tables<RecordTables>().selectFrom("event").select("sequence").execute();
    expect(after).toHaveLength(before.length);
  });

  test("of more different kinds than memory is for are counted together", async () => {
    for (let index = 0; index < 5000; index += 1) room.authenticator.denied({}, `GET /${index}`);
    const rows = await counts();
    expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(5000);
    expect(rows.length).toBe(4097);
    expect(rows).toContainEqual(expect.objectContaining({ identity: "(others)", route: "(others)", count: 904 }));
  });
});
