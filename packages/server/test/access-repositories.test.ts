/** Roles in some repositories of an organisation. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { authorize, authorizeSight } from "../src/access/authorize.ts";
import { repositoryRolesOf } from "../src/access/repository-role-queries.ts";
import { ACTIONS, REPOSITORY_ACTIONS, ROLES, type Role } from "../src/access/roles.ts";
import type { Actor } from "../src/record/command.ts";
import { type AccessRoom, errorCode, openAccessRoom, refusalCode } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

const grant = (principal: string, repository: string, role: Role, org = "acme", actor?: Actor) =>
  room.append("access.grant-repository-role", org, { principal, repository, role }, actor);

async function may(actor: Actor, action: (typeof ACTIONS)[number], repository?: string): Promise<string> {
  const refusal = await authorize(room.reader, actor, action, {
    org: "acme",
    ...(repository === undefined ? {} : { repository }),
  });
  return refusal?.code ?? "yes";
}

describe("a role in a repository", () => {
  test("gives that role's rights there, and nothing anywhere else", async () => {
    const { actor } = await room.principal("person:alice", {});
    await grant("person:alice", "acme/app", "member");
    expect(await may(actor, "registry.push", "acme/app")).toBe("yes");
    expect(await may(actor, "evidence.write", "acme/app")).toBe("yes");
    expect(await may(actor, "registry.delete", "acme/app")).toBe("forbidden");
    for (const elsewhere of ["acme/other", "acme/app/sub", "acme/nowhere", "rival/app"]) {
      expect(await may(actor, "registry.pull", elsewhere), elsewhere).toBe("org-unknown");
    }
    expect(await may(actor, "org.read")).toBe("org-unknown");
  });

  test("of any rank gives nothing that is the organisation's, also where the question names the repository", async () => {
    for (const role of ROLES) {
      const { actor } = await room.principal(`person:${role}`, {});
      await grant(`person:${role}`, "acme/**", role);
      for (const action of ACTIONS) {
        if (REPOSITORY_ACTIONS.has(action)) continue;
        expect(await may(actor, action, "acme/app"), `${role} ${action}`).not.toBe("yes");
        expect(await may(actor, action), `${role} ${action}`).not.toBe("yes");
      }
    }
  });

  test("adds to the role in the organisation where it is greater, and takes nothing where it is less", async () => {
    const { actor } = await room.principal("person:alice", { acme: "member" });
    await grant("person:alice", "acme/team/**", "admin");
    await grant("person:alice", "acme/app", "reader");
    expect(await may(actor, "registry.delete", "acme/team/a/b")).toBe("yes");
    expect(await may(actor, "registry.delete", "acme/app")).toBe("forbidden");
    expect(await may(actor, "registry.push", "acme/app")).toBe("yes");
  });

  test("under several patterns is the greatest of them", async () => {
    const { actor } = await room.principal("person:alice", {});
    await grant("person:alice", "acme/*", "reader");
    await grant("person:alice", "acme/app*", "member");
    expect(await may(actor, "registry.push", "acme/app-2")).toBe("yes");
    expect(await may(actor, "registry.push", "acme/zoo")).toBe("forbidden");
    expect(await may(actor, "registry.pull", "acme/zoo")).toBe("yes");
    expect(await may(actor, "registry.pull", "acme/zoo/deep")).toBe("org-unknown");
  });

  test("is replaced, taken away, and over when its holder is removed", async () => {
    const { actor } = await room.principal("person:alice", {});
    await grant("person:alice", "acme/app", "member");
    await grant("person:alice", "acme/app", "reader");
    expect(await may(actor, "registry.push", "acme/app")).toBe("forbidden");
    const revoke = { principal: "person:alice", repository: "acme/app" };
    expect((await room.append("access.revoke-repository-role", "acme", revoke)).ok).toBe(true);
    expect(await may(actor, "registry.pull", "acme/app")).toBe("org-unknown");
    expect(refusalCode(await room.append("access.revoke-repository-role", "acme", revoke))).toBe("member-unknown");
    await grant("person:alice", "acme/app", "reader");
    await room.append("access.remove-principal", "_system", { principal: "person:alice" });
    expect(await repositoryRolesOf(room.reader, "person:alice")).toEqual([]);
  });

  test("is given by admins of its organisation, in it, to those who are there", async () => {
    const { actor: admin } = await room.principal("person:boss", { acme: "admin" });
    const { actor: member } = await room.principal("person:member", { acme: "member" });
    await room.principal("service:rival/ci", {});
    await grant("person:member", "acme/**", "admin");
    expect(refusalCode(await grant("person:boss", "acme/app", "reader", "acme", member))).toBe("forbidden");
    expect(refusalCode(await grant("person:boss", "rival/app", "reader", "acme", admin))).toBe("repository-elsewhere");
    expect(refusalCode(await grant("person:boss", "rival/app", "reader", "rival", admin))).toBe("org-unknown");
    expect(refusalCode(await grant("person:nobody", "acme/app", "reader", "acme", admin))).toBe("principal-unknown");
    expect(refusalCode(await grant("service:rival/ci", "acme/app", "reader", "acme", admin))).toBe("principal-unknown");
    for (const pattern of ["**", "*/app", "acme", "acme/", "acme/A", "acm*/app", "acme//app", "acme/../rival/app"]) {
      const outcome = await grant("person:boss", pattern, "reader", "acme", admin).then(refusalCode, () => "invalid");
      expect(["invalid", "repository-elsewhere"], pattern).toContain(outcome);
    }
  });

  test("is held under a bounded number of patterns", async () => {
    await room.principal("person:alice", {});
    for (let index = 0; index < 100; index += 1) {
      expect((await grant("person:alice", `acme/r${index}`, "reader")).ok).toBe(true);
    }
    expect(refusalCode(await grant("person:alice", "acme/more", "reader"))).toBe("repository-roles-full");
    expect((await grant("person:alice", "acme/r1", "member")).ok).toBe(true);
  });
});

