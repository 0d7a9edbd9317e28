import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerError } from "../src/errors.ts";
import { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import { WEBHOOK_LIMITS } from "../src/webhooks/limits.ts";
import { orgSequenceBefore } from "../src/webhooks/queries.ts";
import { newSecretId, secretBytes, shownSecret } from "../src/webhooks/secret.ts";
import { temporaryDirectory } from "./core.ts";
import { idsOf, isSigned, type Receiver, startReceiver } from "./webhook-receiver.ts";
import { openWebhookRoom, until, type WebhookRoom } from "./webhook-room.ts";

let receiver: Receiver;
let room: WebhookRoom;

beforeEach(async () => {
  receiver = await startReceiver();
  room = await openWebhookRoom([receiver.host]);
});

afterEach(async () => {
  await room.dispose();
  await receiver.stop();
});

const stateOf = async (sequence: number, name = "ci"): Promise<string | undefined> =>
  (await room.deliveries(name)).find((delivery) => delivery.sequence === sequence)?.state;

/** Lets the clock run until something holds: each round is longer than any back-off, and none takes a lease away from a run under way. */
async function passUntil(holds: () => Promise<boolean>): Promise<void> {
  await until(async () => {
    if (await holds()) return true;
    if (await room.idle()) room.pass(3_600_000);
    await new Promise((resolve) => setTimeout(resolve, 30));
    return false;
  });
}

describe("deliveries", () => {
  it("tell an endpoint everything from its making on, in the record's order, each once", async () => {
    await room.push("before-dev");
    await room.webhook("ci", receiver.url);
    for (let count = 0; count < 10; count += 1) await room.push(`${count}-dev`);
    await receiver.until(20);
    const sequences = receiver.received.map(({ event }) => Number(event["sequence"]));
    expect(sequences).toEqual([...new Set(sequences)].toSorted((a, b) => a - b));
    expect(idsOf(receiver)).toEqual(sequences.map((sequence) => `acme/${sequence}`));
    const types = receiver.received.map(({ event }) => event["type"]);
    expect(types).toEqual(Array.from({ length: 10 }, () => ["dev.assay.artifact.pushed", "dev.assay.tag.set"]).flat());
    expect((await room.deliveries("ci")).every(({ state, attempts }) => state === "delivered" && attempts === 1)).toBe(
      true,
    );
  });

  it("wait for the one before them, however often it fails, and are tried again after a 500", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    let failing = 3;
    receiver.answer = (response) => response.writeHead(failing-- > 0 ? 500 : 200).end("no body is read");
    const first = await room.push("1-dev");
    const second = await room.push("2-dev");
    await receiver.until(1);
    await until(async () => (await stateOf(first - 1)) === "failed");
    expect((await room.deliveries("ci"))[0]).toMatchObject({ state: "failed", status: 500, error: "it answered 500" });
    expect(await stateOf(second - 1)).toBeUndefined();
    await passUntil(async () => (await stateOf(second - 1)) === "delivered");
    expect(idsOf(receiver)).toEqual([...Array.from({ length: 4 }, () => `acme/${first - 1}`), `acme/${second - 1}`]);
    expect(new Set(receiver.received.slice(0, 4).map(({ body }) => body)).size).toBe(1);
    expect((await room.deliveries("ci"))[0]).toMatchObject({
      state: "delivered",
      status: 200,
      attempts: 4,
      error: null,
    });
  });

  it("are tried again when an endpoint does not answer in time, breaks the connection, or redirects", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const tricks: NonNullable<Receiver["answer"]>[] = [
      () => undefined,
      (response) => void response.destroy(),
      (response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    ];
    const errors: (string | null)[] = [];
    receiver.answer = (response, request) => {
      const trick = tricks.shift();
      if (trick === undefined) response.writeHead(200).end();
      else trick(response, request);
    };
    await room.push("1-dev");
    for (const count of [1, 2, 3]) {
      await until(async () => (await room.deliveries("ci"))[0]?.attempts === count && (await room.idle()));
      errors.push((await room.deliveries("ci"))[0]?.error ?? null);
      room.pass(3_600_000);
    }
    await passUntil(async () => (await room.deliveries("ci"))[0]?.state === "delivered");
    expect(errors.map((error) => error?.replaceAll(receiver.host, "HOST"))).toEqual([
      "http://HOST gave no answer that can be used: it took too long",
      "http://HOST gave no answer that can be used: it cannot be reached",
      "it redirects (302), which is not followed",
    ]);
  });

  it("die after their last attempt, let the next pass, and can be replayed", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const dead = (await room.push("1-dev")) - 1;
    receiver.answer = (response, { event }) => response.writeHead(event["id"] === `acme/${dead}` ? 503 : 200).end();
    await passUntil(async () => (await stateOf(dead)) === "dead");
    expect((await room.deliveries("ci"))[0]).toMatchObject({ attempts: WEBHOOK_LIMITS.attempts, status: 503 });
    const next = (await room.push("2-dev")) - 1;
    await until(async () => (await stateOf(next)) === "delivered");
    expect(await stateOf(dead)).toBe("dead");
    // It is the organisation's dead letter: among the operator's, who can do nothing about it, it would take the others' room.
    expect(await room.jobs("dead")).toEqual([]);
    receiver.answer = undefined;
    const webhook = (await room.deliveries("ci"))[0]?.webhook ?? -1;
    await room.record.operate("webhooks.again", { org: "acme", webhook, sequence: dead });
    room.pass(0);
    await until(async () => (await stateOf(dead)) === "delivered");
    expect(idsOf(receiver).at(-1)).toBe(`acme/${dead}`);
  });

  it("are made again, from an event on, in order and under the same ids, when an endpoint is sent back", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["tag"] });
    const sequences = [await room.push("1-dev"), await room.push("2-dev"), await room.push("3-dev")];
    await receiver.until(3);
    const webhook = (await room.deliveries("ci"))[0]?.webhook ?? -1;
    await until(async () => (await room.deliveries("ci")).length === 3);
    const position = await orgSequenceBefore(room.reader, "acme", sequences[1] ?? 0);
    await room.record.operate("webhooks.rewind", { org: "acme", webhook, position });
    await room.look();
    await receiver.until(5);
    expect(idsOf(receiver)).toEqual([...sequences, ...sequences.slice(1)].map((sequence) => `acme/${sequence}`));
  });

  it("come a second time under the same id when the process dies between the answer and the cursor", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    let crashes = 1;
    room.fault = (type) => {
      if (type === "webhooks.settle" && crashes-- > 0) throw new ServerError("writer-stopped", "crashed here");
    };
    const sequence = (await room.push("1-dev")) - 1;
    await receiver.until(1);
    await passUntil(async () => (await stateOf(sequence)) === "delivered");
    expect(idsOf(receiver)).toEqual([`acme/${sequence}`, `acme/${sequence}`]);
    expect(receiver.received[0]?.body).toBe(receiver.received[1]?.body);
    expect(receiver.received[0]?.headers["webhook-id"]).toBe(receiver.received[1]?.headers["webhook-id"]);
  });

  it("go on after a process that died having settled one and not looked for the next", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    let crashed = false;
    room.fault = (type) => {
      if (type === "webhooks.advance" && receiver.received.length === 1 && !crashed) {
        crashed = true;
        throw new ServerError("writer-stopped", "crashed here");
      }
    };
    await room.push("1-dev");
    await room.push("2-dev");
    await receiver.until(1);
    await passUntil(async () => (await room.deliveries("ci")).length === 2);
    expect(new Set(idsOf(receiver)).size).toBe(2);
  });

  it("are of the organisation's own events, in the repositories and of the kinds asked for when they came", async () => {
    await room.append("access.create-organisation", { name: "riva" }, "riva");
    await room.webhook("ci", receiver.url, { kinds: ["push"], repositories: ["acme/team/**"] });
    await room.push("1-dev", "riva/team/app");
    await room.push("1-dev", "acme/app");
    const told = await room.push("1-dev", "acme/team/app");
    await receiver.until(1);
    await room.push("2-dev", "acme/app");
    const change = { name: "ci", url: receiver.url, repositories: null, format: "cloudevents" };
    await room.append("webhooks.change", { ...change, kinds: ["push"] });
    const later = await room.push("3-dev", "acme/app");
    await receiver.until(2);
    await room.look();
    expect(idsOf(receiver)).toEqual([`acme/${told - 1}`, `acme/${later - 1}`]);
  });

  it("go to every endpoint, and one that fails holds up no other", async () => {
    const other = await startReceiver();
    await room.dispose();
    room = await openWebhookRoom([receiver.host, other.host]);
    try {
      receiver.answer = (response) => response.writeHead(500).end();
      await room.webhook("ci", receiver.url, { kinds: ["push"] });
      await room.webhook("chat", other.url, { kinds: ["push"] });
      for (const tag of ["1-dev", "2-dev", "3-dev"]) await room.push(tag);
      await other.until(3);
      expect(new Set(idsOf(receiver)).size).toBe(1);
    } finally {
      await other.stop();
    }
  });

  it("end with the endpoint: what waits is not sent any more", async () => {
    receiver.answer = (response) => response.writeHead(500).end();
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    await room.push("1-dev");
    await receiver.until(1);
    await until(async () => (await room.deliveries("ci")).length === 1);
    await room.append("webhooks.remove", { name: "ci" });
    for (let round = 0; round < 5; round += 1) {
      if (await room.idle()) room.pass(3_600_000);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(receiver.received).toHaveLength(1);
    // Another endpoint of the same name is another: it is told nothing of before.
    receiver.answer = undefined;
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const sequence = (await room.push("2-dev")) - 1;
    await receiver.until(2);
    expect(idsOf(receiver).at(-1)).toBe(`acme/${sequence}`);
  });
});

