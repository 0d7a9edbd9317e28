import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shellWords } from "../src/completion/words.ts";
import { pathOf } from "../src/help/attach.ts";
import { EXAMPLES, SOME_EVIDENCE } from "../src/help/examples.ts";
import { wholeProgram } from "../src/program.ts";
import { Session } from "../src/session.ts";
import { VERBS } from "../src/verbs.ts";
import { Desk } from "./desk.ts";
import { type Ended, runAssay } from "./run.ts";
import { startTestServer, type TestServer } from "./server.ts";

const LINES = Object.entries(EXAMPLES).flatMap(([path, examples]) => examples.map(({ run }) => ({ path, run })));

/** What cannot be run here, and why. It is parsed all the same. */
const NOT_RUN: readonly (readonly [RegExp, string])[] = [
  [/^assay login https:/, "asks a person, at another machine"],
  [/ghcr\.io/, "another machine's registry"],
  [/^assay account disable-admin-token/, "nothing would work here after it"],
  [/^assay server /, "has tests of its own: it starts, stops and changes services"],
];

/** Where there is nothing to act on in a fresh service: the answer "no" will do. */
const MAY_BE_NO =
  /^assay (?:jobs (?:show|retry|discard)|promote|repository (?:restore|rename|delete app|set app|show|history|refused)|webhook (?:test|replay pipeline --delivery)|logout https)/;

function session(): Session {
  const quiet = { write: () => true };
  return new Session({ env: { HOME: "/nonexistent" }, stdin: process.stdin, stdout: quiet, stderr: quiet });
}

/** The least that a Sigstore trusted root says: one certificate authority. */
function trustedRoot(pem: string): string {
  const rawBytes = pem.replace(/-----[^-]+-----|\s/g, "");
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    certificateAuthorities: [
      {
        subject: { organization: "Example", commonName: "Example House" },
        uri: "https://ca.example",
        certChain: { certificates: [{ rawBytes }] },
        validFor: { start: "2026-01-01T00:00:00Z" },
      },
    ],
  });
}

function leavesOf(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
}

/** The line's words behind the program's name, and the file that is its standard input. */
function wordsOf(line: string): { words: string[]; input: string | undefined } {
  const [, command = "", , input] = /^(.*?)(?: ([<>]) (\S+))?$/.exec(line) ?? [];
  return { words: shellWords(command).slice(1), input: line.includes(" < ") ? input : undefined };
}

describe("the examples of the help", () => {
  it("are of every verb, and of no other", async () => {
    const leaves = leavesOf(await wholeProgram(session())).map(pathOf);
    const shown = leaves.filter((path) => path !== "completion answer");
    expect(shown.filter((path) => !Object.hasOwn(EXAMPLES, path))).toEqual([]);
    expect(Object.keys(EXAMPLES).filter((path) => !shown.includes(path))).toEqual([]);
  });

  it.each(LINES)("are understood: $run", async ({ path, run }) => {
    const program = await wholeProgram(session());
    let reached = "";
    for (const leaf of leavesOf(program)) leaf.action(() => void (reached = pathOf(leaf)));
    await program.parseAsync(wordsOf(run).words, { from: "user" });
    expect(reached).toBe(path);
  });

  it.each(VERBS.map(({ name }) => name))("stand in the help of %s", async (name) => {
    const desk = new Desk();
    const { stdout } = await desk.must(name, "--help");
    desk.remove();
    expect(stdout).toMatch(new RegExp(`\\nExamples:\\n {2}# .+\\n {2}assay ${name}\\b`));
  });
});

describe("the examples of the help, one after the other", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk();
    desk.file("token", `${server.token}\n`);
    desk.file("hello.txt", "hello, world\n");
    mkdirSync(desk.path("site"));
    writeFileSync(join(desk.folder, "site", "index.html"), "<p>hello\n");
    desk.file("junit.xml", '<testsuite><testcase name="a"/></testsuite>');
    desk.file("hello.txt.sig", Buffer.alloc(70, 1).toString("base64"));
    desk.file("hello.txt.intoto.jsonl", "a line that is no evidence\n");
    desk.file("review.json", '{"reviewer":"alice"}');
    const policy = readFileSync(new URL("../../../docs/examples/signed.yaml", import.meta.url), "utf8");
    desk.file("policy.yaml", policy.replace(/^name: .*$/m, "name: production"));
    desk.file("registry-name", server.host);
    const fixture = (name: string): string => readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8");
    desk.file("ca.pem", fixture("house-ca.pem"));
    desk.file("maintainer.asc", fixture("release.asc"));
    desk.file("trusted_root.json", trustedRoot(fixture("house-ca.pem")));
    const credentials = { ServerURL: "registry.example", Username: "admin", Secret: server.token };
    desk.file("credentials.json", JSON.stringify(credentials));
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  const run = (words: readonly string[], input?: string): Promise<Ended> =>
    runAssay(words, {
      cwd: desk.folder,
      env: { HOME: desk.folder, ASSAY_KEY_PASSWORD: "for tests" },
      ...(input === undefined ? {} : { input: readFileSync(desk.path(input), "utf8") }),
    });

  /** What an example can only pretend: this server's address, a digest and a key's id that are made anew each time. */
  async function real(line: string): Promise<string> {
    let words = line.replaceAll("http://127.0.0.1:8400", server.url);
    if (words.includes(SOME_EVIDENCE)) {
      const listed = JSON.parse((await run(["evidence", "list", "hello.txt", "--output", "json"])).stdout) as {
        evidence: { evidence: string }[];
      };
      words = words.replaceAll(SOME_EVIDENCE, listed.evidence[0]?.evidence ?? "");
    }
    if (words.includes("key revoke") || words.includes("key rotate")) {
      const [key] = JSON.parse((await run(["account", "key", "list", "service", "ci", "--output", "json"])).stdout) as {
        id: string;
      }[];
      words = words.replace("0123456789abcdef", key?.id ?? "");
    }
    const pulled = /hello@(sha256:[0-9a-f]{64})/.exec(words)?.[1];
    if (pulled !== undefined) {
      const found = JSON.parse((await run(["fingerprint", "hello:1.0.0", "-t", "oci", "--output", "json"])).stdout) as {
        digest: string;
      };
      words = words.replace(pulled, found.digest);
    }
    return words;
  }

  it.each(LINES.filter(({ run: line }) => !NOT_RUN.some(([form]) => form.test(line))))(
    "works: $run",
    async (example) => {
      const { words, input } = wordsOf(await real(example.run));
      const ended = await run(words, input);
      const said = `${words.join(" ")}\n${ended.stdout}${ended.stderr}`;
      expect(MAY_BE_NO.test(example.run) ? [0, 1] : [0], said).toContain(ended.exit);
      rmSync(desk.path("fetched"), { recursive: true, force: true });
    },
  );
});
