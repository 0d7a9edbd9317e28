import { rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";

let instance: Instance;

beforeAll(async () => {
  instance = await startInstance();
});

afterAll(async () => {
  await instance.stop();
});

const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };

async function ask(path: string, init: RequestInit = {}): Promise<{ status: number; type: string; text: string }> {
  const answer = await fetch(`${instance.url}${path}`, init);
  return { status: answer.status, type: answer.headers.get("content-type") ?? "", text: await answer.text() };
}

describe("the own API's description", () => {
  it("is OpenAPI 3.1 made from the schemas that validate, and names every route of the own API", async () => {
    const { status, text } = await ask("/openapi.json");
    expect(status).toBe(200);
    const document = JSON.parse(text) as { openapi: string; paths: Record<string, unknown>; info: { title: string } };
    expect(document.openapi).toBe("3.1.0");
    const paths = Object.keys(document.paths).filter((path) => path.startsWith("/api/assay/v1/"));
    expect(paths).toContain("/api/assay/v1/decisions");
    expect(paths).toContain("/api/assay/v1/orgs/{org}/attestations");
    expect(paths.length).toBeGreaterThan(25);
  });
});

describe("health and metrics", () => {
  it("says ready when the writer commits and the log is readable", async () => {
    expect((await ask("/healthz")).status).toBe(200);
    const ready = await ask("/readyz");
    expect(ready.status).toBe(200);
    expect(JSON.parse(ready.text)).toEqual({
      status: "ready",
      checks: { writer: "ok", publication: "ok", log: "ok", disk: "ok" },
    });
  });

  it("says not ready while the log cannot be published, though it is written to, and ready again by itself", async () => {
    const other = await startInstance();
    try {
      const tiles = join(other.dataDirectory, "logs", "record", "tile");
      await other.published();
      await rename(tiles, `${tiles}.away`);
      await writeFile(tiles, "where the tiles should be");
      expect((await other.api("POST", "/api/assay/v1/orgs", { name: "acme" })).status).toBe(201);
      const readiness = async (): Promise<{ status: number; checks: Record<string, string> }> => {
        const answer = await fetch(`${other.url}/readyz`);
        return { status: answer.status, ...((await answer.json()) as { checks: Record<string, string> }) };
      };
      await expect.poll(readiness, { timeout: 10_000 }).toMatchObject({
        checks: { writer: "ok", publication: expect.stringMatching(/^failing since /) as string },
      });
      expect((await fetch(`${other.url}/readyz`)).status).toBe(503);
      await rm(tiles);
      await rename(`${tiles}.away`, tiles);
      await expect
        .poll(readiness, { timeout: 10_000 })
        .toMatchObject({ checks: { writer: "ok", publication: "ok", log: "ok" } });
      expect((await other.api("GET", "/api/assay/v1/record/1/receipt")).status).toBe(200);
    } finally {
      await other.stop();
    }
  });

  it("shows metrics to the bootstrap admin only", async () => {
    expect((await ask("/metrics")).status).toBe(401);
    const metrics = await ask("/metrics", { headers: admin });
    expect(metrics.text).toContain("http_server_request_duration_seconds_bucket");
    expect(metrics.text).toMatch(/assay_log_published_entries \d+/);
    // Looked up for whoever scrapes: an alarm does not depend on somebody asking /readyz.
    expect(metrics.text).toMatch(/^assay_ready 1$/m);
    expect(metrics.text).toMatch(/^assay_log_late_seconds 0$/m);
  });
});

