/** Claims of outside tokens that are well signed and strange. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JWTPayload } from "jose";
import { type AccessRoom, ADMIN_TOKEN, openAccessRoom } from "./access-room.ts";
import { githubClaims, type OutsideIssuer, startIssuer } from "./outside-issuer.ts";

const AUDIENCE = "https://assay.test:8443";

let issuer: OutsideIssuer;
let room: AccessRoom;

beforeEach(async () => {
  issuer = await startIssuer();
  room = await openAccessRoom(["acme"], [issuer.url]);
  await room.principal("service:acme/ci", { acme: "member" });
  const set = await room.request("PUT", "/api/assay/v1/orgs/acme/workload-identities/release", ADMIN_TOKEN, {
    issuer: issuer.url,
    audience: AUDIENCE,
    conditions: [
      { claim: "sub", value: "repo:acme/**" },
      { claim: "ref", value: "r**" },
    ],
    serviceAccount: "ci",
  });
  expect(set.status, set.text).toBe(200);
});

afterEach(async () => {
  await room.stop();
  await issuer.stop();
});

async function exchange(claims: JWTPayload): Promise<string> {
  const answer = await room.app.inject({
    method: "POST",
    url: "/api/assay/v1/token/exchange",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    payload: new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
      subject_token: await issuer.token({ ...githubClaims(AUDIENCE), ...claims }),
      audience: "acme/release",
    }).toString(),
  });
  return `${answer.statusCode} ${answer.json<{ error?: string }>().error ?? "granted"}`;
}

test("what no record can hold is refused, and nothing of it is an error of the server's", async () => {
  expect(await exchange({})).toBe("200 granted");
  for (const text of ["\u0000", "\uD800"]) {
    expect(await exchange({ sub: `repo:acme/${text}` })).toBe("400 invalid_request");
    expect(await exchange({ aud: [AUDIENCE, text] })).toBe("400 invalid_request");
    // A claim that cannot be recorded meets no condition.
    expect(await exchange({ ref: `r${text}` })).toBe("400 invalid_target");
    expect(await exchange({ [`x${text}`]: "y", jti: `z${text}` })).toBe("200 granted");
  }
});

test("strange numbers, lists, objects and names are no error of the server's", async () => {
  const strange: unknown[] = [1e308, -1, 1.5, [], {}, null, true, "", [null], ["a", ["b"]]];
  for (const name of ["iat", "exp", "nbf", "sub", "aud", "jti", "ref", "constructor", "toString"]) {
    for (const value of strange) {
      expect(await exchange({ [name]: value as never }), `${name} ${JSON.stringify(value)}`).toMatch(/^(?:200|400) /);
    }
  }
});
