/** CI identity tokens, exchanged for short tokens of ours (RFC 8693). */
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { exportSPKI, generateKeyPair, type JWTPayload } from "jose";
import { authorize } from "../src/access/authorize.ts";
import type { Actor } from "../src/record/command.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import { type AccessRoom, ADMIN_TOKEN, errorCode, openAccessRoom } from "./access-room.ts";
import { DISCOVERY, githubClaims, gitlabClaims, KEYS, type OutsideIssuer, startIssuer } from "./outside-issuer.ts";

let issuer: OutsideIssuer;
let room: AccessRoom;

beforeEach(async () => {
  issuer = await startIssuer();
  room = await openAccessRoom(["acme", "rival"], [issuer.url]);
  await room.principal("service:acme/ci", { acme: "member" });
});

afterEach(async () => {
  await room.stop();
  await issuer.stop();
});

const AUDIENCE = "https://assay.test:8443";
const GITHUB = [
  { claim: "sub", value: "repo:acme/app:ref:refs/heads/main" },
  { claim: "repository_id", value: "2002" },
];

async function setIdentity(changes: object = {}, name = "release"): Promise<{ status: number; text: string }> {
  return await room.request("PUT", `/api/assay/v1/orgs/acme/workload-identities/${name}`, ADMIN_TOKEN, {
    issuer: issuer.url,
    audience: AUDIENCE,
    conditions: GITHUB,
    serviceAccount: "ci",
    ...changes,
  });
}

interface Exchanged {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Record<string, unknown>;
  readonly text: string;
}

async function exchange(token: string, changes: Record<string, string> = {}): Promise<Exchanged> {
  const response = await room.app.inject({
    method: "POST",
    url: "/api/assay/v1/token/exchange",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    payload: new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
      subject_token: token,
      audience: "acme/release",
      ...changes,
    }).toString(),
  });
  return {
    status: response.statusCode,
    body: response.json<Record<string, unknown>>(),
    headers: response.headers,
    text: response.body,
  };
}

const github = (claims: JWTPayload = {}, options: Parameters<OutsideIssuer["token"]>[1] = {}) =>
  issuer.token({ ...githubClaims(AUDIENCE), ...claims }, { now: room.clock.now, ...options });

async function exchanged(changes: Record<string, string> = {}, claims: JWTPayload = {}): Promise<string> {
  const answer = await exchange(await github(claims), changes);
  if (answer.status !== 200) throw new Error(answer.text);
  return String(answer.body["access_token"]);
}

async function refusedAs(token: string, error: string, changes: Record<string, string> = {}): Promise<string> {
  const answer = await exchange(token, changes);
  expect([answer.status, answer.body["error"]], answer.text).toEqual([400, error]);
  expect(answer.headers["cache-control"]).toBe("no-store");
  return String(answer.body["error_description"]);
}