describe("bad input to the own API", () => {
  const post = (body: string | Uint8Array, type = "application/json"): RequestInit => ({
    method: "POST",
    headers: { ...admin, "content-type": type },
    body: typeof body === "string" ? body : new Uint8Array(body),
  });

  it.each([
    ["an unknown route", "/api/assay/v1/nothing", { headers: admin }, 404, "route-unknown"],
    ["malformed JSON", "/api/assay/v1/orgs", post("{"), 400, expect.any(String)],
    ["a __proto__ key", "/api/assay/v1/orgs", post('{"name":"a","__proto__":{"x":1}}'), 400, expect.any(String)],
    [
      "a constructor key",
      "/api/assay/v1/orgs",
      post('{"name":"a","constructor":{"prototype":{"x":1}}}'),
      400,
      expect.any(String),
    ],
    [
      "deeply nested JSON",
      "/api/assay/v1/orgs",
      post(`{"name":${"[".repeat(50_000)}${"]".repeat(50_000)}}`),
      400,
      expect.any(String),
    ],
    ["another content type", "/api/assay/v1/orgs", post("name=a", "text/plain"), 415, expect.any(String)],
    ["an unknown field", "/api/assay/v1/orgs", post('{"name":"a","extra":1}'), 400, "request-invalid"],
    ["a name out of grammar", "/api/assay/v1/orgs", post('{"name":"A b"}'), 400, "request-invalid"],
    ["a reserved name", "/api/assay/v1/orgs", post('{"name":"v2"}'), 400, "request-invalid"],
    ["a body over the limit", "/api/assay/v1/orgs", post("x".repeat(34 * 1024 * 1024)), 413, expect.any(String)],
    ["no credentials", "/api/assay/v1/orgs", {}, 401, "unauthorized"],
    [
      "a digest that is none",
      "/api/assay/v1/orgs/default/attestations/sha256:zz",
      { headers: admin },
      400,
      expect.any(String),
    ],
    ["a sequence that is none", "/api/assay/v1/record/-1", { headers: admin }, 400, "request-invalid"],
    ["a sequence nobody recorded", "/api/assay/v1/record/999999", { headers: admin }, 404, "event-unknown"],
    ["another organisation", "/api/assay/v1/orgs/nobody/record", { headers: admin }, 404, "org-unknown"],
  ] as const)("refuses %s in the own form and records nothing", async (_what, path, init, status, code) => {
    const before = (await ask("/logs/record/checkpoint")).text;
    const answer = await ask(path, init as RequestInit);
    expect(answer.status).toBe(status);
    const body = JSON.parse(answer.text) as { error: { code: string; message: string } };
    expect(body.error.message).not.toBe("");
    expect(body.error.code).toEqual(code);
    await instance.published();
    expect((await ask("/logs/record/checkpoint")).text).toBe(before);
  });

  it.each([
    ["garbage instead of HTTP", "\u0000\u0001garbage\r\n\r\n"],
    ["a header block that never ends", `GET / HTTP/1.1\r\nHost: x\r\n${"a: b\r\n".repeat(5_000)}`],
    ["a malformed URL", "GET /api/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"],
    ["a length that lies", "POST /api/assay/v1/orgs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"],
  ])("survives %s", async (_what, bytes) => {
    const { port, hostname } = new URL(instance.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => socket.write(bytes));
      socket.on("data", () => socket.destroy());
      socket.on("error", () => socket.destroy());
      socket.on("close", () => resolve());
      setTimeout(() => socket.destroy(), 300);
    });
    expect((await ask("/healthz")).status).toBe(200);
  });
});

describe("the public log", () => {
  it("answers with checkpoint, tiles, and proofs that its own verifier accepted", async () => {
    await instance.published();
    const note = (await ask("/logs/record/checkpoint")).text;
    const size = Number(note.split("\n")[1]);
    const tile = await fetch(`${instance.url}/logs/record/tile/0/000.p/${size}`);
    expect(tile.headers.get("cache-control")).toContain("immutable");
    expect((await tile.arrayBuffer()).byteLength).toBe(size * 32);
    const inclusion = JSON.parse((await ask("/logs/record/proof/inclusion?index=0")).text) as { checkpoint: string };
    expect(inclusion.checkpoint).toBe(note);
    const consistency = await ask("/logs/record/proof/consistency?old=1");
    expect(JSON.parse(consistency.text)).toMatchObject({ old: 1, size });
  });

  it.each([
    "/logs/record/tile/0/../../newest-checkpoint",
    "/logs/record/tile/..%2f..%2f..%2fmaster.key",
    "/logs/record/tile/0/x1/2",
    "/logs/record/tile/0/000.p/0",
    "/logs/record/tile/64/000",
    "/logs/record/proof/inclusion?index=abc",
    "/logs/record/proof/inclusion?index=1e9",
    "/logs/record/proof/consistency?old=-1",
  ])("refuses %s", async (path) => {
    const answer = await ask(path);
    expect([400, 404]).toContain(answer.status);
    expect(JSON.parse(answer.text)).toHaveProperty("error.code");
  });
});
