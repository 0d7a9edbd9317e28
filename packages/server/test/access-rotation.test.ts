/** Keys that follow one another: rotation with grace. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SYSTEM_ORG } from "../src/record/command.ts";
import { type AccessRoom, ADMIN_TOKEN, errorCode, openAccessRoom } from "./access-room.ts";

let room: AccessRoom;

beforeEach(async () => {
  room = await openAccessRoom(["acme", "rival"]);
});

afterEach(async () => {
  await room.stop();
});

const KEYS = "/api/assay/v1/orgs/acme/service-accounts/ci/keys";
const works = async (key: string): Promise<boolean> =>
  (await room.request("GET", "/api/assay/v1/whoami", key)).status === 200;
const rotate = (id: string, body: object = {}, token = ADMIN_TOKEN) =>
  room.request("POST", `${KEYS}/${id}/rotate`, token, body);

describe("rotating a key", () => {
  test("gives a new one, and the old one works until the grace ends, to the millisecond", async () => {
    const old = await room.principal("service:acme/ci", { acme: "member" });
    const answer = await rotate(old.keyId, { graceSeconds: 3600 });
    expect(answer.status).toBe(201);
    expect(answer.headers["cache-control"]).toBe("no-store");
    const { key, id, oldWorksUntil } = answer.body as { key: string; id: string; oldWorksUntil: number };
    expect(answer.body).toMatchObject({ replaces: old.keyId, principal: "service:acme/ci", expires: null });
    expect([await works(old.key), await works(key)]).toEqual([true, true]);
    const { items } = (await room.request("GET", KEYS, ADMIN_TOKEN)).body as { items: Record<string, unknown>[] };
    expect(items).toMatchObject([
      { id: old.keyId, replacedBy: id, expires: oldWorksUntil },
      { id, replacedBy: null, expires: null },
    ]);
    room.clock.now = oldWorksUntil - 1;
    expect(await works(old.key)).toBe(true);
    room.clock.now = oldWorksUntil;
    expect([await works(old.key), await works(key)]).toEqual([false, true]);
  });

  test("without grace ends the old one, and the registry tokens made with it, at once", async () => {
    const old = await room.principal("service:acme/ci", { acme: "member" });
    const bought = await room.app.inject({
      url: "/v2/token?scope=repository:acme/app:pull",
      headers: { authorization: `Bearer ${old.key}` },
    });
    const { token } = bought.json<{ token: string }>();
    expect((await room.authenticator.withToken(token)).id).toBe("service:acme/ci");
    expect((await rotate(old.keyId, { graceSeconds: 0 })).status).toBe(201);
    expect(await works(old.key)).toBe(false);
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
  });

  test("with less grace than a registry token lives voids those too", async () => {
    const old = await room.principal("service:acme/ci", { acme: "member" });
    const bought = await room.app.inject({
      url: "/v2/token?scope=repository:acme/app:pull",
      headers: { authorization: `Bearer ${old.key}` },
    });
    const { token } = bought.json<{ token: string }>();
    expect((await rotate(old.keyId, { graceSeconds: 60 })).status).toBe(201);
    await expect(room.authenticator.withToken(token)).rejects.toMatchObject({ status: 401 });
    expect(await works(old.key)).toBe(true);
  });

  test("makes the new one last as long as the old one was made for, unless told otherwise", async () => {
    const lifetime = 30 * 86_400_000;
    const { keyId } = await room.principal("service:acme/ci", {}, Date.now() + lifetime);
    const { body } = await rotate(keyId);
    expect(Number(body["expires"]) - Number(body["created"])).toBeGreaterThan(lifetime - 60_000);
    expect(Number(body["expires"]) - Number(body["created"])).toBeLessThanOrEqual(lifetime);
    const shorter = await rotate(String(body["id"]), { expiresInDays: 1 });
    expect(Number(shorter.body["expires"]) - Number(shorter.body["created"])).toBeLessThanOrEqual(86_400_000 + 60_000);
    const forever = await rotate(String(shorter.body["id"]), { expiresInDays: null });
    expect(forever.body["expires"]).toBeNull();
  });

  test("never lengthens the old one's life", async () => {
    const ends = Date.now() + 60_000;
    const { keyId } = await room.principal("service:acme/ci", {}, ends);
    expect((await rotate(keyId, { graceSeconds: 86_400 })).body["oldWorksUntil"]).toBe(ends);
  });

  test("with one's own key gives none that outlives it: a stolen key does not make itself last", async () => {
    const ends = Date.now() + 86_400_000;
    const alice = await room.principal("person:alice", {}, ends);
    const path = `/api/assay/v1/people/alice/keys/${alice.keyId}/rotate`;
    const answer = await room.request("POST", path, alice.key, { graceSeconds: 60, expiresInDays: null });
    expect([answer.status, answer.body["expires"]]).toEqual([201, ends]);
  });

  test("happens once: a second time it says which key follows; one that ended is not rotated", async () => {
    const { keyId } = await room.principal("service:acme/ci", {});
    const first = await rotate(keyId);
    const again = await rotate(keyId);
    expect([again.status, errorCode(again)]).toEqual([409, "key-rotated"]);
    expect(again.text).toContain(String(first.body["id"]));
    const next = String(first.body["id"]);
    await room.request("DELETE", `${KEYS}/${next}`, ADMIN_TOKEN);
    expect(errorCode(await rotate(next))).toBe("key-ended");
  });

  test("is for those who administer the account; another's key is not there", async () => {
    const { keyId } = await room.principal("service:acme/ci", { acme: "member" });
    const member = await room.principal("person:alice", { acme: "member" });
    const stranger = await room.principal("person:mallory", { rival: "admin" });
    expect(errorCode(await rotate(keyId, {}, member.key))).toBe("forbidden");
    expect(errorCode(await rotate(keyId, {}, stranger.key))).toBe("org-unknown");
    const elsewhere = `/api/assay/v1/people/alice/keys/${keyId}/rotate`;
    expect(errorCode(await room.request("POST", elsewhere, ADMIN_TOKEN, {}))).toBe("key-unknown");
    for (const graceSeconds of [-1, 0.5, 90 * 86_400 + 1, "60"]) {
      expect((await rotate(keyId, { graceSeconds })).status, String(graceSeconds)).toBe(400);
    }
  });
});

describe("the bootstrap admin's token", () => {
  test("is counted at every use, and each hour's uses become an event once the hour is over, once", async () => {
    await room.request("GET", "/api/assay/v1/people", ADMIN_TOKEN);
    await room.request("GET", "/api/assay/v1/people", ADMIN_TOKEN);
    await room.request("GET", "/api/assay/v1/orgs/nowhere", ADMIN_TOKEN);
    await room.app.inject({
      method: "POST",
      url: "/v2/token",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      payload: new URLSearchParams({ grant_type: "password", username: "admin", password: ADMIN_TOKEN }).toString(),
    });
    await room.request("GET", "/api/assay/v1/whoami");
    await room.authenticator.flush();
    const { body } = await room.request("GET", "/api/assay/v1/bootstrap-admin", ADMIN_TOKEN);
    const uses = body["uses"] as { route: string; count: number }[];
    expect(Object.fromEntries(uses.map(({ route, count }) => [route, count]))).toEqual({
      "GET /api/assay/v1/orgs/:org": 1,
      "GET /api/assay/v1/people": 2,
      "POST /v2/token": 1,
    });
    const record = () =>
      room.writer.append({
        type: "access.record-bootstrap-uses",
        org: SYSTEM_ORG,
        actor: { id: "system", credential: { kind: "system" } },
        body: {},
      });
    // This hour is not over.
    expect(await record()).toMatchObject({ ok: true, receipts: [] });
    const hour = Math.floor(Date.now() / 3_600_000) - 2;
    await room.writer.operate("access.count-bootstrap-uses", { uses: [{ hour, route: "GET /x", count: 3 }] });
    expect((await record()).ok && (await record())).toMatchObject({ ok: true, receipts: [] });
    // Counts that come late are recorded by themselves.
    await room.writer.operate("access.count-bootstrap-uses", { uses: [{ hour, route: "GET /x", count: 1 }] });
    const late = await record();
    expect(late.ok && late.receipts.length).toBe(1);
    expect(await record()).toMatchObject({ ok: true, receipts: [] });
  });

  test("nobody but the service itself records its uses", async () => {
    const appended = await room.append("access.record-bootstrap-uses", SYSTEM_ORG, {});
    expect(appended).toMatchObject({ ok: false, refusal: { code: "forbidden" } });
  });
});