describe("a token exchange", () => {
  test("answers as RFC 8693 says, with a token of at most 15 minutes that acts as the service account", async () => {
    await setIdentity();
    const answer = await exchange(await github());
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      token_type: "Bearer",
      expires_in: 900,
    });
    expect(answer.headers["cache-control"]).toBe("no-store");
    const token = String(answer.body["access_token"]);
    const who = await room.request("GET", "/api/assay/v1/whoami", token);
    expect(who.body).toMatchObject({
      id: "service:acme/ci",
      bootstrapAdmin: false,
      credential: { kind: "workload-token", id: "release" },
      roles: [{ org: "acme", repository: null, role: "member" }],
    });
    room.clock.now += 900_000;
    expect((await room.request("GET", "/api/assay/v1/whoami", token)).status).toBe(401);
  });

  test("takes GitHub-shaped and GitLab-shaped tokens, by any of our algorithms", async () => {
    await setIdentity();
    await setIdentity(
      {
        conditions: [
          { claim: "project_path", value: "acme/app" },
          { claim: "ref_protected", value: "true" },
          { claim: "sub", value: "project_path:acme/*:ref_type:branch:ref:*" },
        ],
      },
      "gitlab",
    );
    expect((await exchange(await github())).status).toBe(200);
    for (const algorithm of ["RS256", "ES256", "ES384", "EdDSA", "PS256"]) {
      const key = await issuer.addKey(`key-${algorithm}`, algorithm);
      const token = await issuer.token({ ...gitlabClaims(AUDIENCE), jti: algorithm }, { key, now: room.clock.now });
      room.clock.now += 31_000;
      expect((await exchange(token, { audience: "acme/gitlab" })).status, algorithm).toBe(200);
    }
  });

  test("is recorded with who it was and what was asked of it, once a token", async () => {
    await setIdentity();
    const token = await github();
    await exchange(token);
    await exchange(token);
    await exchange(await github({ jti: "another" }));
    const rows = await room.reader
      .tables<{ token_exchange: { subject: string; identity: string } }>()
      .selectFrom("token_exchange")
      .selectAll()
      .execute();
    expect(rows.map(({ subject, identity }) => [subject, identity])).toEqual([
      ["repo:acme/app:ref:refs/heads/main", "release"],
      ["repo:acme/app:ref:refs/heads/main", "release"],
    ]);
  });

  test("of a token that is to be used once is refused the second time, and without a jti", async () => {
    await setIdentity({ singleUse: true });
    const token = await github();
    expect((await exchange(token)).status).toBe(200);
    expect(await refusedAs(token, "invalid_request")).toContain("exchanged before");
    const both = await Promise.all([github({ jti: "x" }), github({ jti: "x" })]);
    const statuses = await Promise.all(both.map(async (one) => (await exchange(one)).status));
    expect(statuses.toSorted((left, right) => left - right)).toEqual([200, 400]);
    await refusedAs(await github({ jti: undefined } as unknown as JWTPayload), "invalid_request");
    // Setting the identity anew makes no used token new.
    await setIdentity({ singleUse: true });
    await refusedAs(token, "invalid_request");
  });

  test("takes the form of RFC 8693 and no other", async () => {
    await setIdentity();
    const token = await github();
    await refusedAs(token, "unsupported_grant_type", { grant_type: "password" });
    await refusedAs(token, "invalid_request", { subject_token_type: "urn:ietf:params:oauth:token-type:saml2" });
    await refusedAs(token, "invalid_request", { requested_token_type: "urn:ietf:params:oauth:token-type:saml2" });
    await refusedAs("", "invalid_request");
    for (const audience of ["", "acme", "acme/release/x", "ACME/release", "acme/__proto__", "/", "acme/"]) {
      await refusedAs(token, "invalid_request", { audience });
    }
    const json = await room.app.inject({
      method: "POST",
      url: "/api/assay/v1/token/exchange",
      headers: { "content-type": "application/json" },
      payload: "{}",
    });
    expect(json.statusCode).toBe(415);
    const twice = await room.app.inject({
      method: "POST",
      url: "/api/assay/v1/token/exchange",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      payload: `grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience=acme%2Frelease&audience=rival%2Frelease`,
    });
    expect(twice.statusCode).toBe(400);
  });
});

