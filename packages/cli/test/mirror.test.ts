/** Mirrors and replications as a person meets them: against two real servers. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { runAssay } from "./run.ts";
import { startTestServer, type TestServer } from "./server.ts";

let upstream: TestServer;
let server: TestServer;
let theirs: Desk;
let desk: Desk;

const environment = (of: TestServer) => ({ ASSAY_URL: of.url, ASSAY_TOKEN: of.token, ASSAY_ORG: "default" });

beforeAll(async () => {
  upstream = await startTestServer();
  server = await startTestServer({ ASSAY_EGRESS_PRIVATE: upstream.host });
  theirs = new Desk(environment(upstream));
  desk = new Desk(environment(server));
  await theirs.must("push", theirs.file("hello.txt", "hello\n"), "hello:1.0.0");
});

afterAll(async () => {
  for (const one of [theirs, desk]) one.remove();
  for (const one of [server, upstream]) await one.stop();
});

/** What a verb says, when it says so. */
async function eventually(pattern: RegExp, ...argv: string[]): Promise<string> {
  const end = performance.now() + 20_000;
  for (;;) {
    const { stdout } = await desk.must(...argv);
    if (pattern.test(stdout)) return stdout;
    if (performance.now() > end) throw new Error(`assay ${argv.join(" ")} says\n${stdout}`);
    await sleep(50);
  }
}

describe("assay mirror", () => {
  it("sets one with a password from standard input, which nothing shows again", async () => {
    expect((await desk.must("mirror", "list")).stdout).toBe("there are none yet\n");
    const url = `${upstream.url}/default/hello`;
    const set = await runAssay(
      ["mirror", "set", "hello", url, "--username", "admin", "--password-stdin", "--max-age", "0"],
      { env: { ...environment(server), HOME: desk.folder }, input: `${upstream.token}\n` },
    );
    expect(set.exit, set.stderr).toBe(0);
    expect(set.stdout).toMatch(/^mirrors +http:.*\/default\/hello$/m);
    expect(set.stdout).not.toContain(upstream.token);
    expect((await desk.must("mirror", "list")).stdout).toContain("default/hello");
    const shown = await desk.must("mirror", "show", "hello", "--output", "json");
    expect(shown.json()).toMatchObject({ credential: true, maxAgeMs: 0, stale: "serve" });
    expect(shown.stdout).not.toContain(upstream.token);
  });

  it("brings what is pulled, and with sync everything", async () => {
    await desk.must("pull", "hello:1.0.0", "--into", desk.path("pulled"));
    await theirs.must("push", theirs.file("more.txt", "more\n"), "hello:1.0.1");
    expect((await desk.must("mirror", "sync", "hello")).stdout).toContain("default/hello is being filled: all tags");
    await eventually(/^filled +done: 2 copied, 0 there already, 0 failed/m, "mirror", "show", "hello");
  });

  it("says no to a push there, and to wrong usage", async () => {
    const pushed = await desk.assay("push", desk.file("own.txt", "own\n"), "hello:2.0.0");
    expect(pushed.exit).not.toBe(0);
    expect(pushed.stderr).toContain("mirrors");
    const url = "https://registry.example/x";
    expect((await desk.assay("mirror", "set", "x", url, "--max-age", "soon")).exit).toBe(2);
    expect((await desk.assay("mirror", "set", "x", url, "--password-stdin")).exit).toBe(2);
    expect((await desk.assay("mirror", "set", "x", url, "--username", "a", "--no-credential")).exit).toBe(2);
    expect((await desk.assay("mirror", "show", "none")).exit).toBe(1);
  });

  it("ends one", async () => {
    expect((await desk.must("mirror", "remove", "hello")).stdout).toContain("mirrors nothing any more");
    expect((await desk.assay("mirror", "remove", "hello")).exit).toBe(1);
  });
});

describe("assay replication", () => {
  it("copies to another registry, and says what came of it", async () => {
    await desk.must("push", desk.file("mine.txt", "mine\n"), "mine:1.0.0");
    const set = await runAssay(
      `replication set out --to ${upstream.url}/default/copy --repository mine --tag 1.* --every 24h --username admin --password-stdin`.split(
        " ",
      ),
      { env: { ...environment(server), HOME: desk.folder }, input: upstream.token },
    );
    expect(set.exit, set.stderr).toBe(0);
    expect(set.stdout).toMatch(/^when +every 86400 s$/m);
    expect((await desk.must("replication", "run", "out")).stdout).toContain("default/out runs");
    await eventually(/^everything +done: 1 copied, 0 there already, 0 failed/m, "replication", "status", "out");
    expect((await desk.must("replication", "list")).stdout).toMatch(/out +push +http/);
    await theirs.must("pull", "default/copy/mine:1.0.0", "--into", theirs.path("copied"));
    expect((await desk.must("replication", "remove", "out")).stdout).toBe("removed: default/out.\n");
    expect((await desk.assay("replication", "status", "out")).exit).toBe(1);
  });
});
