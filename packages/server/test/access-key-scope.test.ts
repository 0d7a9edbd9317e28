/** API keys of robots: bound to repositories and to what is done there. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { generateApiKey, hashSecret } from "../src/access/api-key.ts";
import { authorize, authorizeSight } from "../src/access/authorize.ts";
import { ACTIONS, REPOSITORY_ACTIONS, type RegistryAction } from "../src/access/roles.ts";
import type { Actor } from "../src/record/command.ts";
import { type AccessRoom, ADMIN_TOKEN, openAccessRoom, refusalCode } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

const DAY = 86_400_000;

interface Bound {
  readonly repositories: string[];
  readonly actions: RegistryAction[];
}

/** A bound key of somebody; the secret, and who they are by it. */
async function keyOf(principal: string, scope: Bound, expires: number | null = Date.now() + DAY) {
  const key = generateApiKey();
  const body = {
    id: key.id,
    principal,
    label: "robot",
    secretHash: hashSecret(key.secret),
    expires,
    scope: { ...scope },
  };
  const appended = await room.append("access.create-api-key", "acme", body);
  const actor: Actor = { id: principal, credential: { kind: "api-key", id: key.id } };
  return { text: key.text, id: key.id, actor, appended };
}

async function may(actor: Actor, action: (typeof ACTIONS)[number], repository?: string, org = "acme"): Promise<string> {
  const refusal = await authorize(room.reader, actor, action, {
    org,
    ...(repository === undefined ? {} : { repository }),
  });
  return refusal?.code ?? "yes";
}

const basic = (key: string): string => `Basic ${Buffer.from(`robot:${key}`).toString("base64")}`;

