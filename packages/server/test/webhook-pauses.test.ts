/** What endpoints may ask of us: a rest, by their answer, or by their organisation. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WEBHOOK_LIMITS } from "../src/webhooks/limits.ts";
import { restAsked } from "../src/webhooks/send.ts";
import { idsOf, type Receiver, startReceiver } from "./webhook-receiver.ts";
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

describe("a Retry-After", () => {
  it("is kept to, also where the back-off would have been shorter", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    receiver.answer = (response) => response.writeHead(503, { "retry-after": "1800" }).end();
    await room.push("1-dev");
    await until(async () => (await room.deliveries("ci"))[0]?.attempts === 1 && (await room.idle()));
    receiver.answer = undefined;
    // Longer than the first pause of the back-off, shorter than what was asked.
    room.pass(1_500_000);
    await room.look();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(receiver.received).toHaveLength(1);
    room.pass(310_000);
    await until(async () => (await room.deliveries("ci"))[0]?.state === "delivered");
  });

  it("is a number of seconds or a date; what is neither is none; and it is bounded", () => {
    const now = Date.parse("2026-11-23T02:00:00Z");
    expect(restAsked("120", now)).toBe(120_000);
    expect(restAsked("Mon, 23 Nov 2026 02:01:00 GMT", now)).toBe(60_000);
    expect(restAsked("Mon, 23 Nov 2026 01:00:00 GMT", now)).toBe(0);
    expect(restAsked("999999999", now)).toBe(WEBHOOK_LIMITS.longestRestMs);
    for (const nothing of [undefined, "", "-5", "1e9", "soon", "Mon, ", "5, 6"])
      expect(restAsked(nothing, now)).toBe(0);
  });
});

describe("an endpoint that is paused", () => {
  it("is told nothing, and all of it in order once it is resumed", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    await room.append("webhooks.pause", { name: "ci" });
    const sequences = [await room.push("1-dev"), await room.push("2-dev"), await room.push("3-dev")];
    await room.look();
    room.pass(60_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(receiver.received).toEqual([]);
    await room.append("webhooks.resume", { name: "ci" });
    await receiver.until(3);
    expect(idsOf(receiver)).toEqual(sequences.map((sequence) => `acme/${sequence - 1}`));
  });

  it("is not tried again, and then goes on with what failed, with all its attempts", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    receiver.answer = (response) => response.writeHead(500).end();
    const first = (await room.push("1-dev")) - 1;
    const second = (await room.push("2-dev")) - 1;
    await until(async () => (await room.deliveries("ci"))[0]?.state === "failed" && (await room.idle()));
    await room.append("webhooks.pause", { name: "ci" });
    room.pass(3_600_000);
    await until(async () => (await room.jobs("waiting")).length === 0);
    expect(receiver.received).toHaveLength(1);
    receiver.answer = undefined;
    await room.append("webhooks.resume", { name: "ci" });
    await receiver.until(3);
    expect(idsOf(receiver)).toEqual([`acme/${first}`, `acme/${first}`, `acme/${second}`]);
  });

  it("is not told again out of turn either", async () => {
    await room.webhook("ci", receiver.url, { kinds: ["push"] });
    const sequence = (await room.push("1-dev")) - 1;
    await receiver.until(1);
    await room.append("webhooks.pause", { name: "ci" });
    await expect(room.append("webhooks.replay", { name: "ci", sequence, only: true })).rejects.toThrow(
      "webhook-paused",
    );
    await room.append("webhooks.replay", { name: "ci", sequence, only: false });
  });
});

it("a delivery that waits to be tried again is made at once when somebody asks for it", async () => {
  await room.webhook("ci", receiver.url, { kinds: ["push"] });
  receiver.answer = (response) => response.writeHead(503, { "retry-after": "3000" }).end();
  const sequence = (await room.push("1-dev")) - 1;
  await until(async () => (await room.deliveries("ci"))[0]?.state === "failed" && (await room.idle()));
  receiver.answer = undefined;
  const webhook = (await room.deliveries("ci"))[0]?.webhook ?? -1;
  await room.record.operate("webhooks.again", { org: "acme", webhook, sequence });
  room.pass(0);
  await until(async () => (await room.deliveries("ci"))[0]?.state === "delivered");
  expect(idsOf(receiver)).toEqual([`acme/${sequence}`, `acme/${sequence}`]);
});
