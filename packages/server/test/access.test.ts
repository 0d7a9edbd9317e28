import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { authorize } from "../src/access/authorize.ts";
import { currentAdmins, currentRole, defaultOrganisation, findPrincipal, roleAsOf } from "../src/access/queries.ts";
import { ACTIONS, ROLES } from "../src/access/roles.ts";
import type { Actor } from "../src/record/command.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import type { RecordTables } from "../src/record/schema.ts";
import { type AccessRoom, ADMIN, openAccessRoom, refusalCode } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

describe("founding", () => {
  test("the first start fixes the default organisation by an event", async () => {
    expect(await defaultOrganisation(room.reader)).toBe("default");
    const events = await room.reader.tables<RecordTables>().selectFrom("event").select(["org", "type"]).execute();
    expect(events).toContainEqual({ org: "default", type: "access.organisation-created" });
    expect(events).toContainEqual({ org: SYSTEM_ORG, type: "access.bootstrapped" });
  });

  test("a later start changes nothing, and cannot make another organisation the default", async () => {
    const again = await room.append("access.bootstrap", SYSTEM_ORG, { defaultOrg: "default" }, SYSTEM_ACTOR);
    expect(again).toMatchObject({ ok: true, receipts: [] });
    const other = await room.append("access.bootstrap", SYSTEM_ORG, { defaultOrg: "acme" }, SYSTEM_ACTOR);
    expect(refusalCode(other)).toBe("default-organisation-fixed");
  });

  test("no request founds the service", async () => {
    expect(refusalCode(await room.append("access.bootstrap", SYSTEM_ORG, { defaultOrg: "acme" }))).toBe("forbidden");
    expect(refusalCode(await room.append("access.enable-bootstrap", SYSTEM_ORG, {}))).toBe("forbidden");
  });
});

describe("organisations", () => {
  test("only the bootstrap admin creates them", async () => {
    const { actor } = await room.principal("person:alice", { acme: "admin", default: "admin" });
    expect(refusalCode(await room.append("access.create-organisation", "mine", { name: "mine" }, actor))).toBe(
      "forbidden",
    );
    expect(refusalCode(await room.append("access.create-organisation", "mine", { name: "mine" }))).toBeUndefined();
  });

  test("a name is taken once", async () => {
    expect(refusalCode(await room.append("access.create-organisation", "acme", { name: "acme" }))).toBe(
      "organisation-exists",
    );
  });

  test.each([
    "v2",
    "api",
    "openapi.json",
    "_system",
    "Acme",
    "a--b",
    "a/b",
    "",
    "a".repeat(65),
    "-a",
    "a.",
    "__proto__",
  ])("the name %j is refused", async (name) => {
    await expect(room.append("access.create-organisation", name, { name })).rejects.toMatchObject({
      code: "command-invalid",
    });
  });
});

