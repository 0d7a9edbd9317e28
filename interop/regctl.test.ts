import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

describe("regctl", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let reference: string;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    await home.must("regctl", ["registry", "set", "--skip-check", "--tls", "disabled", server.host]);
    await home.must("regctl", ["registry", "login", server.host, "-u", "admin", "--pass-stdin"], {
      input: server.adminToken,
    });
    reference = `${server.host}/default/app:latest`;
    await home.must("regctl", ["image", "copy", `ocidir://${image.layout}@${image.digest}`, reference]);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("copies an image in and reads its digest", async () => {
    expect(await home.must("regctl", ["image", "digest", reference])).toBe(image.digest);
    expect(await home.must("regctl", ["tag", "ls", `${server.host}/default/app`])).toBe("latest");
  });

  it("reads one blob", async () => {
    const config = await home.must("regctl", ["blob", "get", `${server.host}/default/app`, image.config]);
    expect(JSON.parse(config)).toMatchObject({ os: "linux", architecture: "amd64" });
  });

  it("uploads a blob in chunks, one of them the last and short", async () => {
    const content = "0123456789".repeat(300_000);
    await home.must("regctl", [
      "registry",
      "set",
      "--skip-check",
      "--blob-chunk",
      "1000000",
      "--blob-max",
      "1",
      server.host,
    ]);
    const digest = await home.must("regctl", ["blob", "put", `${server.host}/default/app`], { input: content });
    const { stdout } = await home.run("regctl", ["blob", "get", `${server.host}/default/app`, digest]);
    expect(stdout === content).toBe(true);
  });

  it("puts an artifact on an image and shows it in the tree", async () => {
    writeFileSync(home.path("note.txt"), "note\n");
    const put = ["artifact", "put", "--subject", reference, "--artifact-type", "application/vnd.example.note"];
    await home.must("regctl", [...put, "-f", "note.txt"]);
    expect(await home.must("regctl", ["artifact", "tree", reference])).toContain("application/vnd.example.note");
    expect(await home.must("regctl", ["artifact", "list", reference])).toContain("application/vnd.example.note");
  });

  it("makes an image named by SHA-512, copies it to another repository and puts an artifact on it", async () => {
    const [made, copied] = [`${server.host}/default/app512:one`, `${server.host}/default/copy512:one`];
    await home.must("regctl", ["image", "mod", reference, "--digest-algo", "sha512", "--create", made]);
    const digest = await home.must("regctl", ["image", "digest", made]);
    expect(digest).toMatch(/^sha512:[0-9a-f]{128}$/);
    await home.must("regctl", ["image", "copy", made, copied]);
    expect(await home.must("regctl", ["image", "digest", copied])).toBe(digest);
    writeFileSync(home.path("about.txt"), "about\n");
    const put = ["artifact", "put", "--subject", copied, "--artifact-type", "application/vnd.example.about"];
    await home.must("regctl", [...put, "-f", "about.txt"]);
    expect(await home.must("regctl", ["artifact", "list", copied])).toContain("application/vnd.example.about");
    await home.must("regctl", ["image", "copy", copied, "ocidir://out512:one"]);
    expect(await home.must("regctl", ["image", "digest", "ocidir://out512:one"])).toBe(digest);
  });

  it("deletes a tag and leaves the manifest", async () => {
    await home.must("regctl", ["image", "copy", reference, `${server.host}/default/app:second`]);
    await home.must("regctl", ["tag", "delete", `${server.host}/default/app:second`]);
    expect(await home.must("regctl", ["tag", "ls", `${server.host}/default/app`])).toBe("latest");
    expect(await home.must("regctl", ["image", "digest", reference])).toBe(image.digest);
  });
});
