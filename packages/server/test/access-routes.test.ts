import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AccessRoom, ADMIN_TOKEN, errorCode, openAccessRoom } from "./access-room.ts";

const API = "/api/assay/v1";
const aSequence: unknown = expect.any(Number);
const aCheckpoint: unknown = expect.stringContaining("record");
let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

describe("the whole way in", () => {
  test("admin makes an organisation and a person; the person runs the organisation with their own key", async () => {
    const org = await room.request("POST", `${API}/orgs`, ADMIN_TOKEN, { name: "new-org" });
    expect(org).toMatchObject({ status: 201, body: { name: "new-org", default: false } });
    expect(org.body["receipt"]).toMatchObject({
      sequence: aSequence,
      checkpoint: aCheckpoint,
    });
    expect((await room.request("POST", `${API}/people`, ADMIN_TOKEN, { name: "alice" })).status).toBe(201);
    const made = await room.request("POST", `${API}/people/alice/keys`, ADMIN_TOKEN, {
      label: "laptop",
      expiresInDays: 30,
    });
    expect(made).toMatchObject({ status: 201, headers: { "cache-control": "no-store" } });
    const key = String(made.body["key"]);
    const member = await room.request("PUT", `${API}/orgs/new-org/members/person/alice`, ADMIN_TOKEN, {
      role: "admin",
    });
    expect(member).toMatchObject({ status: 200, body: { principal: "person:alice", role: "admin" } });

    expect(await room.request("GET", `${API}/whoami`, key)).toMatchObject({
      status: 200,
      body: {
        id: "person:alice",
        bootstrapAdmin: false,
        credential: { kind: "api-key", id: made.body["id"], expires: made.body["expires"] },
      },
    });
    const account = await room.request("POST", `${API}/orgs/new-org/service-accounts`, key, { name: "ci" });
    expect(account).toMatchObject({ status: 201, body: { id: "service:new-org/ci", createdBy: "person:alice" } });
    expect((await room.request("PUT", `${API}/orgs/new-org/members/service/ci`, key, { role: "member" })).status).toBe(
      200,
    );
    const ciKey = await room.request("POST", `${API}/orgs/new-org/service-accounts/ci/keys`, key, {
      label: "pipeline",
    });
    expect(ciKey.status).toBe(201);
    const members = await room.request("GET", `${API}/orgs/new-org/members`, String(ciKey.body["key"]));
    expect(members.body["items"]).toEqual([
      { principal: "person:alice", role: "admin", since: aSequence },
      { principal: "service:new-org/ci", role: "member", since: aSequence },
    ]);
    const gone = await room.request(
      "DELETE",
      `${API}/orgs/new-org/service-accounts/ci/keys/${String(ciKey.body["id"])}`,
      key,
    );
    expect(gone.status).toBe(200);
    expect((await room.request("GET", `${API}/whoami`, String(ciKey.body["key"]))).status).toBe(401);
    expect((await room.request("DELETE", `${API}/orgs/new-org/service-accounts/ci`, key)).status).toBe(200);
    const last = await room.request("DELETE", `${API}/orgs/new-org/members/person/alice`, key);
    expect([last.status, errorCode(last)]).toEqual([409, "last-admin"]);
  });

  test("the bootstrap admin is disabled over the wire once somebody stands in", async () => {
    const refused = await room.request("POST", `${API}/bootstrap-admin/disable`, ADMIN_TOKEN);
    expect([refused.status, errorCode(refused)]).toEqual([409, "last-admin"]);
    await room.principal("person:alice", { default: "admin" });
    expect((await room.request("POST", `${API}/bootstrap-admin/disable`, ADMIN_TOKEN)).status).toBe(200);
    expect((await room.request("GET", `${API}/whoami`, ADMIN_TOKEN)).status).toBe(401);
  });

  test("every route asks for a credential first", async () => {
    const routes = [
      ["GET", "/whoami"],
      ["GET", "/orgs"],
      ["GET", "/orgs/acme"],
      ["GET", "/orgs/acme/members"],
      ["DELETE", "/orgs/acme/members/person/alice"],
      ["GET", "/people"],
      ["DELETE", "/people/alice"],
      ["GET", "/orgs/acme/service-accounts"],
      ["DELETE", "/orgs/acme/service-accounts/ci"],
      ["GET", "/people/alice/keys"],
      ["DELETE", "/people/alice/keys/x"],
      ["GET", "/orgs/acme/service-accounts/ci/keys"],
      ["POST", "/bootstrap-admin/disable"],
    ] as const;
    for (const [method, path] of routes) {
      const answer = await room.request(method, API + path);
      expect([path, answer.status, errorCode(answer)]).toEqual([path, 401, "unauthorized"]);
      expect(answer.headers["www-authenticate"]).toBeDefined();
    }
  });
});