describe("a damaged or foreign token is refused:", () => {
  beforeEach(async () => {
    await setIdentity();
  });

  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

  test("alg none, with and without a signature", async () => {
    const claims = { ...githubClaims(AUDIENCE), iss: issuer.url, iat: 0, exp: 9_999_999_999 };
    for (const alg of ["none", "None", "NONE", ""]) {
      for (const signature of ["", part({})]) {
        const token = `${part({ alg, kid: "first" })}.${part(claims)}.${signature}`;
        expect(await refusedAs(token, "invalid_request"), alg).toContain("algorithm");
      }
    }
  });

  test("HS256 with the public key for a secret", async () => {
    const now = Math.floor(room.clock.now / 1000);
    const claims = { ...githubClaims(AUDIENCE), iss: issuer.url, iat: now, exp: now + 600 };
    const input = `${part({ alg: "HS256", kid: "first", typ: "JWT" })}.${part(claims)}`;
    const [key] = issuer.keys;
    if (key === undefined) throw new Error("no key");
    for (const secret of [await exportSPKI(key.pair.publicKey), JSON.stringify(key.jwk), String(key.jwk.n)]) {
      const mac = createHmac("sha256", secret).update(input).digest("base64url");
      expect(await refusedAs(`${input}.${mac}`, "invalid_request")).toContain("algorithm");
    }
  });

  test("another algorithm than the key's, and a key for encryption", async () => {
    const [key] = issuer.keys;
    if (key === undefined) throw new Error("no key");
    await refusedAs(await github({}, { key: { ...key, algorithm: "PS256" } }).catch(() => "a.b.c"), "invalid_request");
    key.jwk.use = "enc";
    expect(await refusedAs(await github(), "invalid_request")).toContain("no such key");
  });

  test("a key in its own header, by value and by address", async () => {
    const mine = await generateKeyPair("RS256", { extractable: true });
    const own = { id: "first", algorithm: "RS256", pair: mine, jwk: {} };
    const [key] = issuer.keys;
    for (const header of [
      { jwk: key?.jwk },
      { jku: `${issuer.url}/mine` },
      { x5u: "https://x.test" },
      { x5c: ["AA=="] },
    ]) {
      expect(await refusedAs(await github({}, { key: own, header }), "invalid_request")).toContain("its own key");
    }
    expect(issuer.asked).not.toContain("/mine");
  });

  test("somebody else's signature under a key's id, an altered payload, an id of no key, none, and one that two keys have", async () => {
    const stranger = { id: "first", algorithm: "RS256", pair: await generateKeyPair("RS256"), jwk: {} };
    expect(await refusedAs(await github({}, { key: stranger }), "invalid_request")).toContain("signature");
    const [header, , signature] = (await github()).split(".");
    const altered = { ...githubClaims(AUDIENCE), iss: issuer.url, iat: 1, exp: 9_999_999_999, actor: "mallory" };
    expect(await refusedAs(`${header}.${part(altered)}.${signature}`, "invalid_request")).toContain("signature");
    expect(await refusedAs(await github({}, { header: { kid: "other" } }), "invalid_request")).toContain("kid");
    expect(await refusedAs(await github({}, { header: { kid: undefined } }), "invalid_request")).toContain("kid");
    await issuer.addKey("first", "RS256");
    room.clock.now += 11 * 60_000;
    await refusedAs(await github(), "invalid_request");
  });

  test("expired, not yet valid, issued in the future, without times", async () => {
    const now = Math.floor(room.clock.now / 1000);
    expect(await refusedAs(await github({ exp: now - 31 }), "invalid_request")).toContain("expired");
    await refusedAs(await github({ nbf: now + 120 }), "invalid_request");
    expect(await refusedAs(await github({ iat: now + 120 }), "invalid_request")).toContain("future");
    for (const claim of ["exp", "iat", "sub", "aud"]) {
      await refusedAs(await github({ [claim]: undefined }), "invalid_request");
    }
    expect((await exchange(await github({ exp: now - 10 }))).status).toBe(200);
  });

  test("issuers that look alike: a slash, upper case, a longer host, a path, a prefix, none; and nobody is asked for their keys", async () => {
    const asked = issuer.asked.length;
    const look = issuer.url;
    for (const iss of [
      `${look}/`,
      `${look}.evil.test`,
      `${look}/evil`,
      look.toUpperCase(),
      `https${look.slice(4)}`,
      `${look}@evil.test`,
      ` ${look}`,
      "",
      "https://token.actions.githubusercontent.com",
    ]) {
      expect(await refusedAs(await github({ iss }), "invalid_request"), iss).toContain("iss");
    }
    await refusedAs(await github({ iss: undefined } as unknown as JWTPayload), "invalid_request");
    await refusedAs(await github({ iss: [look] as unknown as string }), "invalid_request");
    expect(issuer.asked.length).toBe(asked);
  });

  test("what is no token at all", async () => {
    for (const text of ["a", "a.b", "a.b.c", "...", `${part({})}.${part([])}.x`, "x".repeat(17_000), "💥.💥.💥"]) {
      expect(await refusedAs(text, "invalid_request"), text).toContain("the subject token is not accepted");
    }
  });
});

