import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiOf } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

describe("crane", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let altered: Image;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["commander", "yaml"] });
    altered = makeImage({ layout: home.path("altered"), packages: ["commander", "yaml"], altered: true });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  const blobOf = (layout: string, digest: string): Buffer =>
    readFileSync(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));

  it("pushes an image and is told the digest it has computed itself", async () => {
    const pushed = await home.must("crane", ["push", image.layout, `${server.host}/default/app:latest`]);
    expect(pushed).toBe(`${server.host}/default/app@${image.digest}`);
    expect(await home.must("crane", ["digest", `${server.host}/default/app:latest`])).toBe(image.digest);
  });

  it("takes a name of one component as one of the default organisation", async () => {
    expect(await home.must("crane", ["digest", `${server.host}/app:latest`])).toBe(image.digest);
  });

  it("pushes what is there already without sending a layer again", async () => {
    const { code, stderr } = await home.run("crane", ["push", image.layout, `${server.host}/default/app:again`]);
    expect(code).toBe(0);
    expect(stderr).toContain("existing blob");
    expect(stderr).not.toContain("pushed blob");
  });

  it("pulls the same bytes that were pushed", async () => {
    const pulled = home.path("pulled");
    await home.must("crane", ["pull", "--format=oci", `${server.host}/default/app@${image.digest}`, pulled]);
    for (const digest of [image.digest, image.config, ...image.layers]) {
      expect(blobOf(pulled, digest)).toEqual(blobOf(image.layout, digest));
    }
  });

  it("reads manifest and config byte for byte", async () => {
    const { stdout: manifest } = await home.run("crane", ["manifest", `${server.host}/default/app@${image.digest}`]);
    expect(manifest.trimEnd()).toBe(blobOf(image.layout, image.digest).toString());
    const { stdout: config } = await home.run("crane", ["config", `${server.host}/default/app:latest`]);
    expect(config.trimEnd()).toBe(blobOf(image.layout, image.config).toString());
    await home.must("crane", ["validate", "--remote", `${server.host}/default/app:latest`]);
  });

  it("copies to another repository by mounting the layers", async () => {
    const { code, stderr } = await home.run("crane", [
      "copy",
      `${server.host}/default/app:latest`,
      `${server.host}/default/mirror/app:copied`,
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("mounted blob");
    expect(await home.must("crane", ["digest", `${server.host}/default/mirror/app:copied`])).toBe(image.digest);
  });

  it("lists tags in order", async () => {
    expect((await home.must("crane", ["ls", `${server.host}/default/app`])).split("\n")).toEqual(["again", "latest"]);
    expect((await home.must("crane", ["catalog", server.host])).split("\n")).toContain("default/app");
  });

  it("pushes an index over two images and finds its members by digest", async () => {
    const second = await home.must("crane", ["push", altered.layout, `${server.host}/default/app:other`]);
    await home.must("crane", [
      "index",
      "append",
      "-t",
      `${server.host}/default/app:multi`,
      "-m",
      `${server.host}/default/app@${image.digest}`,
      "-m",
      second,
    ]);
    const index = JSON.parse(await home.must("crane", ["manifest", `${server.host}/default/app:multi`])) as {
      manifests: { digest: string }[];
    };
    expect(index.manifests.map(({ digest }) => digest)).toEqual([image.digest, altered.digest]);
  });

  it("moves a plain tag, and never one that names a release", async () => {
    await home.must("crane", ["tag", `${server.host}/default/app@${image.digest}`, "v1.2.3"]);
    await home.must("crane", ["tag", `${server.host}/default/app@${image.digest}`, "v1.2.3"]); // the same again is success
    const moved = await home.run("crane", ["tag", `${server.host}/default/app@${altered.digest}`, "v1.2.3"]);
    expect(moved.code).not.toBe(0);
    expect(await home.must("crane", ["digest", `${server.host}/default/app:v1.2.3`])).toBe(image.digest);

    await home.must("crane", ["tag", `${server.host}/default/app@${altered.digest}`, "again"]);
    expect(await home.must("crane", ["digest", `${server.host}/default/app:again`])).toBe(altered.digest);
  });

  it("deletes a manifest by digest, which is then unknown there and still known elsewhere", async () => {
    await home.must("crane", ["push", altered.layout, `${server.host}/default/short-lived:latest`]);
    await home.must("crane", ["delete", `${server.host}/default/short-lived@${altered.digest}`]);
    const gone = await home.run("crane", ["manifest", `${server.host}/default/short-lived@${altered.digest}`]);
    expect(gone.code).not.toBe(0);
    expect(gone.stderr).toContain("MANIFEST_UNKNOWN");
    expect(await home.must("crane", ["digest", `${server.host}/default/app:other`])).toBe(altered.digest);
  });

  it("is refused without credentials, and with wrong ones", async () => {
    const stranger = makeHome();
    try {
      const anonymous = await stranger.run("crane", ["digest", `${server.host}/default/app:latest`]);
      expect(anonymous.code).not.toBe(0);
      expect(anonymous.stderr).toMatch(/UNAUTHORIZED|401/);
      await stranger.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", "wrong"]);
      const wrong = await stranger.run("crane", ["push", image.layout, `${server.host}/default/app:stolen`]);
      expect(wrong.code).not.toBe(0);
      expect(wrong.stderr).toMatch(/UNAUTHORIZED|401/);
    } finally {
      stranger.remove();
    }
  });

  it("pulls what is public without a login, and is refused what is not", async () => {
    const stranger = makeHome();
    try {
      await home.must("crane", ["push", image.layout, `${server.host}/default/open:1.0.0`]);
      const path = "/orgs/default/repositories/open";
      await apiOf(server).call("PATCH", path, { visibility: "public" });
      expect(await stranger.must("crane", ["digest", `${server.host}/default/open:1.0.0`])).toBe(image.digest);
      await stranger.must("crane", ["validate", "--remote", `${server.host}/default/open:1.0.0`]);
      expect(await stranger.must("crane", ["catalog", server.host])).toBe("default/open");
      const push = await stranger.run("crane", ["push", image.layout, `${server.host}/default/open:2.0.0`]);
      expect(push.code).not.toBe(0);
      expect(push.stderr).toMatch(/UNAUTHORIZED|401/);
    } finally {
      stranger.remove();
    }
  });

  it("is told that a tag of the repository never moves, and what deleting evidence needs", async () => {
    const path = "/orgs/default/repositories";
    await apiOf(server).call("POST", path, { name: "kept", immutable: "all-tags" });
    await home.must("crane", ["push", image.layout, `${server.host}/default/kept:edge`]);
    const moved = await home.run("crane", ["push", altered.layout, `${server.host}/default/kept:edge`]);
    expect(moved.code).not.toBe(0);
    expect(moved.stderr).toContain("DENIED");
    expect(moved.stderr).toContain("immutable tag edge");
    const report = { subject: image.digest, predicateType: "https://example.com/r", predicate: {} };
    await apiOf(server).call("POST", "/orgs/default/reports", report);
    const deleted = await home.run("crane", ["delete", `${server.host}/default/kept@${image.digest}`]);
    expect(deleted.code).not.toBe(0);
    expect(deleted.stderr).toContain("assay repository delete kept@");
  });

  it("is told that an organisation does not exist", async () => {
    const { code, stderr } = await home.run("crane", ["push", image.layout, `${server.host}/nobody/app:latest`]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("NAME_UNKNOWN");
  });

  it("finds everything again after the server has been stopped and started", async () => {
    const { dataFolder, adminToken } = server;
    await server.stop({ keepData: true });
    server = await startServer({ dataFolder, adminToken });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    expect(await home.must("crane", ["digest", `${server.host}/default/app:v1.2.3`])).toBe(image.digest);
    await home.must("crane", ["validate", "--remote", `${server.host}/default/app:latest`]);
  });
});
