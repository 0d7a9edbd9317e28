import { readFileSync, statSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { runAssay } from "./run.ts";
import { startTestServer, type TestServer } from "./server.ts";

describe("assay login", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk();
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  const file = (): string => desk.path(".config/assay/config.json");

  it("checks the token, keeps it for this user only, and every verb uses it from then on", async () => {
    const ran = await runAssay(["login", server.url, "--token-stdin"], {
      env: { HOME: desk.folder },
      input: `${server.token}\n`,
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toMatch(/you are +admin/);
    expect(ran.stdout).not.toContain(server.token);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect((await desk.must("org", "list", "--output", "json")).json()).toMatchObject([{ name: "default" }]);
  });

  it("is not used in the place of a token that is set but empty", async () => {
    const ran = await desk.assayWith({ ASSAY_TOKEN: "" }, "org", "list");
    expect(ran).toMatchObject({ exit: 2, stdout: "" });
    expect(ran.stderr).toContain("ASSAY_TOKEN is set but empty [setting-empty]");
    // The line end that `cat` of a file with Windows line ends leaves is no part of a token.
    expect((await desk.assayWith({ ASSAY_TOKEN: `${server.token}\r` }, "org", "list")).exit).toBe(0);
  });

  it("never replaces a good token by one that the server refuses", async () => {
    const before = readFileSync(file(), "utf8");
    const ran = await desk.assay("login", server.url, "--token", "wrong-token-0123456789");
    expect(ran.exit).toBe(3);
    expect(ran.stderr).toContain("[unauthorized]");
    expect(ran.stderr).toContain("Set ASSAY_TOKEN to a valid token, or run `assay login`.");
    expect(ran.stderr).not.toContain("wrong-token");
    expect(readFileSync(file(), "utf8")).toBe(before);
  });

  it("is undone by logout", async () => {
    expect((await desk.must("logout")).stdout).toContain("forgot");
    expect(readFileSync(file(), "utf8")).not.toContain(server.token);
    expect((await desk.assay("org", "list")).exit).toBe(2);
    expect((await desk.must("logout", server.url)).stdout).toContain("nothing was kept");
  });
});

describe("an artifact's place", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  it("is the default organisation's repository where a reference has one component: keys in scope there count", async () => {
    const { key, pub } = await desk.keyPair("scoped");
    await desk.must("trust", "add", "scoped", "--key", pub, "--repository", "default/app");
    await desk.must("push", desk.file("a.txt", "a"), "app:1.0.0");
    await desk.must("sign", "app:1.0.0", "--key", key);
    const here = await desk.must("verify", "app:1.0.0");
    expect(here.stdout).toContain("in default/app");
    await desk.must("push", desk.path("a.txt"), "other:1.0.0");
    const elsewhere = await desk.assay("verify", "other:1.0.0");
    expect(elsewhere.stdout).toContain("in default/other");
    expect(elsewhere.exit).toBe(1);
  });

  it("in a flow is what `attest artifact` signs, as the command is written, and what the evidence is found by", async () => {
    const { key } = await desk.keyPair("builder");
    const artifact = desk.file("project-a-app.bin", "a program\n");
    const words =
      "attest artifact ARTIFACT --artifact-type file --build-url https://ci.example.com/builds/1 " +
      `--commit-url https://example.com/commit/1 --git-commit ${"b".repeat(40)} ` +
      "--flow project-a --trail trail-1 --name backend";
    const argv = words.split(" ").map((word) => (word === "ARTIFACT" ? artifact : word));
    const attested = await desk.assayWith({ ASSAY_KEY: key }, ...argv);
    expect(attested.stderr).toBe("");
    expect(attested.exit).toBe(0);
    const found = await desk.must("evidence", "list", "--flow", "project-a", "--trail", "trail-1", "--output", "json");
    expect(found.json()).toMatchObject([{ flow: "project-a", trail: "trail-1", name: "backend" }]);
    expect((await desk.must("evidence", "list", "--flow", "project-b")).stdout).toContain("no evidence");
    expect((await desk.assay("evidence", "list")).exit).toBe(2);
    expect((await desk.assay("evidence", "list", artifact, "--flow", "project-a")).exit).toBe(2);
  });
});
