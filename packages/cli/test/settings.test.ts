import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Config, configPath, type KeptToken, parseConfig, readConfig, writeConfig } from "../src/config.ts";
import type { Environment } from "../src/environment.ts";
import { CliError } from "../src/errors.ts";
import { ServerClient } from "../src/http.ts";
import { Output } from "../src/output.ts";
import { progressLine, startProgress } from "../src/progress.ts";
import { isLoopback } from "../src/server-address.ts";
import { type Flags, normalizeServer, resolveSetting, resolveSettings } from "../src/settings.ts";
import { exitOfStatus, Transport } from "../src/transport.ts";
import { containing } from "./run.ts";
import { temporaryFolder } from "./tree.ts";

const inFile = (token: string): KeptToken => ({ in: "file", token });

const CONFIG: Config = {
  settings: { server: "https://one" },
  profile: undefined,
  profiles: new Map([
    ["ci", { settings: { server: "https://two", org: "op", output: "json" }, login: undefined }],
    [
      "me",
      { settings: { server: "https://two" }, login: { kept: { in: "keyring", keyring: "secret-service" }, org: "om" } },
    ],
  ]),
  servers: new Map([
    ["https://one", { kept: inFile("t1"), org: "o1" }],
    ["https://two", { kept: inFile("t2"), org: undefined }],
  ]),
};

/** Settings with the token looked up; that of a keyring is its account's name here. */
async function resolved(flags: Flags, env: Environment): Promise<Record<string, string | undefined>> {
  const { server, org, token } = resolveSettings(flags, env, CONFIG, async ({ kept }, account) =>
    kept.in === "file" ? kept.token : `keyring ${account}`,
  );
  return { server, org, token: await token() };
}

describe("settings", () => {
  it("come from flags, then the environment, then the file", async () => {
    expect(await resolved({}, {})).toEqual({ server: "https://one", token: "t1", org: "o1" });
    const env = { ASSAY_URL: "https://two/", ASSAY_TOKEN: "te", ASSAY_ORG: "oe" };
    expect(await resolved({}, env)).toEqual({ server: "https://two", token: "te", org: "oe" });
    const flags = { server: "https://three", token: "tf", org: "of" };
    expect(await resolved(flags, env)).toEqual({ server: "https://three", token: "tf", org: "of" });
  });

  it("come from the profile before the file's own, and after the environment", async () => {
    expect(await resolved({ profile: "ci" }, {})).toEqual({ server: "https://two", token: "t2", org: "op" });
    expect(await resolved({}, { ASSAY_PROFILE: "ci", ASSAY_ORG: "oe" })).toMatchObject({ org: "oe" });
    expect(await resolved({ profile: "me" }, { ASSAY_PROFILE: "ci" })).toMatchObject({ org: "om" });
    const chosen = { ...CONFIG, profile: "ci", settings: { server: "https://one", org: "od", output: "text" } };
    expect(resolveSetting("output", {}, {}, chosen)).toEqual({ value: "json", origin: "profile", by: "ci" });
    expect(resolveSetting("output", {}, { ASSAY_OUTPUT: "text" }, chosen)).toMatchObject({ origin: "environment" });
    expect(resolveSetting("org", { profile: "me" }, {}, chosen)).toMatchObject({ value: "om", origin: "login" });
    expect(resolveSetting("org", {}, {}, { ...chosen, profile: undefined })).toMatchObject({
      value: "od",
      origin: "default",
    });
    expect(resolveSetting("color", {}, {}, chosen)).toBeUndefined();
  });

  it("take a profile's own login before the one all share, and for its server only", async () => {
    expect((await resolved({ profile: "me" }, {})).token).toBe("keyring https://two (profile me)");
    expect((await resolved({ profile: "me", server: "https://one" }, {})).token).toBe("t1");
  });

  it("refuse a profile that is not there, and say which was probably meant", () => {
    expect(() => resolveSetting("org", { profile: "cii" }, {}, CONFIG)).toThrow(
      expect.objectContaining({ code: "profile-unknown", exit: 2, hint: "Did you mean ci?" }),
    );
    expect(() => resolveSetting("output", {}, { ASSAY_OUTPUT: "xml" }, CONFIG)).toThrow(
      expect.objectContaining({ code: "setting-invalid", exit: 2 }),
    );
  });

  it("never use the token of one server for another", async () => {
    expect(await resolved({ server: "https://evil" }, {})).toEqual({
      server: "https://evil",
      token: undefined,
      org: undefined,
    });
  });

  it("are trimmed of the white space that files and secret stores leave", async () => {
    const env = { ASSAY_URL: " https://two/\n", ASSAY_TOKEN: "te\r\n", ASSAY_ORG: "oe\n" };
    expect(await resolved({}, env)).toEqual({ server: "https://two", token: "te", org: "oe" });
  });

  it.each(["ASSAY_URL", "ASSAY_TOKEN", "ASSAY_ORG"])(
    "refuse an empty %s, in whose place a stored login would be used unasked",
    async (name) => {
      for (const value of ["", " \n"]) {
        await expect(resolved({}, { [name]: value })).rejects.toMatchObject({
          code: "setting-empty",
          exit: 2,
          message: `${name} is set but empty`,
        });
      }
      const flags = { server: "https://two", token: "t", org: "o" };
      expect(await resolved(flags, { [name]: "" })).toEqual(flags);
    },
  );

  it("refuse an empty flag, and a token that no header can carry, without showing it", async () => {
    await expect(resolved({ token: "" }, { ASSAY_TOKEN: "t" })).rejects.toThrow(/^--token is set but empty$/);
    for (const token of ["se\ncret", "se\u0000cret", "sécret"]) {
      await expect(resolved({}, { ASSAY_TOKEN: token })).rejects.toMatchObject({
        code: "token-invalid",
        exit: 2,
        message: "ASSAY_TOKEN holds a control character or one outside ASCII",
      });
    }
  });

  it.each(["assay.example", "ftp://h", "https://u:p@h", "https://h?x=1", "https://h/assay", "http://h//x/"])(
    "refuse %s as a server",
    (text) => {
      expect(() => normalizeServer(text)).toThrow(expect.objectContaining({ code: "server-invalid", exit: 2 }));
    },
  );
});

