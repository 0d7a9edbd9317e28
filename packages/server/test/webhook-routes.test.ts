/** Webhooks over HTTP, from a real push to a real endpoint, on a whole server. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { openRaw, placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";
import { s3Of } from "./stored-blobs.ts";
import { isSigned, type Receiver, startReceiver } from "./webhook-receiver.ts";

const API = "/api/assay/v1";
const HOOKS = `${API}/orgs/acme/webhooks`;

let receiver: Receiver;
let instance: Instance;
let admin: string;
let member: string;
let stranger: string;

type Answer = { readonly status: number; readonly body: Record<string, unknown> };

async function call(method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  return (await instance.api(method, path, body, token)) as Answer;
}

async function must(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>> {
  const answer = await call(method, path, body, token);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const code = (answer: Answer): unknown => (answer.body["error"] as { code?: unknown } | undefined)?.code;

async function person(name: string, org: string, role: string): Promise<string> {
  await must("POST", `${API}/people`, { name });
  await must("PUT", `${API}/orgs/${org}/members/person/${name}`, { role });
  return String((await must("POST", `${API}/people/${name}/keys`, { label: "x" }))["key"]);
}

beforeAll(async () => {
  receiver = await startReceiver();
  instance = await startInstance({ egressPrivate: [receiver.host] });
  for (const name of ["acme", "riva"]) await must("POST", `${API}/orgs`, { name });
  admin = await person("alice", "acme", "admin");
  member = await person("bob", "acme", "member");
  stranger = await person("carol", "riva", "admin");
});

afterAll(async () => {
  await instance.stop();
  await receiver.stop();
});

/** Everything in the database and the key files, as text. */
async function everythingStored(): Promise<string> {
  const raw = await openRaw(instance.dataDirectory);
  const rows: unknown[] = [];
  for (const table of ["event", "webhook", "webhook_cursor", "webhook_delivery", "job"]) {
    for (const row of await raw.all(`select * from ${table}`)) {
      rows.push(
        Object.values(row).map((value) =>
          value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value,
        ),
      );
    }
  }
  await raw.close();
  return JSON.stringify(rows) + (await readFile(join(instance.dataDirectory, "keys", "webhook.key.json"), "utf8"));
}

