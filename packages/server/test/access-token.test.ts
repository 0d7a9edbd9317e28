import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { authorize } from "../src/access/authorize.ts";
import { challenge } from "../src/access/challenge.ts";
import { canonicalRepository } from "../src/access/names.ts";
import { RegistryTokens } from "../src/access/registry-token.ts";
import { ACTIONS } from "../src/access/roles.ts";
import { parseScopes } from "../src/access/scope.ts";
import type { Actor } from "../src/record/command.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import { type AccessRoom, ADMIN_TOKEN, errorCode, openAccessRoom, PUBLIC_URL, refusalCode } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

async function ask(authorization: string | undefined, query: string) {
  const response = await room.app.inject({
    method: "GET",
    url: `/v2/token?${query}`,
    headers: authorization === undefined ? {} : { authorization },
  });
  return { status: response.statusCode, headers: response.headers, body: response.json<Record<string, unknown>>() };
}

async function post(form: Record<string, string>, contentType = "application/x-www-form-urlencoded") {
  const response = await room.app.inject({
    method: "POST",
    url: "/v2/token",
    headers: { "content-type": contentType },
    payload: new URLSearchParams(form).toString(),
  });
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
}

/** A token as `key`'s owner gets it, and the actor it stands for. */
async function tokenFor(key: string, ...scopes: string[]): Promise<{ token: string; actor: Actor; access: unknown }> {
  const query = new URLSearchParams([["service", "assay.test:8443"], ...scopes.map((scope) => ["scope", scope])]);
  const answer = await ask(basic("admin", key), query.toString());
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  const token = String(answer.body["token"]);
  return { token, actor: await room.authenticator.withToken(token), access: claimsOf(token)["access"] };
}

describe("the token request", () => {
  test("answers what clients read, and a token of at most 300 s of this service", async () => {
    const alice = await room.principal("person:alice", { acme: "member" });
    const answer = await ask(basic("alice", alice.key), "service=assay.test:8443&scope=repository:acme/app:pull,push");
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.body).toMatchObject({ expires_in: 300, access_token: answer.body["token"] });
    expect(new Date(String(answer.body["issued_at"])).getTime()).toBeLessThanOrEqual(room.clock.now);
    expect(claimsOf(String(answer.body["token"]))).toMatchObject({
      iss: PUBLIC_URL,
      aud: "assay.test:8443",
      sub: "person:alice",
      access: [{ type: "repository", name: "acme/app", actions: ["pull", "push"] }],
    });
    expect(answer.body["scope"]).toBeUndefined();
  });

  test("is refused without credentials, with bad ones, and with a registry token", async () => {
    const alice = await room.principal("person:alice", { acme: "member" });
    const { token } = await tokenFor(alice.key, "repository:acme/app:pull");
    expect(await ask(undefined, "")).toMatchObject({
      status: 401,
      headers: { "www-authenticate": 'Basic realm="assay"' },
    });
    expect(await ask(basic("alice", "wrong"), "")).toMatchObject({
      status: 401,
      body: { errors: [{ code: "UNAUTHORIZED" }] },
    });
    expect((await ask(`Bearer ${token}`, "scope=repository:acme/app:pull")).status).toBe(401);
    expect((await ask(basic("x", token), "scope=repository:acme/app:pull")).status).toBe(401);
  });

  test("narrows what is asked to what is allowed, without an error", async () => {
    const alice = await room.principal("person:alice", { acme: "reader", default: "member" });
    const { access } = await tokenFor(
      alice.key,
      "repository:acme/app:pull,push,delete",
      "repository:app:*",
      "repository:rival/app:pull",
      "repository:nowhere/app:pull",
      "registry:catalog:*",
      "repository(plugin):acme/app:push",
      "nonsense",
      "repository:UPPER/x:pull",
      "repository:acme/app:fly",
    );
    expect(access).toEqual([
      { type: "repository", name: "acme/app", actions: ["pull"] },
      { type: "repository", name: "default/app", actions: ["pull", "push"] },
      { type: "registry", name: "catalog", actions: ["*"] },
    ]);
  });

  test("lists repositories only where it was asked for that, only where its bearer has a role, and pulls nothing by it", async () => {
    const alice = await room.principal("person:alice", { acme: "reader" });
    const { actor } = await tokenFor(alice.key, "registry:catalog:*");
    expect(await authorize(room.reader, actor, "registry.list", { org: "acme" })).toBeUndefined();
    expect(await authorize(room.reader, actor, "registry.list", { org: "rival" })).toMatchObject({
      code: "org-unknown",
    });
    const pull = await authorize(room.reader, actor, "registry.pull", { org: "acme", repository: "acme/app" });
    expect(pull).toMatchObject({ code: "token-insufficient" });
    const other = await tokenFor(alice.key, "repository:acme/app:pull");
    expect(await authorize(room.reader, other.actor, "registry.list", { org: "acme" })).toMatchObject({
      code: "token-insufficient",
    });
  });

  test("without a scope gives a token that covers nothing", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const { actor, access } = await tokenFor(alice.key);
    expect(access).toEqual([]);
    const pull = await authorize(room.reader, actor, "registry.pull", { org: "acme", repository: "acme/app" });
    expect(pull).toMatchObject({ code: "token-insufficient", status: 401 });
  });

  test("for another service is refused", async () => {
    expect(await ask(basic("admin", ADMIN_TOKEN), "service=elsewhere")).toMatchObject({ status: 400 });
  });

  test("naming too many scopes, or too long ones, is refused", async () => {
    const many = Array.from({ length: 17 }, (_, index) => `scope=repository:acme/a${index}:pull`).join("&");
    expect((await ask(basic("admin", ADMIN_TOKEN), many)).status).toBe(400);
    expect((await ask(basic("admin", ADMIN_TOKEN), `scope=repository:${"a".repeat(600)}:pull`)).status).toBe(400);
  });

  test("never gives a token that outlives the key", async () => {
    const expires = room.clock.now + 100_000;
    const alice = await room.principal("person:alice", { acme: "reader" }, expires);
    const answer = await ask(basic("alice", alice.key), "scope=repository:acme/app:pull");
    expect(answer.body["expires_in"]).toBeLessThanOrEqual(101);
    expect(Number(claimsOf(String(answer.body["token"]))["exp"]) * 1000).toBeLessThanOrEqual(expires);
  });
});

