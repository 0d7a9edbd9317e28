import { readFileSync, statSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
});
afterEach(() => desk.remove());

const file = (): string => desk.path(".config/assay/config.json");
const get = async (...words: string[]): Promise<string> => (await desk.assay("config", "get", ...words)).stdout.trim();

describe("assay config", () => {
  it("keeps a setting in a file for its owner only, and forgets it again", async () => {
    await desk.must("config", "set", "org", "acme");
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(await get("org")).toBe("acme");
    await desk.must("config", "unset", "org");
    expect(await desk.assay("config", "get", "org")).toMatchObject({ exit: 1, stdout: "" });
    expect((await desk.must("config", "path")).stdout.trim()).toBe(file());
  });

  it("shows who says what: flag before variable before profile before file", async () => {
    await desk.must("config", "set", "org", "from-file");
    await desk.must("profile", "add", "p", "--org", "from-profile", "--server", "http://127.0.0.1:1");
    const origin = async (env: Record<string, string>, ...flags: string[]): Promise<unknown> => {
      const ran = await desk.assayWith(env, "config", "list", "--show-origin", "--output", "json", ...flags);
      return (ran.json()["settings"] as Record<string, unknown>)["org"];
    };
    expect(await origin({})).toEqual({ value: "from-file", origin: "default", by: "org" });
    expect(await origin({ ASSAY_PROFILE: "p" })).toEqual({ value: "from-profile", origin: "profile", by: "p" });
    const env = { ASSAY_PROFILE: "p", ASSAY_ORG: "from-variable" };
    expect(await origin(env)).toEqual({ value: "from-variable", origin: "environment", by: "ASSAY_ORG" });
    expect(await origin(env, "--org", "from-flag")).toEqual({ value: "from-flag", origin: "flag", by: "--org" });
    const { stdout } = await desk.must("config", "list", "--show-origin", "--profile", "p");
    expect(stdout).toMatch(/^org +from-profile +the profile p$/m);
    expect(stdout).toMatch(/^server +http:\/\/127\.0\.0\.1:1 +the profile p$/m);
    expect(stdout).toMatch(/^store +\(not set\)$/m);
  });

  it.each([
    [["set", "outptu", "json"], "Did you mean output?"],
    [["set", "output", "jsno"], "Did you mean json?"],
    [["set", "server", "assay.example"], "Give scheme, host and port"],
    [["set", "credential-helper", "../../bin/sh"], "It is a plain word"],
    [["get", "nonsense"], "There are server, org"],
    [["unset", "orgg"], "Did you mean org?"],
  ])("refuses %j and says what to do", async (words, hint) => {
    const ran = await desk.assay("config", ...words);
    expect(ran).toMatchObject({ exit: 2, stdout: "" });
    expect(ran.stderr).toContain(hint);
  });

  it("makes the output's form what the file says, also for errors of later verbs, unless a flag says otherwise", async () => {
    await desk.must("config", "set", "output", "json");
    const failed = await desk.assay("org", "list");
    expect(JSON.parse(failed.stderr)).toMatchObject({ error: { code: "server-missing" } });
    expect((await desk.must("config", "path", "--output", "text")).stdout).toBe(`${file()}\n`);
    expect((await desk.assayWith({ ASSAY_OUTPUT: "text" }, "config", "path")).stdout).toBe(`${file()}\n`);
    expect(await desk.assayWith({ ASSAY_OUTPUT: "xml" }, "config", "path")).toMatchObject({ exit: 2 });
  });

  it("refuses a file with a key nobody knows, and leaves verbs alone that need none of it", async () => {
    await desk.must("config", "set", "org", "acme");
    const text = readFileSync(file(), "utf8").replace('"org"', '"ogr"');
    desk.file(".config/assay/config.json", text);
    const ran = await desk.assay("config", "list");
    expect(ran).toMatchObject({ exit: 3, stdout: "" });
    expect(ran.stderr).toContain("Did you mean org?");
    expect((await desk.must("fingerprint", desk.file("a", "a"), "-t", "file")).stdout).toMatch(/^[0-9a-f]{64}\n$/);
  });
});

describe("assay profile", () => {
  it("gives a server, an organisation and a form of output a name, used when named or chosen", async () => {
    await desk.must("profile", "add", "one", "--server", "http://127.0.0.1:1", "--org", "o1");
    await desk.must("profile", "add", "two", "--server", "http://127.0.0.1:2");
    expect(await get("server")).toBe("");
    expect(await get("server", "--profile", "two")).toBe("http://127.0.0.1:2");
    await desk.must("profile", "use", "one");
    expect(await get("org")).toBe("o1");
    const { stdout } = await desk.must("profile", "list");
    expect(stdout).toMatch(/^one +http:\/\/127\.0\.0\.1:1 +o1 +yes$/m);
    await desk.must("profile", "use");
    expect(await get("org")).toBe("");
  });

  it("is changed by `config --profile`, and not by what was chosen long ago", async () => {
    await desk.must("profile", "add", "one", "--org", "o1");
    await desk.must("profile", "use", "one");
    await desk.must("config", "set", "org", "everywhere");
    expect(await get("org")).toBe("o1");
    await desk.must("config", "set", "org", "o2", "--profile", "one");
    expect(await get("org")).toBe("o2");
    await desk.must("config", "unset", "org", "--profile", "one");
    expect(await get("org")).toBe("everywhere");
  });

  it("that is removed is used no more", async () => {
    await desk.must("profile", "add", "one", "--org", "o1");
    await desk.must("profile", "use", "one");
    await desk.must("profile", "remove", "one");
    expect(await get("org")).toBe("");
    expect((await desk.must("profile", "list")).stdout).toContain("there are no profiles yet");
  });

  it.each([
    [["profile", "use", "prodution"], "Did you mean production?"],
    [["profile", "remove", "prodction"], "Did you mean production?"],
    [["profile", "add", "production"], "config set --profile production"],
    [["profile", "add", "../x"], "A name has letters"],
    [["org", "list", "--profile", "producton"], "Did you mean production?"],
  ])("refuses %j with a hint", async (words, hint) => {
    await desk.must("profile", "add", "production");
    const ran = await desk.assay(...words);
    expect(ran).toMatchObject({ exit: 2, stdout: "" });
    expect(ran.stderr).toContain(hint);
  });
});