describe("a signature", () => {
  it("is of the endpoint's own secret, over the very bytes", async () => {
    const secret = await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const other = await room.webhook("chat", receiver.url, { kinds: ["decision"] });
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    await room.push("1-dev");
    await receiver.until(1);
    const [message] = receiver.received;
    if (message === undefined) throw new Error("nothing came");
    expect(await isSigned(message, secret)).toBe(true);
    expect(await isSigned(message, other)).toBe(false);
    expect(await isSigned({ ...message, body: message.body.replace("acme", "evil") }, secret)).toBe(false);
    expect(message.headers["webhook-id"]).toBe(message.event["id"]);
  });

  it("is of both secrets while they change, and of the new one alone after", async () => {
    const former = await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const secret = newSecretId();
    const coming = shownSecret(secretBytes(room.keyring, "acme", secret));
    await room.append("webhooks.rotate-secret", { name: "ci", secret, overlap: 60_000 });
    await room.push("1-dev");
    await receiver.until(1);
    const [both] = receiver.received;
    if (both === undefined) throw new Error("nothing came");
    expect([await isSigned(both, former), await isSigned(both, coming)]).toEqual([true, true]);
    await room.append("webhooks.rotate-secret", { name: "ci", secret: newSecretId(), overlap: 0 });
    await room.push("2-dev");
    await receiver.until(2);
    const [, alone] = receiver.received;
    if (alone === undefined) throw new Error("nothing came");
    expect([await isSigned(alone, former), await isSigned(alone, coming)]).toEqual([false, false]);
  });
});

