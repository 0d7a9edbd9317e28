import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";

const PROGRAM = fileURLToPath(new URL("../../../bin/docker-credential-assay", import.meta.url));
const NOT_FOUND = "credentials not found in native keychain\n";

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
});
afterEach(() => desk.remove());

/** Runs the helper as docker does: the verb as its argument, the request on standard input. */
function helper(
  verb: string,
  input = "",
  env: Readonly<Record<string, string>> = {},
): Promise<{ exit: number | null; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, verb], {
      env: { PATH: process.env["PATH"], HOME: desk.folder, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.on("error", reject);
    child.on("close", (exit) => resolve({ exit, stdout }));
    child.stdin.end(input);
  });
}

const stored = (serverUrl: string, secret: string, username = "alice"): string =>
  JSON.stringify({ ServerURL: serverUrl, Username: username, Secret: secret });

describe("docker-credential-assay", () => {
  it("gives back what it was given, under the name it was asked by, lists it and forgets it", async () => {
    expect(await helper("store", stored("registry.example", "tok"))).toEqual({ exit: 0, stdout: "" });
    for (const name of [
      "registry.example",
      "https://registry.example",
      "registry.example:443",
      "https://registry.example/v2/",
    ]) {
      const { exit, stdout } = await helper("get", `${name}\n`);
      expect(exit).toBe(0);
      expect(JSON.parse(stdout)).toEqual({ ServerURL: name, Username: "admin", Secret: "tok" });
    }
    expect(JSON.parse((await helper("list")).stdout)).toEqual({ "https://registry.example": "admin" });
    expect(await helper("erase", "registry.example")).toEqual({ exit: 0, stdout: "" });
    expect(await helper("get", "registry.example")).toEqual({ exit: 1, stdout: NOT_FOUND });
    expect(await helper("erase", "registry.example")).toMatchObject({ exit: 0 });
  });

  it("says what every helper says of a server it knows nothing of", async () => {
    expect(await helper("get", "other.example")).toEqual({ exit: 1, stdout: NOT_FOUND });
  });

  it("tells hosts, ports and schemes apart", async () => {
    await helper("store", stored("http://127.0.0.1:8400", "plain"));
    expect((await helper("get", "127.0.0.1:8400")).stdout).toContain('"plain"');
    for (const name of ["127.0.0.1:8401", "127.0.0.1", "https://127.0.0.1:8401", "127.0.0.1.evil.example:8400"]) {
      expect(await helper("get", name), name).toEqual({ exit: 1, stdout: NOT_FOUND });
    }
  });

  it("never hands a token that is for https to a client that goes by http", async () => {
    await helper("store", stored("registry.example", "tok"));
    expect(await helper("get", "http://registry.example")).toEqual({ exit: 1, stdout: NOT_FOUND });
    expect(await helper("get", "http://registry.example:443")).toEqual({ exit: 1, stdout: NOT_FOUND });
  });

  it("gives a token from the environment to the server of the environment, and to no other", async () => {
    const env = { ASSAY_URL: "http://127.0.0.1:8400", ASSAY_TOKEN: "from-ci" };
    expect((await helper("get", "127.0.0.1:8400", env)).stdout).toContain('"from-ci"');
    expect(await helper("get", "evil.example", env)).toEqual({ exit: 1, stdout: NOT_FOUND });
    await helper("store", stored("evil.example", "its-own"), env);
    expect((await helper("get", "evil.example", env)).stdout).toContain('"its-own"');
  });

  it("leaves the server in use as it is", async () => {
    await desk.must("config", "set", "server", "https://assay.example");
    await helper("store", stored("registry.example", "tok"));
    expect((await desk.must("config", "get", "server")).stdout).toBe("https://assay.example\n");
  });

  it.each([
    ["get", ""],
    ["get", "not a host"],
    ["store", ""],
    ["store", "{}"],
    ["store", stored("h", "")],
    ["store", stored("h", "a\nb")],
    ["store", stored("h", "tok", "<token>")],
    ["erase", "::::"],
  ])("refuses %s of %j with exit code 1 and keeps nothing", async (verb, input) => {
    const { exit, stdout } = await helper(verb, input);
    expect(exit).toBe(1);
    expect(stdout).toMatch(/^[^\n]+\n$/);
    expect(() => readFileSync(desk.path(".config/assay/config.json"))).toThrow("ENOENT");
  });

  it("refuses a request that is too long", async () => {
    expect(await helper("get", "a".repeat(70_000))).toMatchObject({ exit: 1 });
  });
});
