/** A whole server with its blobs in S3. */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parseDigest } from "@assay/evidence";
import { checkDirectory } from "../src/admin/check.ts";
import { placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage, sha256 } from "./pushing.ts";
import { type S3Place, s3Place } from "./s3-place.ts";
import { type Fault, type FaultyProxy, startFaultyProxy, startS3rver } from "./s3-server.ts";

const MIB = 1024 * 1024;

let place: S3Place;
let proxy: FaultyProxy;
let instance: Instance;

beforeAll(async () => {
  const server = await startS3rver();
  place = await s3Place(server.location, () => server.stop());
  proxy = await startFaultyProxy(server.location.endpoint);
  instance = await startInstance({ s3: { ...place.location, endpoint: proxy.endpoint } });
});

afterAll(async () => {
  await instance.stop();
  await proxy.stop();
  await place.dispose();
});

afterEach(() => {
  proxy.fault = () => undefined;
});

async function call(method: string, url: string, body?: Uint8Array, headers: Record<string, string> = {}) {
  return await fetch(new URL(url, instance.url), {
    method,
    headers: { authorization: ADMIN_BASIC, "content-type": "application/octet-stream", ...headers },
    ...(body === undefined ? {} : { body: new Uint8Array(body) }),
  });
}

async function check() {
  const { databaseUrl } = await placeOf(instance.dataDirectory);
  return await checkDirectory({
    dataDirectory: instance.dataDirectory,
    databaseUrl,
    s3: place.location,
    tell: () => undefined,
  });
}