describe("roles", () => {
  test("each role may what the one before it may, and more", async () => {
    const allowed = new Map<string, string[]>();
    for (const role of ROLES) {
      const { actor } = await room.principal(`person:${role}`, { acme: role });
      const may: string[] = [];
      for (const action of ACTIONS) {
        if ((await authorize(room.reader, actor, action, { org: "acme", repository: "acme/app" })) === undefined)
          may.push(action);
      }
      allowed.set(role, may);
    }
    const reader = [
      "org.read",
      "registry.list",
      "registry.pull",
      "evidence.read",
      "trust.read",
      "policy.read",
      "record.read",
      "environment.read",
    ];
    const snapshotter = [...reader, "environment.write"];
    const member = [...snapshotter, "registry.push", "evidence.write", "decision.make"];
    const admin = [...member, "registry.delete", "registry.manage", "trust.write", "policy.write", "org.administer"];
    expect(allowed.get("reader")?.toSorted()).toEqual(reader.toSorted());
    expect(allowed.get("snapshotter")?.toSorted()).toEqual(snapshotter.toSorted());
    expect(allowed.get("member")?.toSorted()).toEqual(member.toSorted());
    expect(allowed.get("admin")?.toSorted()).toEqual(admin.toSorted());
  });

  test("the bootstrap admin may everything in every organisation that exists", async () => {
    for (const action of ACTIONS) {
      expect(await authorize(room.reader, ADMIN, action, { org: "rival" })).toBeUndefined();
    }
    expect(await authorize(room.reader, ADMIN, "org.read", { org: "nowhere" })).toMatchObject({ code: "org-unknown" });
  });

  test("an organisation that is not there and one that is not yours are refused alike", async () => {
    const { actor } = await room.principal("person:alice", { acme: "admin" });
    for (const action of ACTIONS) {
      const notThere = await authorize(room.reader, actor, action, { org: "nowhere" });
      const notYours = await authorize(room.reader, actor, action, { org: "rival" });
      expect(notThere).toBeDefined();
      expect(JSON.stringify(notYours).replaceAll("rival", "nowhere")).toBe(JSON.stringify(notThere));
    }
  });

  test("an admin of one organisation can change nothing in another", async () => {
    const { actor } = await room.principal("person:alice", { acme: "admin" });
    const body = { principal: "person:alice", role: "reader" };
    expect(refusalCode(await room.append("access.grant-role", "rival", body, actor))).toBe("org-unknown");
    expect(refusalCode(await room.append("access.create-service-account", "rival", { name: "ci" }, actor))).toBe(
      "org-unknown",
    );
    await room.append("access.create-service-account", "rival", { name: "ci" });
    const removal = { principal: "service:rival/ci" };
    expect(refusalCode(await room.append("access.remove-principal", "acme", removal, actor))).toBe("org-unknown");
    expect(refusalCode(await room.append("access.create-person", SYSTEM_ORG, { name: "eve" }, actor))).toBe(
      "forbidden",
    );
  });

  test("a service account holds a role in its own organisation only; elsewhere it does not exist", async () => {
    await room.principal("service:rival/ci", { rival: "member" });
    const { actor } = await room.principal("person:alice", { acme: "admin" });
    const foreign = await room.append(
      "access.grant-role",
      "acme",
      { principal: "service:rival/ci", role: "reader" },
      actor,
    );
    const absent = await room.append(
      "access.grant-role",
      "acme",
      { principal: "service:rival/no", role: "reader" },
      actor,
    );
    expect(refusalCode(foreign)).toBe("principal-unknown");
    expect(JSON.stringify(foreign).replaceAll("rival/ci", "rival/no")).toBe(JSON.stringify(absent));
    expect(
      refusalCode(await room.append("access.grant-role", "acme", { principal: "service:rival/ci", role: "reader" })),
    ).toBe("principal-unknown");
  });

  test("granting the role somebody has records nothing", async () => {
    await room.principal("person:alice", { acme: "member" });
    const again = await room.append("access.grant-role", "acme", { principal: "person:alice", role: "member" });
    expect(again).toMatchObject({ ok: true, receipts: [] });
  });

  test("what somebody's role was at any event stays known", async () => {
    await room.principal("person:bob", { acme: "admin" });
    await room.principal("person:alice", { acme: "reader" });
    const promoted = await room.append("access.grant-role", "acme", { principal: "person:alice", role: "admin" });
    const gone = await room.append("access.revoke-role", "acme", { principal: "person:alice" });
    if (!promoted.ok || !gone.ok) throw new Error("refused");
    const at = promoted.receipts[0]?.sequence ?? -1;
    const end = gone.receipts[0]?.sequence ?? -1;
    expect(await roleAsOf(room.reader, "acme", "person:alice", at - 1)).toBe("reader");
    expect(await roleAsOf(room.reader, "acme", "person:alice", at)).toBe("admin");
    expect(await roleAsOf(room.reader, "acme", "person:alice", end - 1)).toBe("admin");
    expect(await roleAsOf(room.reader, "acme", "person:alice", end)).toBeUndefined();
  });

  test("the system actor is known by both its id and its credential", async () => {
    const forged: Actor = { id: "admin", credential: { kind: "system" } };
    expect(await authorize(room.reader, forged, "org.read", { org: "acme" })).toMatchObject({ status: 401 });
    const other: Actor = { id: "person:alice", credential: { kind: "admin-token" } };
    expect(await authorize(room.reader, other, "org.read", { org: "acme" })).toMatchObject({ status: 401 });
  });
});

