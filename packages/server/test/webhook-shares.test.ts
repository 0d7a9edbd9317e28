/** What one organisation's webhooks may take from another's: nothing. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JOB_LIMITS } from "../src/jobs/limits.ts";
import { WEBHOOK_LIMITS } from "../src/webhooks/limits.ts";
import { Places } from "../src/webhooks/places.ts";
import { currentWebhook, cursorOf } from "../src/webhooks/queries.ts";
import { forgetLostDeliveries } from "../src/webhooks/restored.ts";
import { idsOf, type Receiver, startReceiver } from "./webhook-receiver.ts";
import { openWebhookRoom, until, type WebhookRoom } from "./webhook-room.ts";

let receiver: Receiver;
let slow: Receiver;
let room: WebhookRoom;

beforeEach(async () => {
  receiver = await startReceiver();
  slow = await startReceiver();
  room = await openWebhookRoom([receiver.host, slow.host], 20_000);
  await room.append("access.create-organisation", { name: "riva" }, "riva");
});

afterEach(async () => {
  await slow.stop();
  await room.dispose();
  await receiver.stop();
});

const idOf = async (name: string, org = "acme"): Promise<number> =>
  (await currentWebhook(room.reader, org, name))?.id ?? -1;

describe("an organisation whose endpoints never answer", () => {
  it("holds so many places, and another's message goes out meanwhile", async () => {
    slow.answer = () => undefined;
    for (let count = 0; count < WEBHOOK_LIMITS.perOrganisation; count += 1) {
      await room.webhook(`w${count}`, slow.url, { kinds: ["push"] });
    }
    await room.webhook("ci", receiver.url, { kinds: ["push"] }, "riva");
    await room.push("1-dev");
    await slow.until(WEBHOOK_LIMITS.atOncePerOrganisation);
    const sequence = await room.push("1-dev", "riva/app");
    await receiver.until(1, 5_000);
    expect(idsOf(receiver)).toEqual([`riva/${sequence - 1}`]);
    expect(slow.received).toHaveLength(WEBHOOK_LIMITS.atOncePerOrganisation);
  });
});

describe("an organisation that asks for very many messages again", () => {
  it("is told when its part of the queue is full, and another's part is not", async () => {
    slow.answer = () => undefined;
    await room.webhook("ci", slow.url, { kinds: ["push"] });
    await room.webhook("ci", slow.url, { kinds: ["push"] }, "riva");
    const again = async (org: string, sequence: number): Promise<unknown> =>
      await room.record.operate("webhooks.again", { org, webhook: await idOf("ci", org), sequence });
    let made = 0;
    while (JSON.stringify(await again("acme", made)) === '{"made":true}') made += 1;
    expect(made).toBe(JOB_LIMITS.openPerLane);
    expect(await again("riva", 0)).toEqual({ made: true });
  });
});

describe("an endpoint that is told little of much", () => {
  it("looks so far in one turn, and goes on after others had theirs", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["decision"] });
    const most = WEBHOOK_LIMITS.scanStep * WEBHOOK_LIMITS.stepsAtOnce;
    await room.recordMany(most + 400);
    const id = await idOf("ci");
    await room.record.operate("webhooks.rewind", { org: "acme", webhook: id, position: -1 });
    await room.advance("ci");
    const reached = async (): Promise<number> => (await cursorOf(room.reader, "acme", id))?.position ?? -1;
    expect(await reached()).toBe(most - 1);
    // The rest is looked through without anybody asking.
    await until(async () => (await reached()) > most);
  });
});

it("a place that is taken is one for its holder's share alone", () => {
  const places = new Places(3, 2);
  expect([places.take("acme"), places.take("acme"), places.take("acme")]).toEqual([true, true, false]);
  expect([places.take("riva"), places.take("nova")]).toEqual([true, false]);
  places.giveBack("acme");
  expect([places.take("nova"), places.take("riva")]).toEqual([true, false]);
  for (const who of ["acme", "riva", "nova"]) places.giveBack(who);
  expect([places.take("acme"), places.take("acme"), places.take("riva")]).toEqual([true, true, true]);
});

it("a message that cannot be signed is one that was not taken, and what comes after it has its turn", async () => {
  await room.webhook("ci", receiver.url, { kinds: ["push"] });
  room.withoutKey = true;
  await room.push("1-dev");
  await until(async () => (await room.deliveries("ci"))[0]?.state === "failed");
  expect((await room.deliveries("ci"))[0]?.error).toMatch(/no key for webhook/);
  await until(async () => {
    if (await room.idle()) room.pass(3_600_000);
    return (await room.deliveries("ci"))[0]?.state === "dead";
  });
  room.withoutKey = false;
  const sequence = (await room.push("2-dev")) - 1;
  await receiver.until(1);
  expect(idsOf(receiver)).toEqual([`acme/${sequence}`]);
});

it("an endpoint that a restored record does not have leaves nothing for the next of its number", async () => {
  await room.webhook("ci", receiver.url, { kinds: ["push"] });
  await room.push("1-dev");
  await receiver.until(1);
  const lost = 1_000_000;
  const id = await idOf("ci");
  await until(async () => (await cursorOf(room.reader, "acme", id))?.head === null);
  await room.write(async (transactor) => {
    const cursor = { org: "acme", position: 1, head: null };
    await transactor
      .tables<Record<"webhook_cursor", object>>()
      .insertInto("webhook_cursor")
      .values({ ...cursor, webhook: lost })
      .execute();
    await forgetLostDeliveries(transactor);
  });
  expect(await cursorOf(room.reader, "acme", lost)).toBeUndefined();
  expect(await cursorOf(room.reader, "acme", id)).toBeDefined();
});