describe("a server with its blobs in S3", () => {
  test("takes an image and gives it back, whole and in ranges", async () => {
    const layer = randomBytes(10 * MIB + 1);
    const pushed = await pushImage(instance.url, "default/app", "v1", layer);
    const whole = await call("GET", `/v2/default/app/blobs/${pushed.layer}`);
    expect(Buffer.from(await whole.arrayBuffer()).equals(layer)).toBe(true);
    const range = await call("GET", `/v2/default/app/blobs/${pushed.layer}`, undefined, { range: "bytes=5-8388700" });
    expect(range.status).toBe(206);
    expect(Buffer.from(await range.arrayBuffer()).equals(layer.subarray(5, 8_388_701))).toBe(true);
    expect((await call("GET", "/v2/default/app/manifests/v1")).status).toBe(200);
    expect(await place.leftovers()).toEqual([]);
  });

  test("goes on with an upload after a restart, and after S3 failed in it", async () => {
    const bytes = randomBytes(18 * MIB);
    const digest = sha256(bytes);
    let location = (await call("POST", "/v2/default/app/blobs/uploads/")).headers.get("location") ?? "";
    const patch = async (start: number, end: number): Promise<Response> => {
      const answer = await call("PATCH", location, bytes.subarray(start, end), {
        "content-range": `${start}-${end - 1}`,
      });
      location = answer.headers.get("location") ?? location;
      return answer;
    };
    expect((await patch(0, 9 * MIB)).status).toBe(202);
    await instance.restart();
    expect((await call("GET", location)).headers.get("range")).toBe(`0-${9 * MIB - 1}`);
    proxy.fault = ({ method }) =>
      method === "PUT" ? { kind: "answer", status: 503, code: "SlowDown", retryAfter: 0 } : undefined;
    const failed = await patch(9 * MIB, 11 * MIB);
    expect(failed.status).toBe(503);
    expect(failed.headers.get("retry-after")).toBe("1");
    proxy.fault = () => undefined;
    expect((await call("GET", location)).headers.get("range")).toBe(`0-${9 * MIB - 1}`);
    expect((await patch(9 * MIB, 17 * MIB)).status).toBe(202);
    await instance.restart();
    const closed = await call("PUT", `${location}?digest=${digest}`, bytes.subarray(17 * MIB), {
      "content-range": `${17 * MIB}-${18 * MIB - 1}`,
    });
    expect(closed.status).toBe(201);
    const pulled = await (await call("GET", `/v2/default/app/blobs/${digest}`)).arrayBuffer();
    expect(sha256(Buffer.from(pulled))).toBe(digest);
    expect(await place.leftovers()).toEqual([]);
  }, 60_000);

  test.each<[string, Fault]>([
    ["answers 500", { kind: "answer", status: 500, code: "InternalError" }],
    ["answers, and the answer is lost", { kind: "lost-answer" }],
    ["breaks off in the middle of its answer", { kind: "truncate", after: 20 }],
  ])("an S3 that %s, once for each request, is not noticed by who pushes and pulls", async (_what, fault) => {
    const met = new Set<string>();
    proxy.fault = ({ method, url }) => {
      const name = `${method} ${url}`;
      if (met.has(name)) return undefined;
      met.add(name);
      return fault;
    };
    const layer = randomBytes(9 * MIB);
    const pushed = await pushImage(instance.url, "default/faulty", "v1", layer);
    const pulled = await call("GET", `/v2/default/faulty/blobs/${pushed.layer}`);
    expect(pulled.status).toBe(200);
    expect(Buffer.from(await pulled.arrayBuffer()).equals(layer)).toBe(true);
    expect(met.size).toBeGreaterThan(4);
  });

  test("an S3 that goes on failing is answered 503 with Retry-After, stores nothing, and everything goes on when it is well", async () => {
    const layer = randomBytes(5 * MIB);
    const { layer: there } = await pushImage(instance.url, "default/away", "v1", randomBytes(5 * MIB));
    const evidence = { subject: there, predicateType: "https://example.com/report", predicate: { found: 0 } };
    proxy.fault = () => ({ kind: "answer", status: 500, code: "InternalError" });
    const upload = `/v2/default/away/blobs/uploads/?digest=${sha256(layer)}`;
    const [push, pull, report] = await Promise.all([
      call("POST", upload, layer),
      call("GET", `/v2/default/away/blobs/${there}`),
      instance.api("POST", "/api/assay/v1/orgs/default/reports", evidence),
    ]);
    for (const refused of [push, pull]) {
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await refused.json()).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] });
    }
    expect(report).toMatchObject({ status: 503, body: { error: { code: "blobs-unavailable" } } });
    proxy.fault = () => undefined;
    expect((await call("HEAD", `/v2/default/away/blobs/${sha256(layer)}`)).status).toBe(404);
    expect((await call("GET", `/v2/default/away/blobs/${there}`)).status).toBe(200);
    expect((await call("POST", upload, layer)).status).toBe(201);
    expect(await instance.api("POST", "/api/assay/v1/orgs/default/reports", evidence)).toMatchObject({ status: 201 });
    await instance.published();
    expect((await check()).findings).toEqual([]);
  }, 120_000);

  test("a pull whose bytes S3 breaks off for good, or alters on the way, never ends as if it were whole", async () => {
    const layer = randomBytes(3 * MIB);
    const { layer: digest } = await pushImage(instance.url, "default/partial", "v1", layer);
    const isBlob = ({ method, url }: { method: string; url: string }): boolean =>
      method === "GET" && url.includes(digest.slice("sha256:".length));
    const pull = async (): Promise<Buffer | "cut"> => {
      const answer = await call("GET", `/v2/default/partial/blobs/${digest}`);
      expect(answer.status).toBe(200);
      return await answer.arrayBuffer().then(
        (bytes) => Buffer.from(bytes),
        () => "cut" as const,
      );
    };
    // Each attempt brings a little: the pull goes on where it broke, as often as it takes.
    proxy.fault = (request) => (isBlob(request) ? { kind: "truncate", after: 500_000 } : undefined);
    expect(await pull()).toEqual(layer);
    let answers = 0;
    proxy.fault = (request) => {
      if (!isBlob(request)) return undefined;
      answers += 1;
      return answers === 1 ? { kind: "truncate", after: 100_000 } : { kind: "truncate", after: 0 };
    };
    expect(await pull()).toBe("cut");
    proxy.fault = (request) => (isBlob(request) ? { kind: "corrupt-answer" } : undefined);
    expect(await pull()).toBe("cut");
    proxy.fault = () => undefined;
    expect(await pull()).toEqual(layer);
  }, 60_000);

  test("a wrong digest stores nothing, and cancelling leaves nothing", async () => {
    const wrong = sha256(randomBytes(5));
    expect((await call("POST", `/v2/default/app/blobs/uploads/?digest=${wrong}`, randomBytes(100))).status).toBe(400);
    const location = (await call("POST", "/v2/default/app/blobs/uploads/")).headers.get("location") ?? "";
    await call("PATCH", location, randomBytes(1000));
    expect((await call("DELETE", location)).status).toBe(204);
    expect(await place.leftovers()).toEqual([]);
  });

  test("`check` reads the blobs from S3 and finds the one that was altered and the one that is gone", async () => {
    const altered = await pushImage(instance.url, "default/checked", "altered", randomBytes(3000));
    const gone = await pushImage(instance.url, "default/checked", "gone", randomBytes(3000));
    await instance.published();
    expect((await check()).findings).toEqual([]);
    await place.damageBlob(parseDigest(altered.layer));
    const hex = gone.layer.slice("sha256:".length);
    await place.client.delete(`${place.location.prefix}/blobs/sha256/${hex.slice(0, 2)}/${hex}`);
    const { findings } = await check();
    expect(findings.map(({ kind, where }) => `${kind} ${where}`).toSorted()).toEqual(
      [`blob ${altered.layer}`, `blob ${gone.layer}`].toSorted(),
    );
    expect(findings.every(({ action }) => action !== "")).toBe(true);
  });
});
