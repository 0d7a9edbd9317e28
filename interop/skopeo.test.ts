import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiOf } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const PLAIN = ["--dest-tls-verify=false"];

describe("skopeo", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let target: string;

  /** The program without a policy of the machine's: what it may copy is no question here. */
  const skopeo = (args: string[], input?: string): Promise<string> =>
    home.must("skopeo", ["--insecure-policy", ...args], input === undefined ? {} : { input });
  const auth = (): string => `--authfile=${home.path("auth.json")}`;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    writeFileSync(home.path("registries.conf"), "unqualified-search-registries = []\n");
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    target = `docker://${server.host}/default/app:1.0.0`;
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("logs in with the token, and is refused with a wrong one", async () => {
    const login = ["login", "--tls-verify=false", auth(), "-u", "admin", "--password-stdin", server.host];
    const refused = await home.run("skopeo", login, { input: "wrong" });
    expect(refused.code).not.toBe(0);
    expect(await skopeo(login, server.adminToken)).toContain("Login Succeeded");
  });

  it("copies an image in, inspects it, and copies it on, with the login", async () => {
    await skopeo(["copy", auth(), "--preserve-digests", ...PLAIN, `oci:${image.layout}`, target]);
    const inspected = await skopeo(["inspect", auth(), "--tls-verify=false", "--raw", target]);
    expect(JSON.parse(inspected)).toMatchObject({ schemaVersion: 2 });
    const digest = await skopeo(["inspect", auth(), "--tls-verify=false", "--format={{.Digest}}", target]);
    expect(digest).toBe(image.digest);
    const on = `docker://${server.host}/default/promoted:1.0.0`;
    await skopeo(["copy", auth(), "--preserve-digests", "--src-tls-verify=false", ...PLAIN, target, on]);
    expect(await skopeo(["inspect", auth(), "--tls-verify=false", "--format={{.Digest}}", on])).toBe(digest);
  });

  it("copies the tag that cosign 2 keeps signatures under, which are evidence where they come", async () => {
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "ours"]);
    const old = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"];
    const named = `${server.host}/default/app@${image.digest}`;
    await home.must("cosign", ["sign", "--yes", "--key", "ours.key", ...old, "--allow-http-registry", named]);
    const tag = `${image.digest.replace(":", "-")}.sig`;
    const copied = [`docker://${server.host}/default/app:${tag}`, `docker://${server.host}/default/promoted:${tag}`];
    await skopeo(["copy", auth(), "--preserve-digests", "--src-tls-verify=false", ...PLAIN, ...copied]);
    const [piece, ...others] = await apiOf(server).evidence("default", image.digest, "default/promoted");
    expect(others).toEqual([]);
    expect(piece).toMatchObject({ repositories: ["default/app", "default/promoted"] });
  });
});