describe("the last admin", () => {
  test("can be neither removed nor demoted", async () => {
    await room.principal("person:alice", { acme: "admin" });
    const principal = "person:alice";
    expect(refusalCode(await room.append("access.revoke-role", "acme", { principal }))).toBe("last-admin");
    expect(refusalCode(await room.append("access.grant-role", "acme", { principal, role: "member" }))).toBe(
      "last-admin",
    );
    expect(refusalCode(await room.append("access.remove-principal", SYSTEM_ORG, { principal }))).toBe("last-admin");
    expect(await currentRole(room.reader, "acme", principal)).toBe("admin");
  });

  test.each([
    ["two revocations", "access.revoke-role", "access.revoke-role"],
    ["a revocation and a removal", "access.revoke-role", "access.remove-principal"],
    ["a demotion and a revocation", "access.grant-role", "access.revoke-role"],
  ])("%s at once leave one", async (_name, first, second) => {
    await room.principal("person:alice", { acme: "admin" });
    await room.principal("person:bob", { acme: "admin" });
    const attempt = (type: string, principal: string) =>
      room.append(type, type === "access.remove-principal" ? SYSTEM_ORG : "acme", {
        principal,
        ...(type === "access.grant-role" ? { role: "reader" } : {}),
      });
    const outcomes = await Promise.all([attempt(first, "person:alice"), attempt(second, "person:bob")]);
    expect(outcomes.map(refusalCode).filter((code) => code === "last-admin")).toHaveLength(1);
    expect(await currentAdmins(room.reader, "acme")).toHaveLength(1);
  });

  test("two admins who remove each other at once leave one", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const bob = await room.principal("person:bob", { acme: "admin" });
    const outcomes = await Promise.all([
      room.append("access.revoke-role", "acme", { principal: "person:bob" }, alice.actor),
      room.append("access.revoke-role", "acme", { principal: "person:alice" }, bob.actor),
    ]);
    // The second has no role any more when it is decided.
    expect(outcomes.map(refusalCode)).toEqual([undefined, "org-unknown"]);
    expect(await currentAdmins(room.reader, "acme")).toEqual(["person:alice"]);
  });
});

describe("removal", () => {
  test("ends the roles in each organisation's own chain, revokes the keys, and the name never returns", async () => {
    const alice = await room.principal("person:alice", { acme: "member", rival: "reader" });
    const removed = await room.append("access.remove-principal", SYSTEM_ORG, { principal: "person:alice" });
    expect(removed.ok && removed.receipts).toHaveLength(3);
    const revocations = await room.reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select("org")
      .where("type", "=", "access.role-revoked")
      .execute();
    expect(revocations.map((row) => row.org).toSorted()).toEqual(["acme", "rival"]);
    expect(await authorize(room.reader, alice.actor, "org.read", { org: "acme" })).toMatchObject({
      code: "credential-revoked",
    });
    await expect(room.authenticator.withToken(alice.key)).rejects.toMatchObject({ status: 401 });
    expect(refusalCode(await room.append("access.create-person", SYSTEM_ORG, { name: "alice" }))).toBe(
      "principal-removed",
    );
    const grant = await room.append("access.grant-role", "acme", { principal: "person:alice", role: "reader" });
    expect(refusalCode(grant)).toBe("principal-unknown");
  });

  test("a key revoked while its request waits for the writer decides nothing", async () => {
    const alice = await room.principal("person:alice", { acme: "admin" });
    const [revoked, late] = await Promise.all([
      room.append("access.revoke-api-key", SYSTEM_ORG, { id: alice.keyId, principal: "person:alice" }),
      room.append("access.create-service-account", "acme", { name: "ci" }, alice.actor),
    ]);
    expect(refusalCode(revoked)).toBeUndefined();
    expect(refusalCode(late)).toBe("credential-revoked");
    expect(await findPrincipal(room.reader, "service:acme/ci")).toBeUndefined();
  });
});

describe("the bootstrap admin", () => {
  test("is not disabled while nobody else could administer the default organisation", async () => {
    expect(refusalCode(await room.append("access.disable-bootstrap", SYSTEM_ORG, {}))).toBe("last-admin");
    await room.principal("person:alice", { default: "member" });
    expect(refusalCode(await room.append("access.disable-bootstrap", SYSTEM_ORG, {}))).toBe("last-admin");
  });

  test("is disabled once an admin with a working key stands in, and enabled by the operator only", async () => {
    const alice = await room.principal("person:alice", { default: "admin" });
    expect(refusalCode(await room.append("access.disable-bootstrap", SYSTEM_ORG, {}, alice.actor))).toBe("forbidden");
    expect(refusalCode(await room.append("access.disable-bootstrap", SYSTEM_ORG, {}))).toBeUndefined();
    expect(await authorize(room.reader, ADMIN, "org.read", { org: "default" })).toMatchObject({
      code: "credential-revoked",
    });
    expect(refusalCode(await room.append("access.create-organisation", "x", { name: "x" }))).toBe("credential-revoked");
    await room.append("access.enable-bootstrap", SYSTEM_ORG, {}, SYSTEM_ACTOR);
    expect(await authorize(room.reader, ADMIN, "org.read", { org: "default" })).toBeUndefined();
  });

  test("an admin without a live key does not count as one who stands in", async () => {
    const alice = await room.principal("person:alice", { default: "admin" });
    await room.append("access.revoke-api-key", SYSTEM_ORG, { id: alice.keyId, principal: "person:alice" });
    expect(refusalCode(await room.append("access.disable-bootstrap", SYSTEM_ORG, {}))).toBe("last-admin");
  });
});
