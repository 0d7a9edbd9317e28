/** Tokens in the desktop's own keyring, and handed by docker-credential-assay to the real clients of registries. */
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "./clients.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const bin = fileURLToPath(new URL("../bin", import.meta.url));

/** Where the bus lies if it was unpacked rather than installed: it then does not find its own parts. */
const unpacked = fileURLToPath(new URL("../.cache/interop/modules/dbus-run-session/root", import.meta.url));

let server: Server;
let home: Home;
let env: Record<string, string>;

beforeAll(async () => {
  server = await startServer();
  home = makeHome();
  // The programs by the names that are looked for on the PATH, and nothing else of the clients' folder.
  mkdirSync(home.path("bin"));
  symlinkSync(clientProgram("secret-tool"), home.path("bin", "secret-tool"));
  mkdirSync(home.path("runtime"), { mode: 0o700 });
  env = { PATH: `${home.path("bin")}:${bin}:${process.env["PATH"] ?? ""}`, XDG_RUNTIME_DIR: home.path("runtime") };
});

afterAll(async () => {
  home.remove();
  await server.stop();
});

describe("the Secret Service of GNOME Keyring, through secret-tool", () => {
  /** Runs a script in a session of its own, with an unlocked keyring, as a desktop has. */
  function inSession(script: string): Promise<string> {
    const unlock = `printf 'a password' | ${clientProgram("gnome-keyring-daemon")} --unlock --components=secrets > /dev/null`;
    // The daemon takes its name on the bus after it has answered.
    const ready =
      "for n in 1 2 3 4 5 6 7 8 9 10; do secret-tool search none none 2>/dev/null; [ $? = 0 ] && break; sleep 0.3; done";
    const places = existsSync(unpacked)
      ? [`--dbus-daemon=${unpacked}/usr/bin/dbus-daemon`, `--config-file=${unpacked}/usr/share/dbus-1/session.conf`]
      : [];
    const words = [...places, "--", "bash", "-euo", "pipefail", "-c", `${unlock}\n${ready} || true\n${script}`];
    return home.must("dbus-run-session", words, { env: { ...env, TOKEN: server.adminToken, URL: server.url } });
  }

  it("keeps the token of a login for later sessions, and gives it up at logout", async () => {
    const said = await inSession(`assay login "$URL" --token "$TOKEN" --store keyring
secret-tool lookup service assay account "$URL" | cmp - <(printf %s "$TOKEN") && echo same
assay org list
secret-tool search service assay account "$URL" 2>&1 | grep label`);
    expect(said).toMatch(/kept in +the keyring secret-service/);
    expect(said).toContain("same");
    expect(said).toMatch(/^default +bootstrap admin/m);
    expect(said).toContain(`label = assay: ${server.url}`);
    expect(readFileSync(home.path("config", "assay", "config.json"), "utf8")).not.toContain(server.adminToken);
    const later = await inSession(`assay org list > /dev/null && echo found
assay logout
secret-tool lookup service assay account "$URL" || echo gone`);
    expect(later).toMatch(/found\nforgot .*\ngone/);
  });

  it("is used without being asked for, where it can be reached", async () => {
    expect(await inSession('assay login "$URL" --token "$TOKEN"; assay logout > /dev/null')).toContain(
      "the keyring secret-service",
    );
  });
});

describe("docker-credential-assay", () => {
  let image: Image;
  let reference: string;

  beforeAll(async () => {
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    reference = `${server.host}/default/app:latest`;
    const login = ["login", server.url, "--token-stdin", "--store", "file"];
    await home.must(join(bin, "assay"), login, { env, input: server.adminToken });
    // All that the clients know of the registry.
    writeFileSync(home.path("docker", "config.json"), JSON.stringify({ credHelpers: { [server.host]: "assay" } }));
  });

  it("lets crane push and pull with nothing but credHelpers configured", async () => {
    await home.must("crane", ["push", "--insecure", image.layout, reference], { env });
    expect(await home.must("crane", ["digest", "--insecure", reference], { env })).toBe(image.digest);
  });

  it("lets oras push files and pull them", async () => {
    writeFileSync(home.path("one.txt"), "one\n");
    const target = `${server.host}/default/files:1.0.0`;
    await home.must("oras", ["push", "--plain-http", target, "one.txt"], { env });
    await home.must("oras", ["pull", "--plain-http", "-o", "out", target], { env });
    expect(readFileSync(home.path("out", "one.txt"), "utf8")).toBe("one\n");
  });

  it("lets cosign find the signature that assay attached", async () => {
    const key = { ...env, ASSAY_KEY_PASSWORD: "interop" };
    await home.must(join(bin, "assay"), ["key", "generate", "--output-prefix", "release"], { env: key });
    await home.must(join(bin, "assay"), ["sign", "app:latest", "--key", "release.key"], { env: key });
    const verify = ["verify", "--key", "release.pub", "--insecure-ignore-tlog", "--allow-http-registry", reference];
    expect(await home.must("cosign", verify, { env })).toContain(image.digest);
  });

  it("keeps what oras login stores, and forgets what oras logout erases", async () => {
    await home.must(join(bin, "assay"), ["logout", server.url], { env });
    expect((await home.run("crane", ["digest", "--insecure", reference], { env })).code).not.toBe(0);
    const login = ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"];
    await home.must("oras", login, { env, input: server.adminToken });
    expect(readFileSync(home.path("docker", "config.json"), "utf8")).not.toContain("auths");
    expect(await home.must("crane", ["digest", "--insecure", reference], { env })).toBe(image.digest);
    // What docker's tools stored, assay itself uses too.
    expect(await home.must(join(bin, "assay"), ["org", "list", "--server", server.url], { env })).toContain("default");
    await home.must("oras", ["logout", server.host], { env });
    expect((await home.run("crane", ["digest", "--insecure", reference], { env })).code).not.toBe(0);
  });

  it("lets a pipeline in with the variables that assay itself reads, and nothing kept", async () => {
    const pipeline = { ...env, ASSAY_URL: server.url, ASSAY_TOKEN: server.adminToken };
    expect(await home.must("crane", ["digest", "--insecure", reference], { env: pipeline })).toBe(image.digest);
  });
});
