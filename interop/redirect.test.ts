/**
 * Pulls that are sent to S3 itself, by real clients, on a gateway that checks signatures: they follow, and what they get is what was pushed;
 * the URL is good for that one object, that one answer and a minute.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { S3Client } from "../packages/server/src/storage/s3-client.ts";
import type { S3Server } from "../packages/server/test/s3-server.ts";
import { s3Settings } from "../packages/server/test/stored-blobs.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";
import { startVersitygw } from "./versitygw.ts";

describe("a pull that is sent to S3", () => {
  let gateway: S3Server;
  let server: Server;
  let home: Home;
  let image: Image;
  let reference: string;

  beforeAll(async () => {
    gateway = await startVersitygw();
    server = await startServer({ env: { ...s3Settings(gateway.location), ASSAY_BLOBS_REDIRECT: "1" } });
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["commander", "yaml"] });
    reference = `${server.host}/default/app:latest`;
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    await home.must("crane", ["push", image.layout, reference]);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
    await gateway.stop();
  });

  const blobOf = (layout: string, digest: string): Buffer =>
    readFileSync(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));

  async function lent(digest: string): Promise<URL> {
    const answer = await fetch(`${server.url}/v2/default/app/blobs/${digest}`, {
      headers: { authorization: `Bearer ${server.adminToken}` },
      redirect: "manual",
    });
    expect(answer.status).toBe(307);
    return new URL(answer.headers.get("location") ?? "");
  }

  function largest(): string {
    const [first] = image.layers.toSorted((a, b) => blobOf(image.layout, b).length - blobOf(image.layout, a).length);
    if (first === undefined) throw new Error("the image has no layers");
    return first;
  }

  it("is followed by crane, skopeo and oras, which get what was pushed", async () => {
    const pulled = home.path("pulled");
    await home.must("crane", ["pull", "--format=oci", reference, pulled]);
    for (const digest of [image.config, ...image.layers]) {
      expect(blobOf(pulled, digest)).toEqual(blobOf(image.layout, digest));
    }
    await home.must("crane", ["validate", "--remote", reference]);
    const copied = home.path("copied");
    const source = ["--src-creds", `admin:${server.adminToken}`, "--src-tls-verify=false"];
    await home.must("skopeo", [
      "--insecure-policy",
      "copy",
      ...source,
      `docker://${reference}`,
      `oci:${copied}:latest`,
    ]);
    for (const digest of image.layers) expect(blobOf(copied, digest)).toEqual(blobOf(image.layout, digest));
    const fetched = home.path("fetched");
    const blob = `${server.host}/default/app@${largest()}`;
    const login = ["--plain-http", "-u", "admin", "-p", server.adminToken];
    await home.must("oras", ["blob", "fetch", ...login, "--output", fetched, blob]);
    expect(readFileSync(fetched)).toEqual(blobOf(image.layout, largest()));
  });

  it("is signed: the object as a download, and neither another one, another answer nor another method", async () => {
    const digest = largest();
    const url = await lent(digest);
    const got = await fetch(url);
    expect(got.status).toBe(200);
    expect(got.headers.get("content-type")).toBe("application/octet-stream");
    expect(got.headers.get("content-disposition")).toBe("attachment");
    const hash = createHash("sha256").update(Buffer.from(await got.arrayBuffer()));
    expect(`sha256:${hash.digest("hex")}`).toBe(digest);
    const altered = (change: (to: URL) => void): URL => {
      const to = new URL(url);
      change(to);
      return to;
    };
    const other = image.config.slice("sha256:".length);
    for (const to of [
      altered((it) => (it.pathname = it.pathname.replace(/[^/]+\/[^/]+$/, `${other.slice(0, 2)}/${other}`))),
      altered((it) => it.searchParams.set("response-content-type", "text/html")),
      altered((it) => it.searchParams.delete("response-content-disposition")),
      altered((it) => it.searchParams.set("X-Amz-Expires", "604800")),
    ]) {
      expect((await fetch(to)).status).toBe(403);
    }
    for (const method of ["PUT", "DELETE"]) expect((await fetch(url, { method })).status).toBe(403);
    expect((await fetch(await lent(digest))).status).toBe(200);
  });

  it("ends", async () => {
    const client = new S3Client(gateway.location);
    const { pathname } = await lent(largest());
    const key = pathname.slice(`/${gateway.location.bucket}/`.length);
    const url = await client.lend(key, 1, {});
    expect((await fetch(url)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await fetch(url)).status).toBe(403);
    await client.close();
  });
});