describe("a good token that the identity does not take", () => {
  test("is one answer, whatever the reason, and the same as where there is no such identity or organisation", async () => {
    await setIdentity();
    await setIdentity({ expires: Date.now() + 3_600_000 }, "over");
    await setIdentity({}, "gone");
    await room.request("DELETE", "/api/assay/v1/orgs/acme/workload-identities/gone", ADMIN_TOKEN);
    room.clock.now += 3_700_000;
    const answers = [
      await exchange(await github({ aud: "https://assay.test:8443/" })),
      await exchange(await github({ aud: ["https://elsewhere.test"] })),
      await exchange(await github({ sub: "repo:acme/app:ref:refs/heads/main2" })),
      await exchange(await github({ sub: "xrepo:acme/app:ref:refs/heads/main" })),
      await exchange(await github({ repository_id: "20021" })),
      await exchange(await github({ repository_id: ["2002"] })),
      await exchange(await github({ repository_id: undefined })),
      await exchange(await github(), { audience: "acme/over" }),
      await exchange(await github(), { audience: "acme/gone" }),
      await exchange(await github(), { audience: "acme/never" }),
      await exchange(await github(), { audience: "rival/release" }),
      await exchange(await github(), { audience: "nowhere/release" }),
    ];
    for (const answer of answers) {
      expect([answer.status, answer.body["error"]]).toEqual([400, "invalid_target"]);
      expect(answer.text).toBe(answers[0]?.text);
    }
    expect((await exchange(await github({ aud: ["https://elsewhere.test", AUDIENCE] }))).status).toBe(200);
  });

  test("is counted among the denials", async () => {
    await setIdentity();
    await exchange(await github({ sub: "repo:evil/app:ref:refs/heads/main" }));
    await room.authenticator.flush();
    const rows = await room.reader
      .tables<{ denial: { route: string; count: number } }>()
      .selectFrom("denial")
      .selectAll()
      .execute();
    expect(rows).toMatchObject([{ route: "POST /api/assay/v1/token/exchange", count: 1 }]);
  });

  test("because of a pattern: * stays within a component, and a condition on nothing cannot be set", async () => {
    await setIdentity({ conditions: [{ claim: "sub", value: "repo:acme/*:ref:refs/heads/*" }] });
    const takes = async (sub: string): Promise<boolean> => (await exchange(await github({ sub }))).status === 200;
    expect(await takes("repo:acme/app:ref:refs/heads/main")).toBe(true);
    expect(await takes("repo:acme/any-other:ref:refs/heads/x")).toBe(true);
    for (const sub of [
      "repo:acme-evil/app:ref:refs/heads/main",
      "repo:evil/acme/app:ref:refs/heads/main",
      "repo:acme/app:ref:refs/heads/feature/x",
      "repo:acme/app:ref:refs/tags/v1",
      "repo:acme/app:ref:refs/heads/main\nx/",
      "evil repo:acme/app:ref:refs/heads/main",
    ]) {
      expect(await takes(sub), sub).toBe(false);
    }
    for (const conditions of [
      [],
      [{ claim: "sub", value: "*" }],
      [{ claim: "sub", value: "**" }],
      [{ claim: "sub", value: "*acme/app" }],
      [{ claim: "aud", value: "x" }],
      [{ claim: "iss", value: issuer.url }],
      [{ claim: "__proto__", value: "x" }],
      [{ claim: "sub", value: "" }],
    ]) {
      expect((await setIdentity({ conditions })).status, JSON.stringify(conditions)).toBe(400);
    }
  });
});

