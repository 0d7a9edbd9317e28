import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Distribution, startDistribution } from "./distribution-registry.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const API = "/api/assay/v1/orgs/default";

/** Another project's registry as upstream and as target, and another project's client in front. */
describe("distribution, mirrored and replicated to", () => {
  let upstream: Distribution;
  let server: Server;
  let home: Home;
  let image: Image;

  const ask = async (method: string, path: string, json?: unknown): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${server.url}${API}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${server.adminToken}`,
        ...(json === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    const text = await answer.text();
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  };

  beforeAll(async () => {
    upstream = await startDistribution();
    server = await startServer({ env: { ASSAY_EGRESS_PRIVATE: upstream.host } });
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["commander", "yaml"] });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    await home.must("crane", ["push", image.layout, `${upstream.host}/lib/app:1.0.0`]);
    await ask("PUT", "/mirror", { repository: "default/hub/app", url: `${upstream.url}/lib/app`, maxAgeMs: 0 });
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
    await upstream.stop();
  });

  const blobOf = (layout: string, digest: string): Buffer =>
    readFileSync(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));

  it("crane pulls through, by tag and by digest, the same bytes that were pushed there", async () => {
    const reference = `${server.host}/default/hub/app`;
    expect(await home.must("crane", ["digest", `${reference}:1.0.0`])).toBe(image.digest);
    const pulled = home.path("pulled");
    await home.must("crane", ["pull", "--format=oci", `${reference}@${image.digest}`, pulled]);
    for (const digest of [image.digest, image.config, ...image.layers]) {
      expect(blobOf(pulled, digest)).toEqual(blobOf(image.layout, digest));
    }
    await home.must("crane", ["validate", "--remote", `${reference}:1.0.0`]);
  });

  it("crane is denied to push where the repository mirrors", async () => {
    const { code, stderr } = await home.run("crane", ["push", image.layout, `${server.host}/default/hub/app:own`]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("DENIED");
  });

  it("a replication pushes to it what crane then pulls there", async () => {
    await home.must("crane", ["push", image.layout, `${server.host}/default/own:2.0.0`]);
    await ask("PUT", "/replications/out", {
      direction: "push",
      repositories: ["default/own"],
      url: `${upstream.url}/backup`,
    });
    await ask("POST", "/replications/out/run");
    let run: { state?: string } = {};
    for (let waited = 0; waited < 30_000 && run.state !== "done"; waited += 100) {
      run = ((await ask("GET", "/replications/out"))["all"] ?? {}) as { state?: string };
      await sleep(100);
    }
    expect(run).toMatchObject({ state: "done", copied: 1, failed: 0 });
    expect(await home.must("crane", ["digest", `${upstream.host}/backup/own:2.0.0`])).toBe(image.digest);
    await home.must("crane", ["validate", "--remote", `${upstream.host}/backup/own:2.0.0`]);
  });

  it("what was pulled stays when it is gone: by digest, and by tag", async () => {
    await upstream.stop();
    const reference = `${server.host}/default/hub/app`;
    await home.must("crane", ["validate", "--remote", `${reference}@${image.digest}`]);
    expect(await home.must("crane", ["digest", `${reference}:1.0.0`])).toBe(image.digest);
  });
});
