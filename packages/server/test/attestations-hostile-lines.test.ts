/** Case 22 of the attacks on evidence (packages/evidence/test/adversarial.test.ts has the others): files of lines at the door they come in by. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { artifact, attest, makeKey, openRoom, type Room } from "./evidence-room.ts";

let room: Room;
const key = makeKey();
const stranger = makeKey();

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
});
afterAll(() => room.stop());

async function bulk(file: Buffer): Promise<Record<string, number>> {
  const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/acme/attestations/bulk`, {
    method: "POST",
    headers: { authorization: `Bearer ${room.instance.adminToken}`, "content-type": "application/vnd.in-toto.bundle" },
    body: file,
  });
  expect(answer.status).toBe(200);
  const lines = (await answer.text()).trimEnd().split("\n");
  return (JSON.parse(lines.at(-1) ?? "{}") as { summary: Record<string, number> }).summary;
}

it("case 22: duplicate keys, byte order marks, huge lines and garbage neither become evidence nor hide any, in whatever order", async () => {
  const subject = artifact("hostile lines");
  const good = await Promise.all(["a", "b"].map((type) => attest(key, subject, `https://example.com/${type}`)));
  const theirs = await attest(stranger, subject, "https://example.com/c");
  const text = Buffer.from(good[0] ?? []).toString();
  const hostile = [
    // Two readings of one line: a duplicate key, plain and escaped, and one that reaches for the prototype.
    text.replace('"dsseEnvelope":', '"dsseEnvelope":null,"dsseEnvelope":'),
    text.replace('"payload":', '"pay\\u006coad":"","payload":'),
    text.replace("{", '{"__proto__":{},'),
    // Marks and separators that some readers take for white space or for ends of lines.
    `\ufeff${text}`,
    `${text}\u2028${text}`,
    `${text}\u0000`,
    text.replace("}", "}\r").slice(0, -1),
    // Two documents, half a document, none.
    `${text}${text}`,
    text.slice(0, -1),
    text.slice(1),
    "{}",
    "null",
    "[".repeat(100_000),
    `"${"x".repeat(17 * 1024 * 1024)}"`,
    // Not UTF-8.
    Buffer.from([0xff, 0xfe, 0x7b, 0x00]),
  ];
  const orders = [
    [...good, theirs, ...hostile],
    [...hostile, ...good, theirs],
    hostile.flatMap((line, index) => [line, index === 3 ? theirs : (good[index % 2] ?? line)]),
  ];
  for (const order of orders) {
    const summary = await bulk(Buffer.concat(order.flatMap((line) => [Buffer.from(line), Buffer.from("\n")])));
    expect(summary["ignored"]).toBe(hostile.length);
    const { body } = await room.call("GET", `/orgs/acme/attestations/${subject}`);
    const worth = body.items.map(({ predicateType, status }) => `${predicateType} ${status.status}`).sort();
    expect(worth).toEqual([
      "https://example.com/a verified",
      "https://example.com/b verified",
      "https://example.com/c refused",
    ]);
  }
}, 60_000);
