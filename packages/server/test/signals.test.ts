/** What the server tells of the requests it serves: metrics by operation, the access log, spans. */
import { existsSync, renameSync, statSync, truncateSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openAccessLog } from "../src/signals/access-log.ts";
import { outcomeOf } from "../src/signals/outcome.ts";
import { readTraceparent } from "../src/signals/tracing.ts";
import { temporaryDirectory } from "./core.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { type Collector, startCollector } from "./otlp-collector.ts";
import { ADMIN_BASIC, pushBlob, pushImage, sha256 } from "./pushing.ts";
import { startReceiver } from "./webhook-receiver.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let collector: Collector;
let instance: Instance;
let file: string;

type Line = Readonly<Record<string, unknown>>;

beforeAll(async () => {
  directory = await temporaryDirectory();
  collector = await startCollector();
  file = join(directory.path, "access.log");
  instance = await startInstance({
    accessLog: file,
    collector: { endpoint: collector.endpoint, headers: { authorization: "Bearer of-the-collector" }, ratio: 1 },
    egressPrivate: ["127.0.0.1"],
  });
});

afterAll(async () => {
  await instance.stop();
  await collector.stop();
  await directory.dispose();
});

async function lines(): Promise<Line[]> {
  const text = existsSync(file) ? await readFile(file, "utf8") : "";
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

/** The first line for which `wanted` holds, once it is there. */
async function lineOf(wanted: (line: Line) => boolean, ms = 10_000): Promise<Line> {
  const end = performance.now() + ms;
  for (;;) {
    const found = (await lines()).find(wanted);
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`no such line among:\n${JSON.stringify(await lines(), undefined, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function metrics(): Promise<string> {
  const answer = await fetch(`${instance.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  return await answer.text();
}

const basic = { authorization: ADMIN_BASIC };

describe("the access log", () => {
  it("has a line for a push and a pull: who, what, where, how it ended, how much, how long", async () => {
    const bytes = Buffer.alloc(100_000, "layer of the access log");
    const image = await pushImage(instance.url, "default/logged", "1.0.0", bytes);
    await (await fetch(`${instance.url}/v2/default/logged/blobs/${sha256(bytes)}`, { headers: basic })).arrayBuffer();
    await (await fetch(`${instance.url}/v2/logged/manifests/1.0.0`, { headers: basic })).arrayBuffer();
    const about = { actor: "admin", credential: "admin-token", org: "default", repository: "default/logged" };
    expect(await lineOf((line) => line["operation"] === "registry.push-manifest")).toMatchObject({
      ...about,
      log: "access",
      method: "PUT",
      digest: image.manifest,
      tag: "1.0.0",
      status: 201,
      outcome: "ok",
      remote: "127.0.0.1",
    });
    const pull = await lineOf((line) => line["operation"] === "registry.pull-blob");
    expect(pull).toMatchObject({ ...about, digest: sha256(bytes), status: 200, outcome: "ok" });
    expect(Number(pull["sent"])).toBeGreaterThan(bytes.length);
    expect(Number(pull["sent"])).toBeLessThan(bytes.length + 2_000);
    expect(Number(pull["ms"])).toBeGreaterThan(0);
    expect(String(pull["time"])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(String(pull["request"])).toMatch(/^[0-9a-f-]{36}$/);
    // By its tag: the digest is the one it was answered with.
    const byTag = await lineOf((line) => line["operation"] === "registry.pull-manifest");
    expect(byTag).toMatchObject({ ...about, tag: "1.0.0", digest: image.manifest });
    const pushed = await lineOf(
      (line) => line["operation"] === "registry.push-blob" && line["digest"] === sha256(bytes),
    );
    expect(Number(pushed["received"])).toBeGreaterThan(bytes.length);
  });

  it("has who bought which registry token for what", async () => {
    const asked = new URLSearchParams([
      ["scope", "repository:default/logged:pull,push"],
      ["scope", "repository:nobody/app:pull"],
    ]);
    const answer = await fetch(`${instance.url}/v2/token?${asked.toString()}`, { headers: basic });
    const { token } = (await answer.json()) as { token: string };
    const line = await lineOf(({ operation }) => operation === "GET /v2/token");
    expect(line).toMatchObject({
      actor: "admin",
      credential: "admin-token",
      granted: "repository:default/logged:pull,push",
      status: 200,
    });
    await fetch(`${instance.url}/v2/default/logged/manifests/1.0.0`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${token}` },
    });
    const used = await lineOf(({ operation }) => operation === "registry.look-for-manifest");
    expect(used).toMatchObject({ actor: "admin", credential: "registry-token" });
    expect(await readFile(file, "utf8")).not.toContain(token);
  });

  it("has the requests that were refused, and what answered them", async () => {
    await fetch(`${instance.url}/v2/default/logged/manifests/none`, { headers: basic });
    expect(await lineOf((line) => line["tag"] === "none")).toMatchObject({ status: 404, outcome: "not-found" });
    await fetch(`${instance.url}/v2/default/logged/tags/list`);
    expect(await lineOf((line) => line["operation"] === "registry.list-tags")).toMatchObject({
      actor: "(anonymous)",
      status: 401,
      outcome: "denied",
    });
    await fetch(`${instance.url}/api/assay/v1/orgs/nobody/webhooks`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect(await lineOf((line) => line["org"] === "nobody")).toMatchObject({
      operation: "GET /api/assay/v1/orgs/:org/webhooks",
      outcome: "not-found",
    });
  });

  it("has a request whose client left in the middle", async () => {
    const bytes = Buffer.alloc(32 * 1024 * 1024, "much");
    await pushBlob(instance.url, "default/large", bytes);
    const { hostname, port } = new URL(instance.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        const path = `/v2/default/large/blobs/${sha256(bytes)}`;
        socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${ADMIN_BASIC}\r\n\r\n`);
      });
      socket.once("data", () => {
        socket.destroy();
        resolve();
      });
    });
    const left = await lineOf((line) => line["outcome"] === "broken-off");
    expect(left).toMatchObject({ operation: "registry.pull-blob", digest: sha256(bytes), status: 200 });
    expect(Number(left["sent"])).toBeLessThan(bytes.length);
  });

  it("has no token, no password and nothing of a query", async () => {
    const secret = "secret-in-a-query";
    const wrong = Buffer.from("alice:wrong-password-here").toString("base64");
    const places = ["/v2/", `/v2/token?scope=${secret}`, `/nowhere/${secret}?token=${secret}`, "/api/assay/v1/whoami"];
    for (const path of places) {
      await fetch(`${instance.url}${path}`, { headers: { authorization: `Basic ${wrong}`, cookie: secret } });
    }
    const newlines = encodeURIComponent('x"\n{"log":"access"}');
    await fetch(`${instance.url}/v2/${newlines}/tags/list`, { headers: basic });
    await lineOf((line) => line["operation"] === "GET /api/assay/v1/whoami");
    await lineOf((line) => line["operation"] === "unknown");
    const text = await readFile(file, "utf8");
    for (const word of [ADMIN_TOKEN, secret, wrong, "wrong-password", "authorization", "Basic", "Bearer"]) {
      expect(text).not.toContain(word);
    }
    expect((await lines()).every((line) => line["log"] === "access")).toBe(true);
  });

  it("is its owner's alone, and goes on after its file was truncated or moved away", async () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const place = join(directory.path, "moved.log");
    const troubles: Error[] = [];
    const log = openAccessLog(place, (error) => troubles.push(error));
    const about = { operation: "o", method: "GET", actor: "a", outcome: "ok", received: 0, sent: 0, ms: 1 } as const;
    const write = (request: string): void => log.write({ ...about, request, status: 200, remote: "r" });
    const until = async (path: string, holds: (text: string) => boolean): Promise<void> => {
      const end = performance.now() + 5_000;
      while (!(existsSync(path) && holds(await readFile(path, "utf8")))) {
        if (performance.now() > end) throw new Error(`${path} did not come to hold it`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    write("first");
    await until(place, (text) => text.includes('"first"'));
    truncateSync(place);
    write("second");
    await until(place, (text) => text.startsWith("{") && text.includes('"second"'));
    renameSync(place, `${place}.1`);
    log.reopen();
    write("third");
    await until(place, (text) => text.includes('"third"') && !text.includes('"second"'));
    log.close();
    expect(troubles).toEqual([]);
  });
});

describe("metrics of operations", () => {
  it("count, time and weigh them by operation and outcome", async () => {
    const text = await metrics();
    expect(text).toMatch(
      /assay_operation_duration_seconds_count\{operation="registry.push-manifest",outcome="ok"\} [1-9]/,
    );
    expect(text).toMatch(
      /assay_operation_duration_seconds_bucket\{le="0.5",operation="registry.pull-blob",outcome="ok"\} [1-9]/,
    );
    expect(text).toMatch(
      /assay_operation_duration_seconds_count\{operation="registry.list-tags",outcome="denied"\} [1-9]/,
    );
    const sent = /assay_operation_bytes_total\{operation="registry.pull-blob",direction="sent"\} (\d+)/.exec(text);
    expect(Number(sent?.[1])).toBeGreaterThan(100_000);
  });

  it("have no label that grows with what is stored or asked for", async () => {
    const series = async (): Promise<number> =>
      (await metrics()).split("\n").filter((line) => line.startsWith("assay_operation")).length;
    const ask = async (round: number): Promise<void> => {
      for (let n = 0; n < 30; n += 1) {
        await fetch(`${instance.url}/v2/default/r${round}-${n}/manifests/t${n}`, { headers: basic });
        await fetch(`${instance.url}/nowhere/${round}/${n}`);
        await fetch(`${instance.url}/api/assay/v1/orgs/o${round}-${n}/record`, {
          headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
        });
      }
    };
    await ask(1);
    await metrics();
    const before = await series();
    await ask(2);
    expect(await series()).toBe(before);
    expect(await metrics()).not.toMatch(/assay_operation[^\n]*(?:r1-|sha256|default)/);
  });

  it("tell outcomes apart", () => {
    expect(
      [200, 204, 304, 400, 401, 403, 404, 409, 416, 429, 500, 503].map((status) => outcomeOf(status, true)),
    ).toEqual([
      "ok",
      "ok",
      "ok",
      "refused",
      "denied",
      "denied",
      "not-found",
      "refused",
      "refused",
      "busy",
      "failed",
      "busy",
    ]);
    expect(outcomeOf(200, false)).toBe("broken-off");
  });
});

describe("spans", () => {
  const TRACE = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

  it("of a push say what artifact it was, in the trace the client is in, with the record's part as their child", async () => {
    const bytes = Buffer.from("layer of the spans");
    const image = await pushImage(instance.url, "default/traced", "2.0.0", bytes);
    const answer = await fetch(`${instance.url}/v2/default/traced/manifests/2.0.0`, {
      headers: { ...basic, traceparent },
    });
    await answer.arrayBuffer();
    const pull = await collector.span(({ name, traceId }) => name === "registry.pull-manifest" && traceId === TRACE);
    expect(pull).toMatchObject({ parentSpanId: "b7ad6b7169203331", kind: 2 });
    expect(pull.resource).toMatchObject({ "service.name": "assay" });
    expect(pull.attributes).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "assay.outcome": "ok",
      "assay.repository": "default/traced",
      "oci.manifest.digest": image.manifest,
      "artifact.hash": image.manifest.slice("sha256:".length),
      "artifact.version": "2.0.0",
      "artifact.purl": `pkg:oci/traced@${encodeURIComponent(image.manifest)}?repository_url=${encodeURIComponent(new URL(instance.url).host)}/default/traced`,
    });
    const push = await collector.span(
      ({ name, attributes }) =>
        name === "registry.push-manifest" && attributes["oci.manifest.digest"] === image.manifest,
    );
    const append = await collector.span(({ name, traceId }) => name === "record.append" && traceId === push.traceId);
    expect(append.parentSpanId).toBe(push.spanId);
    expect(String(append.attributes["assay.commands"])).toContain("registry.put-manifest");
    expect(collector.authorizations.every((header) => header === "Bearer of-the-collector")).toBe(true);
    // The access log names the trace.
    expect(await lineOf((line) => line["trace"] === TRACE)).toMatchObject({ operation: "registry.pull-manifest" });
  });

  it("of an API request with a body are the parents of what it does, and failures are marked as such", async () => {
    await fetch(`${instance.url}/api/assay/v1/orgs`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        "content-type": "application/json",
        traceparent: traceparent.replace("0af", "1af"),
      },
      body: JSON.stringify({ name: "traced" }),
    });
    const request = await collector.span(({ name }) => name === "POST /api/assay/v1/orgs");
    expect(request).toMatchObject({ traceId: TRACE.replace("0af", "1af"), parentSpanId: "b7ad6b7169203331" });
    const append = await collector.span(({ name, traceId }) => name === "record.append" && traceId === request.traceId);
    expect(append.parentSpanId).toBe(request.spanId);
    expect(request.status?.code ?? 0).toBe(0);
    const broken = await collector.span(({ attributes }) => attributes["assay.outcome"] === "broken-off");
    expect(broken.status).toMatchObject({ code: 2 });
  });

  it("go on in whom the server asks: a webhook is sent the trace", async () => {
    const receiver = await startReceiver();
    try {
      const { status } = await instance.api("POST", "/api/assay/v1/orgs/default/webhooks", {
        name: "traced",
        url: receiver.url,
        kinds: ["push"],
      });
      expect(status).toBe(201);
      await pushImage(instance.url, "default/told", "3.0.0", Buffer.from("told"));
      await receiver.until(1);
      const header = readTraceparent(receiver.received[0]?.headers["traceparent"]);
      const delivery = await collector.span(({ spanId }) => spanId === header?.spanId);
      expect(delivery).toMatchObject({ name: "webhooks.deliver", traceId: header?.traceId, kind: 3 });
    } finally {
      await receiver.stop();
    }
  });
});

describe("a traceparent", () => {
  const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  it("is read as W3C Trace Context has it", () => {
    expect(readTraceparent(good)).toEqual({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      flags: 1,
    });
    expect(readTraceparent(good.replace(/^00/, "42").concat("-more"))).toMatchObject({ flags: 1 });
  });

  it("that is none begins a new trace", () => {
    for (const text of [
      undefined,
      ["00"],
      "",
      good.toUpperCase(),
      `${good}-more`,
      good.replace(/^00/, "ff"),
      good.replace("0af7651916cd43dd8448eb211c80319c", "0".repeat(32)),
      good.replace("b7ad6b7169203331", "0".repeat(16)),
      good.slice(0, -1),
      `${good}\n`,
      good.replace(/^00/, "01").concat("-", "x".repeat(600)),
    ]) {
      expect(readTraceparent(text)).toBeUndefined();
    }
  });
});

it("a collector that is away holds nothing up", async () => {
  const other = await startInstance({ collector: { endpoint: "http://127.0.0.1:9", headers: {}, ratio: 1 } });
  const before = performance.now();
  expect((await fetch(`${other.url}/healthz`)).status).toBe(200);
  await other.stop();
  expect(performance.now() - before).toBeLessThan(8_000);
});