describe("what somebody with roles in repositories only sees", () => {
  test("is those repositories; the organisation is not there for them", async () => {
    const { actor, key } = await room.principal("person:alice", {});
    await grant("person:alice", "acme/app", "reader");
    const sight = await authorizeSight(room.reader, actor, "registry.list", "acme");
    if (sight.refusal !== undefined) throw new Error(sight.refusal.message);
    expect([sight.whole, sight.sees("acme/app"), sight.sees("acme/other")]).toEqual([false, true, false]);
    const rival = await authorizeSight(room.reader, actor, "registry.list", "rival");
    const nowhere = await authorizeSight(room.reader, actor, "registry.list", "nowhere");
    expect([rival.refusal?.code, nowhere.refusal?.code]).toEqual(["org-unknown", "org-unknown"]);
    expect((await authorizeSight(room.reader, actor, "org.administer", "acme")).refusal?.code).toBe("org-unknown");

    for (const path of ["", "/members", "/repository-roles", "/service-accounts", "/workload-identities"]) {
      const theirs = await room.request("GET", `/api/assay/v1/orgs/acme${path}`, key);
      const none = await room.request("GET", `/api/assay/v1/orgs/nowhere${path}`, key);
      expect([theirs.status, errorCode(theirs)], path).toEqual([404, "org-unknown"]);
      expect(theirs.text.replaceAll("acme", "X"), path).toBe(none.text.replaceAll("nowhere", "X"));
    }
    expect((await room.request("GET", "/api/assay/v1/orgs", key)).body["items"]).toEqual([]);
    expect((await room.request("GET", "/api/assay/v1/whoami", key)).body["roles"]).toEqual([
      { org: "acme", repository: "acme/app", role: "reader" },
    ]);
  });

  test("is everything for those with a role in the organisation", async () => {
    const { actor } = await room.principal("person:alice", { acme: "reader" });
    const sight = await authorizeSight(room.reader, actor, "evidence.read", "acme");
    expect(sight).toMatchObject({ refusal: undefined, whole: true });
  });
});

describe("the doors of roles in repositories", () => {
  const path = "/api/assay/v1/orgs/acme/repository-roles";

  test("give, show and take away", async () => {
    const { key: admin } = await room.principal("person:boss", { acme: "admin" });
    await room.principal("service:acme/ci", {});
    const body = { repository: "acme/app", role: "member" };
    const given = await room.request("PUT", `${path}/service/ci`, admin, body);
    expect([given.status, given.body]).toMatchObject([200, { principal: "service:acme/ci", ...body }]);
    expect((await room.request("GET", path, admin)).body["items"]).toMatchObject([
      { principal: "service:acme/ci", repository: "acme/app", role: "member" },
    ]);
    expect((await room.request("DELETE", `${path}/service/ci?repository=acme%2Fapp`, admin)).status).toBe(200);
    expect((await room.request("GET", path, admin)).body["items"]).toEqual([]);
  });

  test("refuse what is no pattern of whole names", async () => {
    for (const repository of ["app", "**", "acme/App", "acme/a b", ""]) {
      const answer = await room.request("PUT", `${path}/person/x`, undefined, { repository, role: "reader" });
      expect(answer.status, repository).toBeGreaterThanOrEqual(400);
    }
  });
});