describe("the token that comes out", () => {
  const may = async (token: string, action: Parameters<typeof authorize>[2], repository?: string) => {
    const actor: Actor = await room.authenticator.withToken(token);
    const target = { org: "acme", ...(repository === undefined ? {} : { repository }) };
    return (await authorize(room.reader, actor, action, target))?.code ?? "yes";
  };

  test("is good in the identity's repositories only", async () => {
    await setIdentity({ repositories: ["acme/app", "acme/team/**"] });
    const token = await exchanged();
    expect(await may(token, "registry.push", "acme/app")).toBe("yes");
    expect(await may(token, "registry.push", "acme/team/x/y")).toBe("yes");
    expect(await may(token, "registry.push", "acme/other")).toBe("org-unknown");
    expect(await may(token, "org.read")).toBe("org-unknown");
    expect(await may(token, "record.read")).toBe("org-unknown");
    expect(await may(token, "registry.delete", "acme/app")).toBe("forbidden");
  });

  test("administers nothing, whatever the service account may", async () => {
    await room.append("access.grant-role", "acme", { principal: "service:acme/ci", role: "admin" });
    await setIdentity();
    const token = await exchanged();
    expect(await may(token, "policy.write")).toBe("yes");
    expect(await may(token, "org.administer")).toBe("forbidden");
    const key = await room.request("POST", "/api/assay/v1/orgs/acme/service-accounts/ci/keys", token, { label: "x" });
    expect(errorCode(key)).toBe("forbidden");
  });

  test("buys a registry token as a password, which keeps its bounds and ends with it", async () => {
    await setIdentity({ repositories: ["acme/app"] });
    const token = await exchanged();
    const login = async (scope: string) => {
      const response = await room.app.inject({
        url: `/v2/token?service=assay.test:8443&${scope}`,
        headers: { authorization: `Basic ${Buffer.from(`oidc:${token}`).toString("base64")}` },
      });
      return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
    };
    const bought = await login(
      "scope=repository:acme/app:pull,push&scope=repository:acme/other:pull&scope=registry:catalog:*",
    );
    expect(bought.status).toBe(200);
    const registry = String(bought.body["token"]);
    expect(await may(registry, "registry.push", "acme/app")).toBe("yes");
    expect(await may(registry, "registry.pull", "acme/other")).toBe("org-unknown");
    expect(await may(registry, "registry.list")).toBe("org-unknown");
    // It ends with what bought it.
    room.clock.now += 880_000;
    expect(Number((await login("scope=repository:acme/app:pull")).body["expires_in"])).toBeLessThanOrEqual(20);
    // And with the identity.
    await setIdentity({ repositories: ["acme/app"] });
    await expect(room.authenticator.withToken(registry)).rejects.toMatchObject({ status: 401 });
    expect((await login("scope=repository:acme/app:pull")).status).toBe(401);
  });

  test.each([
    ["the identity is set anew", () => setIdentity({ repositories: ["acme/app"] })],
    [
      "the identity is removed",
      () => room.request("DELETE", "/api/assay/v1/orgs/acme/workload-identities/release", ADMIN_TOKEN),
    ],
    [
      "the service account is removed",
      () => room.append("access.remove-principal", SYSTEM_ORG, { principal: "service:acme/ci" }),
    ],
  ])("is void at once when %s, also for a request that waits for the writer", async (_what, end) => {
    await setIdentity();
    const token = await exchanged();
    const actor = await room.authenticator.withToken(token);
    await end();
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
    expect(await authorize(room.reader, actor, "registry.push", { org: "acme", repository: "acme/app" })).toMatchObject(
      {
        status: 401,
      },
    );
  });

  test("is void when a key of its service account is revoked: the account may be in other hands", async () => {
    await setIdentity();
    const token = await exchanged();
    const { body } = await room.request("POST", "/api/assay/v1/orgs/acme/service-accounts/ci/keys", ADMIN_TOKEN, {
      label: "x",
    });
    await room.request("DELETE", `/api/assay/v1/orgs/acme/service-accounts/ci/keys/${String(body["id"])}`, ADMIN_TOKEN);
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
  });

  test("is of a kind of its own: neither an outside token nor a registry token passes for one, and it passes for neither", async () => {
    await setIdentity();
    const token = await exchanged();
    await refusedAs(token, "invalid_request");
    await expect(room.authenticator.withToken(await github())).rejects.toMatchObject({ status: 401 });
    await expect(room.authenticator.withPassword("oidc", await github())).rejects.toMatchObject({ status: 401 });
    expect(await room.authenticator.tokens.verify(token, room.clock.now)).toBeUndefined();
    const { tokens, workloadTokens } = room.authenticator;
    const registry = tokens.issue({
      subject: "service:acme/ci",
      epoch: 0,
      access: [],
      now: room.clock.now,
      notAfter: null,
    });
    expect(await workloadTokens.verify(registry.token, room.clock.now)).toBeUndefined();
  });

  test("ends no later than the identity", async () => {
    room.clock.now = Date.now();
    await setIdentity({ expires: room.clock.now + 60_000 });
    const answer = await exchange(await github());
    expect(Number(answer.body["expires_in"])).toBeLessThanOrEqual(60);
  });
});

