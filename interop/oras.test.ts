import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

describe("oras", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let reference: string;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    await home.must("oras", ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"], {
      input: server.adminToken,
    });
    reference = `${server.host}/default/app`;
    await home.must("oras", [
      "cp",
      "--to-plain-http",
      "--from-oci-layout",
      `${image.layout}@${image.digest}`,
      `${reference}:latest`,
    ]);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("is refused at login with a wrong password", async () => {
    const stranger = makeHome();
    try {
      const login = ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"];
      expect((await stranger.run("oras", login, { input: "wrong" })).code).not.toBe(0);
    } finally {
      stranger.remove();
    }
  });

  it("pushes files as an artifact and pulls the same bytes", async () => {
    writeFileSync(home.path("one.txt"), "one\n");
    writeFileSync(home.path("two.bin"), readFileSync(process.execPath).subarray(0, 300_000));
    const target = `${server.host}/default/files:1.0.0`;
    await home.must("oras", [
      "push",
      "--plain-http",
      target,
      "--artifact-type",
      "application/vnd.example.files",
      "one.txt",
      "two.bin",
    ]);
    await home.must("oras", ["pull", "--plain-http", "-o", "out", target]);
    for (const name of ["one.txt", "two.bin"])
      expect(readFileSync(home.path("out", name))).toEqual(readFileSync(home.path(name)));
  });

  it("attaches a file to an image and discovers it by its type, with its annotations", async () => {
    writeFileSync(home.path("report.json"), '{"findings":[]}\n');
    const pinned = `${reference}@${image.digest}`;
    const attach = ["attach", "--plain-http", pinned, "--artifact-type", "application/vnd.example.report"];
    await home.must("oras", [...attach, "--annotation", "org.example.tool=scanner", "report.json:application/json"]);
    const discover = ["discover", "--plain-http", "--format", "json"];
    type Discovered = { referrers?: { artifactType: string; annotations?: Record<string, string> }[] };
    const all = JSON.parse(await home.must("oras", [...discover, pinned])) as Discovered;
    expect(all.referrers?.map(({ artifactType }) => artifactType)).toEqual(["application/vnd.example.report"]);
    expect(all.referrers?.[0]?.annotations?.["org.example.tool"]).toBe("scanner");
    const other = await home.must("oras", [...discover, "--artifact-type", "application/vnd.example.other", pinned]);
    expect((JSON.parse(other) as Discovered).referrers ?? []).toEqual([]);
  });

  it("copies an image with what is attached to it", async () => {
    const target = `${server.host}/default/copied:latest`;
    await home.must("oras", ["cp", "-r", "--from-plain-http", "--to-plain-http", `${reference}:latest`, target]);
    const discovered = await home.must("oras", ["discover", "--plain-http", "--format", "json", target]);
    expect(discovered).toContain("application/vnd.example.report");
  });

  it("lists tags", async () => {
    expect(await home.must("oras", ["repo", "tags", "--plain-http", reference])).toBe("latest");
  });

  it("deletes a manifest", async () => {
    const target = `${server.host}/default/short-lived`;
    writeFileSync(home.path("short-lived.txt"), "short-lived\n");
    await home.must("oras", ["push", "--plain-http", `${target}:latest`, "short-lived.txt"]);
    await home.must("oras", ["manifest", "delete", "--plain-http", "--force", `${target}:latest`]);
    expect((await home.run("oras", ["manifest", "fetch", "--plain-http", `${target}:latest`])).code).not.toBe(0);
  });
});