describe("two tenants", () => {
  test("every door of another organisation answers as if it were not there", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    await room.principal("person:bob", { rival: "admin" });
    await room.principal("service:rival/ci", { rival: "member" });
    const doors = [
      ["GET", "", undefined],
      ["GET", "/members", undefined],
      ["PUT", "/members/person/alice", { role: "admin" }],
      ["PUT", "/members/service/ci", { role: "admin" }],
      ["DELETE", "/members/person/bob", undefined],
      ["GET", "/service-accounts", undefined],
      ["POST", "/service-accounts", { name: "spy" }],
      ["DELETE", "/service-accounts/ci", undefined],
      ["GET", "/service-accounts/ci/keys", undefined],
      ["POST", "/service-accounts/ci/keys", { label: "spy" }],
      ["DELETE", "/service-accounts/ci/keys/0000000000000000", undefined],
    ] as const;
    for (const [method, path, body] of doors) {
      const notYours = await room.request(method, `${API}/orgs/rival${path}`, alice.key, body);
      const notThere = await room.request(method, `${API}/orgs/nowhere${path}`, alice.key, body);
      expect([path, notYours.status, errorCode(notYours)]).toEqual([path, 404, "org-unknown"]);
      expect(notYours.text.replaceAll("rival", "nowhere")).toBe(notThere.text);
    }
    const list = await room.request("GET", `${API}/orgs`, alice.key);
    expect(list.body["items"]).toEqual([expect.objectContaining({ name: "acme", role: "admin" })]);
  });

  test("nobody reads or makes another person's keys, there or not", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const bob = await room.principal("person:bob", { acme: "reader" });
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["POST", "", { label: "spy" }],
      ["DELETE", `/${bob.keyId}`, undefined],
    ] as const) {
      const notYours = await room.request(method, `${API}/people/bob/keys${path}`, alice.key, body);
      const notThere = await room.request(method, `${API}/people/eve/keys${path}`, alice.key, body);
      expect([notYours.status, errorCode(notYours)]).toEqual([404, "principal-unknown"]);
      expect(notYours.text.replaceAll("bob", "eve")).toBe(notThere.text);
    }
    const stolen = await room.request("DELETE", `${API}/people/alice/keys/${bob.keyId}`, alice.key);
    const absent = await room.request("DELETE", `${API}/people/alice/keys/0000000000000000`, alice.key);
    expect([stolen.status, absent.status]).toEqual([404, 404]);
    expect(stolen.text.replaceAll(bob.keyId, "0000000000000000")).toBe(absent.text);
    expect((await room.request("GET", `${API}/whoami`, bob.key)).status).toBe(200);
  });

  test("a member without the role is told which role it takes", async () => {
    const bob = await room.principal("person:bob", { acme: "reader" });
    const answer = await room.request("PUT", `${API}/orgs/acme/members/person/bob`, bob.key, { role: "admin" });
    expect([answer.status, errorCode(answer)]).toEqual([403, "forbidden"]);
    expect(answer.text).toContain("is reader in acme");
  });
});

describe("lists", () => {
  test("page by an opaque cursor, each page of the list as it was at the first", async () => {
    for (let index = 0; index < 5; index += 1) await room.principal(`person:p${index}`, { acme: "reader" });
    const path = `${API}/orgs/acme/members`;
    const first = await room.request("GET", `${path}?limit=2`, ADMIN_TOKEN);
    // Somebody new comes and somebody of the next page goes: neither changes this reading of the list.
    await room.principal("person:late", { acme: "reader" });
    await room.append("access.revoke-role", "acme", { principal: "person:p3" });
    const second = await room.request("GET", `${path}?limit=2&cursor=${String(first.body["next"])}`, ADMIN_TOKEN);
    const third = await room.request("GET", `${path}?limit=2&cursor=${String(second.body["next"])}`, ADMIN_TOKEN);
    const names = [first, second, third].flatMap((page) =>
      (page.body["items"] as { principal: string }[]).map((item) => item.principal),
    );
    expect(names).toEqual(["person:p0", "person:p1", "person:p2", "person:p3", "person:p4"]);
    expect(third.body["next"]).toBeNull();
  });

  test.each(["x", "e30", "%00", "WzEsMCwtNV0"])("a cursor that is none (%s) is refused", async (cursor) => {
    for (const path of ["/orgs", "/orgs/acme/members", "/people", "/orgs/acme/service-accounts"]) {
      const answer = await room.request("GET", `${API}${path}?cursor=${cursor}`, ADMIN_TOKEN);
      expect(errorCode(answer)).toBe("cursor-invalid");
    }
  });

  test("people, service accounts and keys are listed in the order they came", async () => {
    await room.principal("person:zoe", {});
    await room.principal("person:alice", {});
    await room.principal("service:acme/ci", {});
    await room.append("access.remove-principal", "_system", { principal: "person:zoe" });
    const people = await room.request("GET", `${API}/people`, ADMIN_TOKEN);
    expect(people.body["items"]).toEqual([expect.objectContaining({ id: "person:alice" })]);
    const accounts = await room.request("GET", `${API}/orgs/acme/service-accounts`, ADMIN_TOKEN);
    expect(accounts.body["items"]).toEqual([expect.objectContaining({ id: "service:acme/ci" })]);
    const keys = await room.request("GET", `${API}/people/alice/keys`, ADMIN_TOKEN);
    expect(keys.body["items"]).toEqual([
      expect.objectContaining({ principal: "person:alice", revoked: null, expires: null }),
    ]);
  });
});

describe("bad input", () => {
  test.each([
    ["POST", "/orgs", { name: "Not A Name" }],
    ["POST", "/orgs", { name: "v2" }],
    ["POST", "/orgs", { name: "ok", extra: 1 }],
    ["POST", "/orgs", {}],
    ["POST", "/people", { name: "a/b" }],
    ["POST", "/people", { name: "__proto__" }],
    ["POST", "/people/alice/keys", { label: "" }],
    ["POST", "/people/alice/keys", { label: "a\u0000b" }],
    ["POST", "/people/alice/keys", { label: "x", expiresInDays: 0 }],
    ["PUT", "/orgs/acme/members/person/alice", { role: "owner" }],
    ["PUT", "/orgs/acme/members/robot/alice", { role: "admin" }],
    ["PUT", "/orgs/acme/members/person/Alice", { role: "admin" }],
  ] as const)("%s %s %j is refused with 400", async (method, path, body) => {
    const answer = await room.request(method, API + path, ADMIN_TOKEN, body);
    expect(answer.status).toBe(400);
  });
});