describe("an issuer", () => {
  beforeEach(async () => {
    await setIdentity();
  });

  const unavailable = async (): Promise<string> => {
    const answer = await exchange(await github());
    expect([answer.status, answer.body["error"]], answer.text).toEqual([503, "temporarily_unavailable"]);
    expect(answer.headers["retry-after"]).toBe("30");
    return String(answer.body["error_description"]);
  };

  test("that redirects is not followed, from discovery or from the keys", async () => {
    issuer.answers.set(DISCOVERY, (_request, response) =>
      response.writeHead(302, { location: `${issuer.url}/elsewhere` }).end(),
    );
    expect(await unavailable()).toContain("redirects");
    issuer.answers.clear();
    issuer.answers.set(KEYS, (_request, response) =>
      response.writeHead(307, { location: "https://evil.test/jwks" }).end(),
    );
    room.clock.now += 31_000;
    expect(await unavailable()).toContain("redirects");
    expect(issuer.asked).not.toContain("/elsewhere");
  });

  test("whose discovery names another issuer, keys at a private address or over http, or nothing, is not believed", async () => {
    for (const document of [
      { issuer: `${issuer.url}/`, jwks_uri: `${issuer.url}${KEYS}` },
      { issuer: "https://evil.test", jwks_uri: `${issuer.url}${KEYS}` },
      { issuer: issuer.url, jwks_uri: "https://127.0.0.2/jwks" },
      { issuer: issuer.url, jwks_uri: "http://169.254.169.254/latest/meta-data" },
      { issuer: issuer.url, jwks_uri: "file:///etc/passwd" },
      { issuer: issuer.url, jwks_uri: 7 },
      { issuer: issuer.url },
      [],
    ]) {
      issuer.answers.set(DISCOVERY, (_request, response) => response.end(JSON.stringify(document)));
      expect(await unavailable(), JSON.stringify(document)).toContain("cannot be had");
      room.clock.now += 31_000;
    }
  });

  test("with too large a key set, too many keys, or a text that is no JSON, is not believed", async () => {
    const bodies = [
      `{"keys":[],"x":"${"x".repeat(300_000)}"}`,
      JSON.stringify({ keys: Array.from({ length: 101 }, () => ({ kty: "RSA" })) }),
      "<html>",
      `{"keys":${"[".repeat(50)}${"]".repeat(50)}}`,
      '{"keys":{}}',
      "",
    ];
    for (const body of bodies) {
      issuer.answers.set(KEYS, (_request, response) => response.end(body));
      expect(await unavailable(), body.slice(0, 50)).toContain("cannot be had");
      room.clock.now += 31_000;
    }
  });

  test("that is slow is given up on", { timeout: 20_000 }, async () => {
    issuer.answers.set(DISCOVERY, (_request, response) => {
      response.writeHead(200).write("{");
      const timer = setInterval(() => response.write(" "), 200);
      response.on("close", () => clearInterval(timer));
    });
    expect(await unavailable()).toContain("too long");
  });

  test("is asked for its keys once in a while, and for a key that is not among them no more often than every 30 s", async () => {
    await exchange(await github());
    await Promise.all(Array.from({ length: 5 }, async (_, index) => exchange(await github({ jti: String(index) }))));
    for (let index = 0; index < 5; index += 1) {
      await refusedAs(await github({}, { header: { kid: `unknown-${index}` } }), "invalid_request");
    }
    expect(issuer.asked.filter((path) => path === KEYS).length).toBe(1);
    const fresh = await issuer.addKey("second", "ES256");
    room.clock.now += 31_000;
    expect((await exchange(await github({ jti: "new" }, { key: fresh }))).status).toBe(200);
    expect(issuer.asked.filter((path) => path === KEYS).length).toBe(2);
  });

  test("that takes a key back is believed about it for ten minutes at most", async () => {
    const [first] = issuer.keys;
    if (first === undefined) throw new Error("no key");
    expect((await exchange(await github())).status).toBe(200);
    issuer.keys.length = 0;
    await issuer.addKey("second", "RS256");
    room.clock.now += 10 * 60_000;
    await refusedAs(await github({ jti: "x" }, { key: first }), "invalid_request");
  });

  test("that fails is asked again after 30 s", async () => {
    issuer.answers.set(DISCOVERY, (_request, response) => response.writeHead(500).end());
    await unavailable();
    issuer.answers.clear();
    expect(await unavailable()).toContain("a moment ago");
    room.clock.now += 31_000;
    expect((await exchange(await github())).status).toBe(200);
  });
});