describe("a bound key", () => {
  test("is good for its actions in its repositories, and for nothing anywhere else, whatever its owner may", async () => {
    await room.principal("service:acme/ci", { acme: "admin" });
    const { actor } = await keyOf("service:acme/ci", { repositories: ["acme/app", "acme/team/**"], actions: ["pull"] });
    expect(await may(actor, "registry.pull", "acme/app")).toBe("yes");
    expect(await may(actor, "evidence.read", "acme/team/a/b")).toBe("yes");
    for (const action of ["registry.push", "registry.delete", "evidence.write", "decision.make"] as const) {
      expect(await may(actor, action, "acme/app"), action).toBe("forbidden");
    }
    for (const elsewhere of ["acme/other", "acme/app/sub", "rival/app"]) {
      expect(await may(actor, "registry.pull", elsewhere), elsewhere).toBe("org-unknown");
    }
  });

  test("gives nothing that is the organisation's, to no action, also where the question names the repository", async () => {
    await room.principal("service:acme/ci", { acme: "admin" });
    const { actor } = await keyOf("service:acme/ci", {
      repositories: ["acme/**"],
      actions: ["pull", "push", "delete"],
    });
    for (const action of ACTIONS) {
      expect(await may(actor, action), action).not.toBe("yes");
    }
    for (const action of ACTIONS.filter((one) => !REPOSITORY_ACTIONS.has(one))) {
      expect(await may(actor, action, "acme/app"), action).not.toBe("yes");
    }
  });

  test("gives no more than its owner has", async () => {
    await room.principal("service:acme/ci", { acme: "reader" });
    const { actor } = await keyOf("service:acme/ci", {
      repositories: ["acme/app"],
      actions: ["pull", "push", "delete"],
    });
    expect(await may(actor, "registry.pull", "acme/app")).toBe("yes");
    expect(await may(actor, "registry.push", "acme/app")).toBe("forbidden");
  });

  test("shows its repositories in lists, and no others", async () => {
    await room.principal("service:acme/ci", { acme: "member" });
    const { actor } = await keyOf("service:acme/ci", { repositories: ["acme/app"], actions: ["pull"] });
    const sight = await authorizeSight(room.reader, actor, "registry.list", "acme");
    expect(sight.refusal).toBeUndefined();
    if (sight.refusal !== undefined) return;
    expect([sight.whole, sight.sees("acme/app"), sight.sees("acme/other")]).toEqual([false, true, false]);
    const pushing = await keyOf("service:acme/ci", { repositories: ["acme/app"], actions: ["push"] });
    expect((await authorizeSight(room.reader, pushing.actor, "evidence.read", "acme")).refusal?.code).toBe("forbidden");
  });

  test("buys registry tokens for what it is bound to, and none over the catalogue", async () => {
    await room.principal("service:acme/ci", { acme: "admin" });
    const { text, id } = await keyOf("service:acme/ci", { repositories: ["acme/app"], actions: ["pull"] });
    const scopes = ["repository:acme/app:pull,push,delete", "repository:acme/other:pull", "registry:catalog:*"];
    const answer = await room.app.inject({
      method: "GET",
      url: `/v2/token?${new URLSearchParams(scopes.map((scope) => ["scope", scope])).toString()}`,
      headers: { authorization: basic(text) },
    });
    const token = String(answer.json<{ token: string }>().token);
    const bearer = await room.authenticator.authenticate({ authorization: `Bearer ${token}` });
    expect(bearer?.credential.access).toEqual([{ type: "repository", name: "acme/app", actions: ["pull"] }]);
    // What was bought with which key can be told afterwards.
    expect(bearer?.credential.id).toBe(id);
  });

  test("has an end, and is of its own organisation's repositories", async () => {
    await room.principal("service:acme/ci", { acme: "member" });
    const scope: Bound = { repositories: ["acme/app"], actions: ["pull"] };
    expect(refusalCode((await keyOf("service:acme/ci", scope, null)).appended)).toBe("key-expiry-required");
    const elsewhere = await keyOf("service:acme/ci", { ...scope, repositories: ["acme/app", "rival/app"] });
    expect(refusalCode(elsewhere.appended)).toBe("repository-elsewhere");
  });

  test("makes no keys: a person's bound key is no way to an unbound one", async () => {
    await room.principal("person:alice", { acme: "admin" });
    const { text, id } = await keyOf("person:alice", {
      repositories: ["acme/app"],
      actions: ["pull", "push", "delete"],
    });
    const keys = "/api/assay/v1/people/alice/keys";
    for (const [method, url, body] of [
      ["POST", keys, { label: "free" }],
      ["POST", `${keys}/${id}/rotate`, {}],
      ["GET", keys, undefined],
      ["DELETE", `${keys}/${id}`, undefined],
    ] as const) {
      expect((await room.request(method, url, text, body)).status, `${method} ${url}`).toBe(403);
    }
  });

  test("stays bound when it is rotated, by whomever, and is listed with what it is bound to", async () => {
    await room.principal("service:acme/ci", { acme: "admin" });
    const scope: Bound = { repositories: ["acme/app"], actions: ["pull", "push"] };
    const { id } = await keyOf("service:acme/ci", scope);
    const keys = "/api/assay/v1/orgs/acme/service-accounts/ci/keys";
    const forever = await room.request("POST", `${keys}/${id}/rotate`, ADMIN_TOKEN, { expiresInDays: null });
    expect(forever.body).toMatchObject({ error: { code: "key-expiry-required" } });
    const rotated = await room.request("POST", `${keys}/${id}/rotate`, ADMIN_TOKEN, {});
    expect(rotated.body).toMatchObject({ scope });
    const actor: Actor = { id: "service:acme/ci", credential: { kind: "api-key", id: String(rotated.body["id"]) } };
    expect(await may(actor, "registry.push", "acme/app")).toBe("yes");
    expect(await may(actor, "registry.delete", "acme/app")).toBe("forbidden");
    expect(await may(actor, "org.administer")).toBe("org-unknown");
    const { body } = await room.request("GET", keys, ADMIN_TOKEN);
    const items = body["items"] as { id: string; scope: unknown }[];
    expect(items.filter((item) => item.scope !== null).map((item) => item.id)).toEqual([id, rotated.body["id"]]);
  });
});