describe("the configuration file", () => {
  it("comes back as it was written, for its owner only", async () => {
    const env = { XDG_CONFIG_HOME: temporaryFolder() };
    expect((await readConfig(env)).servers.size).toBe(0);
    await writeConfig(env, CONFIG);
    expect(await readConfig(env)).toEqual(CONFIG);
    await writeConfig(env, CONFIG);
    expect(statSync(configPath(env)).mode & 0o777).toBe(0o600);
    expect(statSync(join(env.XDG_CONFIG_HOME, "assay")).mode & 0o777).toBe(0o700);
  });

  it.each([
    "",
    "{",
    "[]",
    "{}",
    '{"version":3,"servers":{}}',
    '{"version":2,"servers":{"a":{"token":"t","keyring":"k"}}}',
    '{"version":2,"serves":{}}',
    '{"version":2,"settings":{"sever":"https://one"}}',
    '{"version":2,"settings":{"output":"xml"}}',
    '{"version":2,"settings":{"server":"ftp://x"}}',
    '{"version":2,"profile":"gone"}',
    '{"version":2,"profiles":{"../x":{}}}',
    '{"version":2,"profiles":{"a":{"setings":{}}}}',
    '{"version":1}',
    '{"version":1,"servers":{"a":{}}}',
    '{"version":1,"current":1,"servers":{}}',
  ])("is refused when it is %j", (text) =>
    expect(() => parseConfig(text, "f")).toThrow(expect.objectContaining({ code: "config-invalid" })),
  );

  it("of the first version is read as what it meant", () => {
    const first = '{"version":1,"current":"https://one","servers":{"https://one":{"token":"t","org":"o"}}}';
    expect(parseConfig(first, "f")).toEqual({
      settings: { server: "https://one" },
      profile: undefined,
      profiles: new Map(),
      servers: new Map([["https://one", { kept: inFile("t"), org: "o" }]]),
    });
  });

  it("is refused with the key that was probably meant", () => {
    expect(() => parseConfig('{"version":2,"settings":{"sever":"https://one"}}', "f")).toThrow(
      expect.objectContaining({ hint: containing("Did you mean server?") }),
    );
  });

  it("is at ~/.config without XDG_CONFIG_HOME, and a relative one is ignored", () => {
    expect(configPath({ HOME: "/h" })).toBe("/h/.config/assay/config.json");
    expect(configPath({ HOME: "/h", XDG_CONFIG_HOME: "x" })).toBe("/h/.config/assay/config.json");
  });

  it("is reported when it cannot be read", async () => {
    const env = { XDG_CONFIG_HOME: temporaryFolder() };
    mkdirSync(configPath(env), { recursive: true });
    await expect(readConfig(env)).rejects.toMatchObject({ code: "file-is-directory", exit: 3 });
    writeFileSync(join(env.XDG_CONFIG_HOME, "x"), "");
  });
});