describe("the doors of workload identities", () => {
  const path = "/api/assay/v1/orgs/acme/workload-identities";

  test("set, list and remove, for admins", async () => {
    expect((await setIdentity({ repositories: ["acme/app"] })).status).toBe(200);
    const { body } = await room.request("GET", path, ADMIN_TOKEN);
    expect(body["items"]).toMatchObject([
      {
        name: "release",
        issuer: issuer.url,
        issuerBelieved: true,
        conditions: GITHUB,
        serviceAccount: "ci",
        repositories: ["acme/app"],
        singleUse: false,
        expires: null,
        setBy: "admin",
      },
    ]);
    expect((await room.request("DELETE", `${path}/release`, ADMIN_TOKEN)).status).toBe(200);
    expect(errorCode(await room.request("DELETE", `${path}/release`, ADMIN_TOKEN))).toBe("workload-identity-unknown");
    const { key } = await room.principal("person:alice", { acme: "member" });
    expect(errorCode(await room.request("GET", path, key))).toBe("forbidden");
  });

  test("refuse a service account that is not there, another's repositories, an issuer that is none, and a past end", async () => {
    expect((await setIdentity({ serviceAccount: "nobody" })).text).toContain("principal-unknown");
    expect((await setIdentity({ repositories: ["rival/app"] })).text).toContain("repository-elsewhere");
    expect((await setIdentity({ expires: 1 })).text).toContain("workload-identity-past");
    for (const wrong of [
      "acme",
      "ftp://x.test",
      "https://x.test?y",
      "https://u:p@x.test",
      "https://x.test#f",
      "HTTPS://x.test",
    ]) {
      expect((await setIdentity({ issuer: wrong })).status, wrong).toBe(400);
    }
    expect((await room.request("GET", path, ADMIN_TOKEN)).body["items"]).toEqual([]);
  });

  test("say so when this server believes no tokens of the issuer", async () => {
    const answer = await setIdentity({ issuer: "https://ci.elsewhere.example" });
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"issuerBelieved":false')]);
  });
});