describe("the OAuth form", () => {
  test("takes a password, and an API key as refresh token, and answers the scope granted", async () => {
    const alice = await room.principal("person:alice", { acme: "reader" });
    const scope = "repository:acme/app:pull,push repository:rival/app:pull";
    const byPassword = await post({
      grant_type: "password",
      username: "alice",
      password: alice.key,
      scope,
      client_id: "c",
    });
    expect(byPassword).toMatchObject({
      status: 200,
      body: { scope: "repository:acme/app:pull", token_type: "Bearer" },
    });
    const byRefresh = await post({
      grant_type: "refresh_token",
      refresh_token: alice.key,
      scope,
      service: "assay.test:8443",
    });
    expect(byRefresh).toMatchObject({ status: 200, body: { scope: "repository:acme/app:pull" } });
    const admin = await post({ grant_type: "password", username: "admin", password: ADMIN_TOKEN, scope });
    expect(admin.body["scope"]).toBe("repository:acme/app:pull,push repository:rival/app:pull");
  });

  test("refuses bad credentials, grants and bodies in OAuth's words", async () => {
    expect(await post({ grant_type: "password", username: "a", password: "b" })).toMatchObject({
      status: 401,
      body: { error: "invalid_grant" },
    });
    expect(await post({ grant_type: "refresh_token" })).toMatchObject({ status: 401 });
    expect(await post({ grant_type: "client_credentials" })).toMatchObject({
      status: 400,
      body: { error: "unsupported_grant_type" },
    });
    expect((await post({}, "text/xml")).status).toBe(415);
    expect((await post({}, "application/json")).status).toBe(400);
    expect((await post({ grant_type: "password", password: "x".repeat(20_000) })).status).toBe(413);
  });
});