describe("the client of the server's API", () => {
  async function server(
    status: number,
    body: string,
  ): Promise<{ client: ServerClient; seen: { url?: string; authorization?: string; body: string }[] }> {
    const seen: { url?: string; authorization?: string; body: string }[] = [];
    const http = createServer((request, response) => {
      let text = "";
      request
        .on("data", (chunk) => (text += chunk))
        .on("end", () => {
          const { authorization } = request.headers;
          seen.push({
            ...(request.url === undefined ? {} : { url: request.url }),
            ...(authorization === undefined ? {} : { authorization }),
            body: text,
          });
          response.writeHead(status).end(body);
        });
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const transport = new Transport();
    onTestFinished(async () => {
      await transport.close();
      http.close();
    });
    return {
      client: new ServerClient(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, "secret-token", transport),
      seen,
    };
  }

  it("sends JSON with the token and parses the answer", async () => {
    const { client, seen } = await server(200, '{"a":1}');
    expect(
      await client.json({ method: "POST", path: "/x", query: { q: "a b", none: undefined }, json: { b: 2 } }),
    ).toEqual({ a: 1 });
    expect(seen).toEqual([{ url: "/x?q=a+b", authorization: "Bearer secret-token", body: '{"b":2}' }]);
  });

  it.each([
    [400, 2],
    [401, 3],
    [403, 1],
    [404, 1],
    [409, 1],
    [422, 2],
    [429, 3],
    [500, 3],
    [302, 3],
  ])("gives status %i the exit code %i and the server's own words", async (status, exit) => {
    const { client } = await server(status, '{"error":{"code":"its-code","message":"its words","hint":"its hint"}}');
    const error = await client.json({ method: "GET", path: "/" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CliError);
    // Of a refused token it is this program that knows what to do.
    const hint = status === 401 ? containing("Set ASSAY_TOKEN") : "its hint";
    expect(error).toMatchObject({ code: "its-code", message: "its words", hint, exit });
    expect(exitOfStatus(status)).toBe(exit);
  });

  it("copes with an answer that is no JSON", async () => {
    await expect((await server(502, "<html>")).client.json({ method: "GET", path: "/" })).rejects.toMatchObject({
      code: "http-502",
      exit: 3,
    });
    await expect((await server(200, "<html>")).client.json({ method: "GET", path: "/" })).rejects.toMatchObject({
      code: "answer-invalid",
    });
  });

  it("never shows the token in an error", async () => {
    const transport = new Transport();
    onTestFinished(() => transport.close());
    const client = new ServerClient("http://127.0.0.1:1", "secret-token", transport);
    const error = await client
      .json({ method: "GET", path: "/p?token=secret-token" })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "network", exit: 3 });
    expect(String(error)).not.toContain("secret-token");
  });

  it("knows this machine's names", () => {
    expect(["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "a.localhost"].every(isLoopback)).toBe(true);
    expect(["127.0.0.1.example", "localhost.example", "10.0.0.1", "1127.0.0.1"].some(isLoopback)).toBe(false);
  });
});

describe("what is shown", () => {
  const streams = (
    isTTY: boolean,
  ): {
    out: string[];
    err: string[];
    stdout: { write(t: string): void };
    stderr: { write(t: string): void; isTTY: boolean };
  } => {
    const out: string[] = [];
    const err: string[] = [];
    return {
      out,
      err,
      stdout: { write: (text) => void out.push(text) },
      stderr: { write: (text) => void err.push(text), isTTY },
    };
  };

  it("is one JSON document on standard output and errors as JSON on standard error", () => {
    const s = streams(true);
    const output = new Output("json", s);
    output.result({ a: 1, b: undefined }, "text");
    output.error(new CliError("c", "m", { exit: 3 }));
    expect(JSON.parse(s.out.join(""))).toEqual({ a: 1 });
    expect(JSON.parse(s.err.join(""))).toEqual({ error: { code: "c", message: "m" } });
  });

  it("cannot steer the terminal", () => {
    const s = streams(true);
    new Output("text", s).error(new CliError("c", "evil \u001b[2J name", { exit: 1 }));
    expect(s.err.join("")).not.toContain("\u001b");
  });

  it("is progress only on a terminal and not in JSON", () => {
    for (const [isTTY, format, shown] of [
      [true, "text", true],
      [false, "text", false],
      [true, "json", false],
    ] as const) {
      const s = streams(isTTY);
      const progress = startProgress(s, format, "file", 100, () => 0);
      progress.add(50);
      progress.done();
      expect(s.err.length > 0).toBe(shown);
    }
  });

  it("is progress with share, rate and time left, within the width", () => {
    expect(progressLine("f", 512, 1024, 1, 80)).toBe("f  50%  512 B of 1.0 KiB  512 B/s  1 s left");
    expect(progressLine("f", 2048, undefined, 0, 80)).toBe("f  2.0 KiB  0 B/s");
    expect(progressLine("f".repeat(200), 1, 2, 1, 40)).toHaveLength(39);
  });
});