describe("a secret", () => {
  it("is another for every name, organisation and service, and stays the same when the master key changes", async () => {
    const directory = await temporaryDirectory();
    const [master, next] = [new MasterKey(randomBytes(32)), new MasterKey(randomBytes(32))];
    await Keyring.create(directory.path, master, "webhook");
    const secretsOf = (keyring: Keyring): string[] =>
      [secretBytes(keyring, "acme", "a"), secretBytes(keyring, "acme", "b"), secretBytes(keyring, "riva", "a")].map(
        shownSecret,
      );
    const before = secretsOf(Keyring.open(directory.path, master));
    expect(await Keyring.reseal(directory.path, "webhook.key.json", master, next)).toBe(true);
    expect(secretsOf(Keyring.open(directory.path, next))).toEqual(before);
    expect(new Set([...before, ...secretsOf(room.keyring)]).size).toBe(6);
    await directory.dispose();
  });
});

describe("what may not be asked", () => {
  it("is not asked: private addresses, plain http, names of private addresses", async () => {
    await room.dispose();
    room = await openWebhookRoom([]);
    const urls = [receiver.url, "https://10.0.0.1/hook", "https://169.254.169.254/latest", "http://8.8.8.8/hook"];
    for (const [at, url] of urls.entries()) await room.webhook(`w${at}`, url, { kinds: ["push"] });
    await room.push("1-dev");
    for (const at of urls.keys()) {
      await until(async () => (await room.deliveries(`w${at}`))[0]?.state === "failed");
      expect((await room.deliveries(`w${at}`))[0]?.error).toMatch(/is not asked: (?:its address is not|http is not)/);
    }
    expect(receiver.received).toEqual([]);
  });
});

it("tells no log, and no error, a secret or the path of a URL", async () => {
  receiver.answer = (response) => response.writeHead(500).end("the answer's body");
  const secret = await room.webhook("ci", `${receiver.url}/token-in-path?key=in-query`, { kinds: ["push"] });
  await room.push("1-dev");
  await until(async () => room.logged.length > 0);
  receiver.answer = (response) => void response.destroy();
  await passUntil(async () => (await room.deliveries("ci"))[0]?.status === null);
  await until(async () => room.logged.length > 1);
  const told = JSON.stringify([room.logged, await room.deliveries("ci")]);
  for (const words of [secret, secret.slice(6), "token-in-path", "in-query", "answer's body"]) {
    expect(told).not.toContain(words);
  }
});