describe("a registry token", () => {
  test("covers its repositories and actions, evidence through a push, and nothing else", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const { actor } = await tokenFor(alice.key, "repository:acme/app:push");
    const may: string[] = [];
    for (const action of ACTIONS) {
      if ((await authorize(room.reader, actor, action, { org: "acme", repository: "acme/app" })) === undefined)
        may.push(action);
      // Without a repository, or in another one, it covers nothing at all.
      expect(await authorize(room.reader, actor, action, { org: "acme" })).toBeDefined();
      expect(await authorize(room.reader, actor, action, { org: "acme", repository: "acme/other" })).toBeDefined();
    }
    expect(may).toEqual(["registry.push", "evidence.write"]);
  });

  test("of the bootstrap admin is as narrow", async () => {
    const { actor } = await tokenFor(ADMIN_TOKEN, "repository:acme/app:pull");
    expect(actor).toMatchObject({ id: "admin", credential: { kind: "registry-token" } });
    expect(
      await authorize(room.reader, actor, "registry.pull", { org: "acme", repository: "acme/app" }),
    ).toBeUndefined();
    for (const action of ["org.create", "people.administer"] as const) {
      expect(await authorize(room.reader, actor, action, { org: "acme" })).toMatchObject({
        code: "token-insufficient",
      });
    }
    expect(refusalCode(await room.append("access.create-organisation", "x", { name: "x" }, actor))).toBe(
      "token-insufficient",
    );
  });

  test("is refused at the own API", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const { token } = await tokenFor(alice.key, "repository:acme/app:*");
    for (const path of ["/whoami", "/orgs", "/orgs/acme", "/people/alice/keys"]) {
      const answer = await room.request("GET", `/api/assay/v1${path}`, token);
      expect([path, answer.status, errorCode(answer)]).toEqual([path, 401, "unauthorized"]);
    }
  });

  test("makes no API key, not even its owner's", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const { actor } = await tokenFor(alice.key, "repository:acme/app:*");
    const body = {
      id: "0".repeat(16),
      principal: "person:alice",
      label: "x",
      secretHash: "0".repeat(64),
      expires: null,
    };
    expect(refusalCode(await room.append("access.create-api-key", SYSTEM_ORG, body, actor))).toBe("token-insufficient");
  });

  test("does at once no more than its owner's role of now, and is not touched by roles elsewhere", async () => {
    const owner = await room.principal("person:alice", { acme: "member" });
    const { token, actor } = await tokenFor(owner.key, "repository:acme/app:push");
    const principal = "person:alice";
    const may = async () =>
      (await authorize(room.reader, actor, "registry.push", { org: "acme", repository: "acme/app" }))?.code;
    for (const role of ["reader", "admin"]) await room.append("access.grant-role", "rival", { principal, role });
    await room.append("access.grant-role", "rival", { principal, role: "reader" });
    expect(await may()).toBeUndefined();
    await room.append("access.grant-role", "acme", { principal, role: "reader" });
    expect(await may()).toBe("forbidden");
    await room.append("access.revoke-role", "acme", { principal });
    expect(await may()).toBe("org-unknown");
    await expect(room.authenticator.withToken(token)).resolves.toMatchObject({ id: principal });
  });

  test("is void once its key is revoked, or its owner is removed", async () => {
    const undo = {
      key: (id: string, keyId: string) =>
        room.append("access.revoke-api-key", SYSTEM_ORG, { id: keyId, principal: id }),
      removal: (id: string) => room.append("access.remove-principal", SYSTEM_ORG, { principal: id }),
    };
    for (const [name, act] of Object.entries(undo)) {
      const owner = await room.principal(`person:${name}`, { acme: "member" });
      const { token, actor } = await tokenFor(owner.key, "repository:acme/app:push");
      const target = { org: "acme", repository: "acme/app" };
      expect(await authorize(room.reader, actor, "registry.push", target)).toBeUndefined();
      expect(refusalCode(await act(`person:${name}`, owner.keyId))).toBeUndefined();
      expect(await authorize(room.reader, actor, "registry.push", target)).toMatchObject({
        code: "credential-revoked",
        status: 401,
      });
      await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
    }
  });

  test("ends after its lifetime and does not begin before it", async () => {
    const alice = await room.principal("person:alice", { acme: "reader" });
    const issued = room.clock.now;
    const { token } = await tokenFor(alice.key, "repository:acme/app:pull");
    room.clock.now = issued + 298_000;
    await expect(room.authenticator.withToken(token)).resolves.toBeDefined();
    room.clock.now = issued + 300_000;
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
    room.clock.now = issued - 60_000;
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
  });

  test("altered in any character is refused", async () => {
    const { token } = await tokenFor(
      (await room.principal("person:alice", { acme: "admin" })).key,
      "repository:acme/app:pull",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 2),
        fc.constantFrom("A", "Q", "g", "w", "0", "9", "-", "_", "."),
        async (index, character) => {
          fc.pre(token[index] !== character);
          const altered = token.slice(0, index) + character + token.slice(index + 1);
          await expect(room.authenticator.withToken(altered)).rejects.toMatchObject({ status: 401 });
        },
      ),
      { numRuns: 200 },
    );
  });

  test("of another key, type, audience, issuer or algorithm is refused", async () => {
    await room.principal("person:alice", { acme: "admin" });
    const now = room.clock.now;
    const grant = { subject: "person:alice", epoch: 1, access: [], now, notAfter: null };
    const valid = new RegistryTokens(room.keyring, PUBLIC_URL);
    expect(await valid.verify(valid.issue(grant).token, now)).toMatchObject({ id: "person:alice" });
    const elsewhere = new RegistryTokens(room.keyring, "https://other.test");
    expect(await valid.verify(elsewhere.issue(grant).token, now)).toBeUndefined();

    const pair = generateKeyPairSync("ed25519");
    const stranger = new RegistryTokens(
      {
        key: (purpose) => room.keyring.key(purpose),
        sign: (_purpose, bytes) => new Uint8Array(sign(null, bytes, pair.privateKey)),
      },
      PUBLIC_URL,
    );
    expect(await valid.verify(stranger.issue(grant).token, now)).toBeUndefined();

    const [header = "", payload = ""] = valid.issue(grant).token.split(".");
    const resign = (changes: Record<string, unknown>) => {
      const parsed = JSON.parse(Buffer.from(header, "base64url").toString()) as Record<string, unknown>;
      const input = `${Buffer.from(JSON.stringify({ ...parsed, ...changes })).toString("base64url")}.${payload}`;
      return `${input}.${Buffer.from(room.keyring.sign("registry-token", Buffer.from(input))).toString("base64url")}`;
    };
    expect(await valid.verify(resign({}), now)).toBeDefined();
    expect(await valid.verify(resign({ typ: "JWT" }), now)).toBeUndefined();
    expect(await valid.verify(resign({ alg: "none" }), now)).toBeUndefined();
    expect(await valid.verify(resign({ alg: "HS256" }), now)).toBeUndefined();
    expect(await valid.verify(resign({ crit: ["x"], x: 1 }), now)).toBeUndefined();
  });
});

