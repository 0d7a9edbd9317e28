import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { behindWordBreak, shellWords } from "../src/completion/words.ts";
import { VERBS } from "../src/verbs.ts";
import { Desk } from "./desk.ts";
import { startPretender } from "./server.ts";

let desk = new Desk();
afterEach(() => {
  desk.remove();
  desk = new Desk();
});

/** What fish is answered: whether paths are wanted, and the candidates. */
async function answered(...words: string[]): Promise<{ paths: string; values: string[] }> {
  const { stdout, stderr } = await desk.must("completion", "answer", "fish", "--", ...words);
  expect(stderr).toBe("");
  const [paths = "", ...lines] = stdout.trimEnd().split("\n");
  return { paths, values: lines.map((line) => line.split("\t")[0] ?? "") };
}

describe("completion", () => {
  it("offers every verb, with what it does", async () => {
    expect((await answered("")).values).toEqual([...VERBS.map(({ name }) => name), "help"]);
    const { stdout } = await desk.must("completion", "answer", "fish", "--", "ver");
    expect(stdout).toMatch(/^none\nverify\tis this really said/);
  });

  it.each([
    [
      ["key", ""],
      ["generate", "list", "help"],
    ],
    [
      ["account", "role", ""],
      ["set", "take", "help"],
    ],
    [["help", "fing"], ["fingerprint"]],
    [["help", "account", "ro"], ["role"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish", "help"],
    ],
    [["server", "check", "--d"], ["--data"]],
    [
      ["--output", ""],
      ["text", "json"],
    ],
    [["--output=j"], ["--output=json"]],
    [
      ["key", "generate", "--algorithm", "p"],
      ["p256", "p384", "p521"],
    ],
    [
      ["fingerprint", "-t", ""],
      ["file", "dir", "oci"],
    ],
    [["fingerprint", "x", "-t", "d"], ["dir"]],
    [["account", "role", "set", "person", "alice", "m"], ["member"]],
    [
      ["config", "set", "o"],
      ["org", "output"],
    ],
    [["man", "decid"], ["decide"]],
    [["nonsense", "", ""], []],
  ])("of %j is %j", async (words, values) => {
    expect((await answered(...words)).values).toEqual(values);
  });

  it.each([
    [["verify", ""], "files"],
    [["verify", "x", "--bundle", ""], "files"],
    [["verify", "x", "--bundle", "a", ""], "files"],
    [["verify", "x", "--trust=", ""].slice(0, 3), "files"],
    [["pull", "x", "--into", ""], "directories"],
    [["server", "check", "--data="], "directories"],
    [["org", "create", ""], "none"],
    [["org", "create", "a", ""], "none"],
    [["verify", "--by", ""], "none"],
  ])("of %j wants %s", async (words, paths) => {
    expect((await answered(...words)).paths).toBe(paths);
  });

  it("offers an option once, unless it can be repeated, and none behind --", async () => {
    expect((await answered("verify", "--offline", "--o")).values).toEqual(["--org", "--output"]);
    expect((await answered("verify", "--off")).values).toEqual(["--offline"]);
    expect((await answered("push", "--annotation", "a=b", "--ann")).values).toEqual(["--annotation"]);
    expect((await answered("verify", "--", "--")).values).toEqual([]);
  });

  it("knows profiles and servers from the configuration", async () => {
    await desk.must("profile", "add", "staging", "--server", "http://127.0.0.1:8400");
    await desk.must("profile", "add", "production", "--server", "https://assay.example");
    expect((await answered("--profile", "s")).values).toEqual(["staging"]);
    expect((await answered("login", "http")).values).toEqual(["http://127.0.0.1:8400", "https://assay.example"]);
  });

  it("asks the server for organisations and policies, and is silent when it cannot", async () => {
    const asked: string[] = [];
    const pretender = await startPretender((url) => {
      asked.push(url);
      const names = url.includes("policies") ? ["production", "test"] : ["acme", "zeta"];
      return { body: JSON.stringify({ items: names.map((name) => ({ name })), next: null }) };
    });
    await desk.must("config", "set", "server", pretender.url);
    await desk.must("config", "set", "org", "acme");
    expect((await answered("--org", "")).values).toEqual(["acme", "zeta"]);
    expect((await answered("decide", "x", "--policy", "p")).values).toEqual(["production"]);
    await pretender.stop();
    expect((await answered("--org", "")).values).toEqual(["acme"]);
    expect((await answered("decide", "x", "--policy", "")).values).toEqual([]);
    writeFileSync(desk.path(".config/assay/config.json"), "{");
    const broken = await desk.assay("completion", "answer", "fish", "--", "--profile", "");
    expect(broken.stdout).toBe("");
  });

  it("cannot be made to say a line more by a name", async () => {
    const pretender = await startPretender(() => ({
      body: JSON.stringify({ items: [{ name: "a\nb" }, { name: "c" }], next: null }),
    }));
    await desk.must("config", "set", "server", pretender.url);
    expect((await answered("--org", "")).values).toEqual(["c"]);
    await pretender.stop();
  });

  it("is answered to bash behind its last word break", async () => {
    const ask = async (line: string): Promise<string[]> => {
      const { stdout } = await desk.must("completion", "answer", "bash", "--", line);
      return stdout
        .trimEnd()
        .split("\n")
        .slice(1)
        .map((found) => found.split("\t")[0] ?? "");
    };
    await desk.must("profile", "add", "a", "--server", "http://127.0.0.1:8400");
    expect(await ask("assay --output=j")).toEqual(["json"]);
    expect(await ask("assay login http:")).toEqual(["//127.0.0.1:8400"]);
    expect(await ask("assay 'key' gen")).toEqual(["generate"]);
  });
});

describe("a line of bash", () => {
  it.each([
    ["assay a b", ["assay", "a", "b"]],
    ["assay a ", ["assay", "a", ""]],
    ['assay \'a b\' "c\\"d" e\\ f', ["assay", "a b", 'c"d', "e f"]],
    ["assay 'open", ["assay", "open"]],
    ["", [""]],
  ])("%j is %j", (line, words) => expect(shellWords(line)).toEqual(words));

  it("never fails, whatever is typed", () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        expect(shellWords(line).length).toBeGreaterThan(0);
      }),
    );
  });

  it("is broken at the last colon or equals sign", () => {
    expect(behindWordBreak("sha256:ab", "sha256:abcd")).toBe("abcd");
    expect(behindWordBreak("plain", "plainer")).toBe("plainer");
  });
});