describe("a webhook", () => {
  let secret: string;

  it("is made by an admin, and its secret is shown this once", async () => {
    const made = await call("POST", HOOKS, { name: "ci", url: receiver.url, kinds: ["push", "tag"] }, admin);
    expect(made.status).toBe(201);
    const { secret: shown, ...rest } = made.body;
    secret = String(shown);
    expect(secret).toMatch(/^whsec_/);
    expect(rest).toMatchObject({
      name: "ci",
      url: receiver.url,
      kinds: ["push", "tag"],
      repositories: null,
      format: "cloudevents",
      formerSecretUntil: null,
      next: null,
      setBy: "person:alice",
    });
    const listed = await must("GET", HOOKS, undefined, admin);
    const one = await must("GET", `${HOOKS}/ci`, undefined, admin);
    expect(listed["items"]).toEqual([one]);
    const answers = JSON.stringify([listed, one, await must("GET", `${API}/orgs/acme/record?limit=1000`)]);
    expect(answers).not.toContain(secret.slice("whsec_".length));
    expect(one).not.toHaveProperty("secret");
    const stored = await everythingStored();
    const bytes = Buffer.from(secret.slice("whsec_".length), "base64");
    for (const form of [secret, bytes.toString("hex"), bytes.toString("base64"), bytes.toString("latin1")]) {
      expect(stored).not.toContain(form);
    }
  });

  it("is an admin's alone: members and strangers are refused, strangers as for what is not there", async () => {
    const body = { name: "mine", url: receiver.url, kinds: ["push"] };
    for (const [method, path, json] of [
      ["POST", HOOKS, body],
      ["GET", HOOKS, undefined],
      ["GET", `${HOOKS}/ci`, undefined],
      ["PUT", `${HOOKS}/ci`, { url: receiver.url, kinds: ["push"] }],
      ["DELETE", `${HOOKS}/ci`, undefined],
      ["POST", `${HOOKS}/ci/rotate`, {}],
      ["GET", `${HOOKS}/ci/deliveries`, undefined],
      ["POST", `${HOOKS}/ci/replay`, { from: 0 }],
      ["POST", `${HOOKS}/ci/test`, undefined],
    ] as const) {
      expect((await call(method, path, json, member)).status, `${method} ${path}`).toBe(403);
      expect(code(await call(method, path, json, stranger)), `${method} ${path}`).toBe("org-unknown");
    }
    expect(receiver.received).toEqual([]);
  });

  it("is refused where it makes no sense", async () => {
    const good = { name: "x", url: receiver.url, kinds: ["push"] };
    for (const [wrong, status] of [
      [{ ...good, url: "ftp://example.com/" }, 400],
      [{ ...good, url: "https://user:secret@example.com/" }, 400],
      [{ ...good, url: "https://example.com/#x" }, 400],
      [{ ...good, url: "nowhere" }, 400],
      [{ ...good, kinds: [] }, 400],
      [{ ...good, kinds: ["push", "push"] }, 400],
      [{ ...good, kinds: ["mood"] }, 400],
      [{ ...good, repositories: ["riva/**"] }, 400],
      [{ ...good, repositories: ["**"] }, 400],
      [{ ...good, name: "../x" }, 400],
      [{ ...good, more: 1 }, 400],
      [{ ...good, name: "ci" }, 409],
    ] as const) {
      expect((await call("POST", HOOKS, wrong, admin)).status, JSON.stringify(wrong)).toBe(status);
    }
  });

  it("is told of a push as it happens, signed with the secret that was shown", async () => {
    const { manifest } = await pushImage(instance.url, "acme/app", "1.0.0-dev", randomBytes(10));
    await receiver.until(2);
    const [pushed, tagged] = receiver.received;
    if (pushed === undefined || tagged === undefined) throw new Error("nothing came");
    expect(pushed.event).toMatchObject({
      type: "dev.assay.artifact.pushed",
      subject: `acme/app@${manifest}`,
      data: { repository: "acme/app", digest: manifest, org: "acme", actor: "admin" },
    });
    expect(tagged.event).toMatchObject({ type: "dev.assay.tag.set", data: { tag: "1.0.0-dev", previous: null } });
    expect([await isSigned(pushed, secret), await isSigned(tagged, secret)]).toEqual([true, true]);
  });

  it("is sent a test at once, which stands in no list", async () => {
    const before = receiver.received.length;
    expect(await must("POST", `${HOOKS}/ci/test`, undefined, admin)).toMatchObject({ taken: true, status: 204 });
    const message = receiver.received[before];
    if (message === undefined) throw new Error("nothing came");
    expect(message.event).toMatchObject({ type: "dev.assay.webhook.test", data: { webhook: "ci" } });
    expect(await isSigned(message, secret)).toBe(true);
    receiver.answer = (response) => response.writeHead(403).end("what the address has to say");
    const refused = await must("POST", `${HOOKS}/ci/test`, undefined, admin);
    receiver.answer = undefined;
    expect(refused).toMatchObject({ taken: false, status: 403, error: "it answered 403" });
    expect(JSON.stringify(refused)).not.toContain("what the address");
  });

  it("lists what it was told, page by page and by state", async () => {
    const { items, next } = await must("GET", `${HOOKS}/ci/deliveries?limit=1`, undefined, admin);
    expect(items).toMatchObject([{ type: "dev.assay.tag.set", state: "delivered", attempts: 1, status: 204 }]);
    const rest = await must("GET", `${HOOKS}/ci/deliveries?cursor=${String(next)}`, undefined, admin);
    expect(rest).toMatchObject({ items: [{ type: "dev.assay.artifact.pushed" }], next: null });
    expect((await must("GET", `${HOOKS}/ci/deliveries?state=dead`, undefined, admin))["items"]).toEqual([]);
  });

  it("is told again: one delivery, or all from an event on; and that is recorded", async () => {
    const { items } = await must("GET", `${HOOKS}/ci/deliveries`, undefined, admin);
    const [tag, push] = items as { sequence: number; id: string }[];
    const before = receiver.received.length;
    const replayed = await must("POST", `${HOOKS}/ci/replay`, { delivery: tag?.sequence }, admin);
    await receiver.until(before + 1);
    expect(receiver.received.at(-1)?.event["id"]).toBe(tag?.id);
    const { sequence } = replayed["receipt"] as { sequence: number };
    expect(await must("GET", `${API}/record/${sequence}`)).toMatchObject({
      event: { type: "webhooks.replayed", actor: "person:alice", body: { name: "ci", only: true } },
    });
    await must("POST", `${HOOKS}/ci/replay`, { from: push?.sequence }, admin);
    await receiver.until(before + 3);
    expect(receiver.received.slice(before + 1).map(({ event }) => event["id"])).toEqual([push?.id, tag?.id]);
    expect(code(await call("POST", `${HOOKS}/ci/replay`, { delivery: 1 }, admin))).toBe("delivery-unknown");
    expect((await call("POST", `${HOOKS}/ci/replay`, {}, admin)).status).toBe(400);
  });

  it("keeps its secret over a restart, and signs with both while it changes", async () => {
    await instance.restart();
    const rotated = await must("POST", `${HOOKS}/ci/rotate`, { overlapMs: 60_000 }, admin);
    const before = receiver.received.length;
    await must("POST", `${HOOKS}/ci/test`, undefined, admin);
    const message = receiver.received[before];
    if (message === undefined) throw new Error("nothing came");
    expect([await isSigned(message, secret), await isSigned(message, String(rotated["secret"]))]).toEqual([true, true]);
    expect(await must("GET", `${HOOKS}/ci`, undefined, admin)).toMatchObject({
      formerSecretUntil: rotated["formerUntil"],
    });
  });

  it("is told of deletions, evidence and decisions when it asks, in the format it asks for", async () => {
    const settings = { url: receiver.url, kinds: ["delete", "evidence", "decision"], format: "cdevents" };
    await must("PUT", `${HOOKS}/ci`, settings, admin);
    expect((await must("PUT", `${HOOKS}/ci`, settings, admin))["receipt"]).toBeNull();
    const before = receiver.received.length;
    const { manifest } = await pushImage(instance.url, "acme/app", "2.0.0-dev", randomBytes(10));
    await must("POST", `${API}/orgs/acme/reports`, {
      subject: manifest,
      predicateType: "https://example.com/r",
      predicate: { words: "SECRET WORDS" },
      repository: "app",
    });
    const yaml =
      "version: 1\nname: p\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/r', identities: [x] }\n";
    await must("PUT", `${API}/orgs/acme/policies/p`, { yaml });
    await must("POST", `${API}/decisions`, { org: "acme", digest: manifest, policy: { name: "p" } });
    // What has evidence is deleted with a reason, which is not told.
    const deletions = `${API}/orgs/acme/repositories/app/deletions`;
    await must("POST", deletions, { tag: "2.0.0-dev" });
    await must("POST", deletions, { digest: manifest, reason: "SECRET WORDS" });
    await receiver.until(before + 4);
    const came = receiver.received.slice(before);
    expect(came.map(({ event }) => event["type"])).toEqual([
      "dev.cdeventsx.assay-evidence.added.0.1.0",
      "dev.cdeventsx.assay-decision.denied.0.1.0",
      "dev.cdeventsx.assay-tag.deleted.0.1.0",
      "dev.cdevents.artifact.deleted.0.2.0",
    ]);
    expect(JSON.stringify(came)).not.toContain("SECRET WORDS");
  });

  it("tells nobody what happens in another organisation", async () => {
    const before = receiver.received.length;
    await must("POST", `${API}/orgs/riva/webhooks`, { name: "all", url: receiver.url, kinds: ["push"] }, stranger);
    await pushImage(instance.url, "riva/app", "1.0.0-dev", randomBytes(10));
    await receiver.until(before + 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(receiver.received.slice(before).map(({ event }) => (event["data"] as { org: string }).org)).toEqual([
      "riva",
    ]);
    expect(code(await call("GET", `${HOOKS}/all`, undefined, admin))).toBe("webhook-unknown");
  });

  it("goes on where it was, with its secret, after a rebuild", async () => {
    const hook = `${API}/orgs/acme/webhooks/kept`;
    const made = await must("POST", HOOKS, { name: "kept", url: receiver.url, kinds: ["push"] }, admin);
    const toldOf = async (tag: string): Promise<string> => {
      const before = receiver.received.length;
      const { manifest } = await pushImage(instance.url, "acme/kept", tag, randomBytes(10));
      await receiver.until(before + 1);
      const delivered = (): Promise<Record<string, unknown>> =>
        must("GET", `${hook}/deliveries?state=delivered&limit=1`, undefined, admin);
      while (JSON.stringify(await delivered()).includes(String(receiver.received[before]?.event["id"])) === false) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // Nothing of before comes again: the one message is of this push.
      expect(receiver.received.slice(before).map(({ event }) => event["subject"])).toEqual([`acme/kept@${manifest}`]);
      const [message] = receiver.received.slice(before);
      return message !== undefined && (await isSigned(message, String(made["secret"]))) ? "signed" : "not signed";
    };
    expect(await toldOf("1.0.0-dev")).toBe("signed");
    const place = await placeOf(instance.dataDirectory);
    await instance.halt();
    await rebuildDirectory({ ...place, tell: () => undefined });
    const check = await checkDirectory({ ...place, s3: s3Of(place.dataDirectory), tell: () => undefined });
    expect(check.findings).toEqual([]);
    await instance.restart();
    expect(await toldOf("2.0.0-dev")).toBe("signed");
    expect(await must("GET", hook, undefined, admin)).toMatchObject({ name: "kept", next: null });
  });

  it("is not asked once its host may not be asked any more, and says why", async () => {
    await instance.restart({ egressPrivate: [] });
    const refused = await must("POST", `${HOOKS}/ci/test`, undefined, admin);
    expect(refused).toMatchObject({ taken: false, status: null });
    expect(refused["error"]).toMatch(/is not asked: its address is not a public one/);
    await instance.restart({ egressPrivate: [receiver.host] });
  });

  it("is counted", async () => {
    const answer = await fetch(`${instance.url}/metrics`, {
      headers: { authorization: `Bearer ${instance.adminToken}` },
    });
    expect(await answer.text()).toContain("assay_webhook_attempts_total");
  });

  it("is gone when it is removed, and its name is free", async () => {
    await must("DELETE", `${HOOKS}/ci`, undefined, admin);
    expect(code(await call("GET", `${HOOKS}/ci`, undefined, admin))).toBe("webhook-unknown");
    expect(code(await call("DELETE", `${HOOKS}/ci`, undefined, admin))).toBe("webhook-unknown");
    const again = await must("POST", HOOKS, { name: "ci", url: receiver.url, kinds: ["push"] }, admin);
    expect((await must("GET", `${HOOKS}/ci/deliveries`, undefined, admin))["items"]).toEqual([]);
    expect(again["secret"]).toMatch(/^whsec_/);
  });
});
