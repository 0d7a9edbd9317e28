/** Webhooks as a person meets them: against a real server, and a receiver on this machine. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

let receiver: Server;
let url: string;
let status = 204;
const received: { headers: IncomingHttpHeaders; body: string }[] = [];
let server: TestServer;
let desk: Desk;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString("utf8") });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  url = `http://${host}/hook`;
  server = await startTestServer({ ASSAY_EGRESS_PRIVATE: host });
  desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
});

afterAll(async () => {
  await server.stop();
  desk.remove();
  await new Promise<void>((resolve) => receiver.close(() => resolve()));
});

async function until(count: number): Promise<void> {
  const end = performance.now() + 15_000;
  while (received.length < count) {
    if (performance.now() > end) throw new Error(`${received.length} of ${count} messages came`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("assay webhook", () => {
  let secret: string;

  it("adds one and shows its secret this once", async () => {
    expect((await desk.must("webhook", "list")).stdout).toBe("there are none yet\n");
    const added = await desk.must("webhook", "add", "ci", url, "--kind", "tag", "--repository", "hello");
    secret = /^secret +(whsec_\S+)$/m.exec(added.stdout)?.[1] ?? "";
    expect(secret).toMatch(/^whsec_/);
    expect(added.stdout).toContain("shown this once");
    const listed = (await desk.must("webhook", "list")).stdout;
    expect(listed).toContain("default/hello");
    expect(listed).not.toContain(secret);
    expect((await desk.assay("webhook", "add", "ci", url)).exit).toBe(1);
  });

  it("tests it, and says by its exit code whether the message was taken", async () => {
    expect((await desk.must("webhook", "test", "ci")).stdout).toMatch(/^taken +yes$/m);
    const [message] = received;
    const content = `${String(message?.headers["webhook-id"])}.${String(message?.headers["webhook-timestamp"])}.`;
    const mac = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64"));
    const signature = mac.update(content + (message?.body ?? "")).digest("base64");
    expect(message?.headers["webhook-signature"]).toBe(`v1,${signature}`);
    status = 500;
    const refused = await desk.assay("webhook", "test", "ci");
    status = 204;
    expect(refused.exit).toBe(1);
    expect(refused.stdout).toMatch(/^error +it answered 500$/m);
  });

  it("pauses and resumes it", async () => {
    expect((await desk.must("webhook", "pause", "ci")).stdout).toMatch(/^paused since +2/m);
    expect((await desk.must("webhook", "list")).stdout).toMatch(/PAUSED/);
    expect((await desk.must("webhook", "resume", "ci")).stdout).not.toContain("paused since");
  });

  it("shows deliveries, and makes them again", async () => {
    const before = received.length;
    await desk.must("push", desk.file("hello.txt", "hello\n"), "hello:1.0.0");
    await until(before + 1);
    const told = JSON.parse(received[before]?.body ?? "{}") as { id: string; sequence: string };
    let listed: { readonly [name: string]: unknown }[] = [];
    while (listed.length === 0) {
      const answer = await desk.must("webhook", "deliveries", "ci", "--output", "json");
      listed = JSON.parse(answer.stdout) as typeof listed;
    }
    expect(listed).toMatchObject([{ id: told.id, state: "delivered", type: "dev.assay.tag.set", status: 204 }]);
    expect((await desk.must("webhook", "deliveries", "ci")).stdout).toMatch(/dev\.assay\.tag\.set +delivered +1 /);
    const sequence = String(Number(told.sequence));
    const again = await desk.must("webhook", "replay", "ci", "--delivery", sequence);
    expect(again.stdout).toBe(`default/ci is told again: event ${sequence}.\n`);
    await until(before + 2);
    await desk.must("webhook", "replay", "ci", "--from", sequence);
    await until(before + 3);
    expect(received.slice(before).map(({ headers }) => headers["webhook-id"])).toEqual([told.id, told.id, told.id]);
    expect((await desk.must("webhook", "deliveries", "ci", "--state", "dead")).stdout).toBe("no deliveries\n");
    expect((await desk.assay("webhook", "replay", "ci", "--delivery", "999999")).exit).toBe(1);
  });

  it("changes what is named and leaves the rest", async () => {
    const changed = await desk.must("webhook", "change", "ci", "--kind", "push", "--format", "cdevents");
    expect(changed.stdout).toMatch(/^told of +push$/m);
    expect(changed.stdout).toMatch(/^in +default\/hello$/m);
    expect((await desk.must("webhook", "change", "ci", "--all-repositories")).stdout).toMatch(/^in +all repositories/m);
  });

  it("gives it another secret, beside the former one or in its place", async () => {
    const rotated = (await desk.must("webhook", "rotate", "ci", "--output", "json")).json();
    expect(rotated["secret"]).not.toBe(secret);
    expect((await desk.must("webhook", "list", "--output", "json")).stdout).toContain(String(rotated["formerUntil"]));
    expect((await desk.must("webhook", "rotate", "ci", "--grace", "0")).stdout).toContain("it has stopped");
  });

  it("removes it", async () => {
    expect((await desk.must("webhook", "remove", "ci")).stdout).toContain("removed: default/ci");
    expect((await desk.assay("webhook", "remove", "ci")).exit).toBe(1);
  });
});