describe("scopes", () => {
  test("are split from the right, made canonical, and joined per repository", () => {
    const parsed = parseScopes(
      ["repository:app:pull repository:default/app:push", "repository:a/b/c:pull,delete"],
      "default",
    );
    expect(parsed.map((entry) => [entry.org, entry.repository, [...entry.actions]])).toEqual([
      ["default", "default/app", ["pull", "push"]],
      ["a", "a/b/c", ["pull", "delete"]],
    ]);
    expect(parseScopes(["repository:host:5000/app:pull"], "default")).toEqual([]);
    expect(parseScopes(["repository::pull", "repository:app", ":app:pull", "::", "repository"], "default")).toEqual([]);
  });

  test("of any text never crash, and give canonical names only", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.string().map((name) => `repository:${name}:pull`),
          ),
          { maxLength: 4 },
        ),
        (scopes) => {
          fc.pre(scopes.join(" ").split(" ").length <= 16);
          for (const entry of parseScopes(scopes, "default")) {
            expect(canonicalRepository(entry.repository, "other")).toEqual({
              org: entry.org,
              repository: entry.repository,
            });
          }
        },
      ),
    );
  });
});

describe("repository names", () => {
  test("of one component lie in the default organisation", () => {
    expect(canonicalRepository("app", "default")).toEqual({ org: "default", repository: "default/app" });
    expect(canonicalRepository("acme/a_b__c-d--e.f/g", "default")).toEqual({
      org: "acme",
      repository: "acme/a_b__c-d--e.f/g",
    });
    expect(canonicalRepository("a".repeat(247), "default")).toBeDefined();
    expect(canonicalRepository("a".repeat(248), "default")).toBeUndefined();
  });

  test.each([
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "A/b",
    "a/../b",
    ".",
    "a/.b",
    "a/b-",
    "a/b___c",
    "a/b\n",
    "a/ü",
    "a b",
    `a/${"b".repeat(254)}`,
  ])("%j is none", (name) => {
    expect(canonicalRepository(name, "default")).toBeUndefined();
  });
});

describe("the challenge", () => {
  test("names realm, service and scope by the public URL", () => {
    expect(challenge("https://assay.test:8443", "repository:acme/app:pull,push")).toEqual([
      'Bearer realm="https://assay.test:8443/v2/token",service="assay.test:8443",scope="repository:acme/app:pull,push"',
    ]);
    expect(challenge("http://127.0.0.1:8400/")).toEqual([
      'Bearer realm="http://127.0.0.1:8400/v2/token",service="127.0.0.1:8400"',
    ]);
    expect(challenge(PUBLIC_URL, undefined, "invalid_token")[0]).toContain(',error="invalid_token"');
  });

  test("stays one header whatever the scope holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (scope) => {
        const [value = ""] = challenge(PUBLIC_URL, scope);
        expect(value).toMatch(/^Bearer realm="[^"]*",service="[^"]*",scope="[^"\\\r\n]*"$/);
      }),
    );
  });
});
