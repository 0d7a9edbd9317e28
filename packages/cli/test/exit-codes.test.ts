import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { freePort } from "./free-port.ts";
import { type Answer, startPretender } from "./server.ts";

const DIGEST = `sha256:${"1".repeat(64)}`;

/** Every verb that asks the server, as it would be used rightly. FILE and PUB stand for files that are there. */
const ASKING: readonly (readonly string[])[] = [
  ["verify", DIGEST],
  ["decide", DIGEST, "--policy", "production"],
  ["evidence", "list", DIGEST],
  ["artifact", "show", DIGEST],
  ["evidence", "show", DIGEST],
  ["evidence", "download", DIGEST],
  ["evidence", "add", "FILE"],
  ["trust", "list"],
  ["trust", "add", "someone", "--key", "PUB"],
  ["trust", "remove", "someone"],
  ["trust", "export"],
  ["policy", "set", "production", "POLICY"],
  ["policy", "list"],
  ["policy", "show", "production"],
  ["record", "show", "1"],
  ["record", "prove", "1"],
  ["record", "verify"],
  ["org", "create", "acme"],
  ["org", "list"],
  ["account", "create", "person", "alice"],
  ["account", "list", "service"],
  ["account", "key", "create", "service", "ci"],
  ["account", "key", "list", "person", "alice"],
  ["account", "key", "revoke", "person", "alice", "0123456789abcdef"],
  ["account", "role", "set", "person", "alice", "member"],
  ["account", "role", "take", "service", "ci"],
  ["account", "remove", "service", "ci"],
  ["org", "members"],
  ["account", "key", "rotate", "service", "ci", "0123456789abcdef"],
  ["account", "role", "set", "person", "alice", "member", "--repository", "app"],
  ["account", "role", "take", "person", "alice", "--repository", "app"],
  ["account", "workload", "list"],
  ["account", "workload", "remove", "release"],
  ["account", "disable-admin-token"],
  ["gate", "list"],
  ["gate", "show", "app"],
  ["gate", "set", "app", "--policy", "p"],
  ["gate", "clear", "app"],
  ["promote", `app@${DIGEST}`, "delivered:1.0.0"],
  ["repository", "list"],
  ["repository", "show", "app"],
  ["repository", "create", "app"],
  ["repository", "set", "app", "--visibility", "public"],
  ["repository", "history", "app"],
  ["repository", "refused", "app"],
  ["repository", "delete", "app:latest"],
  ["repository", "delete", `app@${DIGEST}`, "--reason", "built wrong"],
  ["repository", "delete", "app", "--whole", "--reason", "moved"],
  ["repository", "rename", "app", "shop"],
  ["repository", "deleted"],
  ["repository", "restore", "7"],
  ["server", "collect"],
  ["retention", "set", "app", "--none"],
  ["quota", "list"],
  ["quota", "show"],
  ["quota", "set", "10G"],
  ["quota", "remove"],
  ["retention", "show", "app"],
  ["retention", "preview", "app"],
  ["retention", "run", "app"],
  ["webhook", "list"],
  ["webhook", "add", "ci", "https://ci.example/hook"],
  ["webhook", "change", "ci", "--url", "https://ci.example/hook"],
  ["webhook", "rotate", "ci"],
  ["webhook", "test", "ci"],
  ["webhook", "deliveries", "ci"],
  ["webhook", "replay", "ci", "--from", "1"],
  ["webhook", "pause", "ci"],
  ["webhook", "resume", "ci"],
  ["webhook", "remove", "ci"],
  ["mirror", "list"],
  ["mirror", "show", "vendor"],
  ["mirror", "set", "vendor", "https://registry.example/x"],
  ["mirror", "sync", "vendor"],
  ["mirror", "remove", "vendor"],
  ["replication", "list"],
  ["replication", "status", "backup"],
  ["replication", "set", "backup", "--to", "https://registry.example/x"],
  ["replication", "run", "backup"],
  ["replication", "remove", "backup"],
];

/** Wrong ways to use them: no server needed to know. */
const WRONG: readonly (readonly string[])[] = [
  ["verify"],
  ["verify", DIGEST, "--no-such-option"],
  ["verify", DIGEST, "--receipt", "FILE"],
  ["decide", DIGEST],
  ["evidence"],
  ["artifact"],
  ["artifact", "show"],
  ["config", "set", "outptu", "json"],
  ["config", "set", "output", "xml"],
  ["profile", "use", "absent"],
  ["man", "nonsense"],
  ["completion", "tcsh"],
  ["evidence", "show", "app:1"],
  ["trust", "add", "someone"],
  ["trust", "add", "someone", "--key", "PUB", "--from", "yesterday"],
  ["trust", "add", "someone", "--key", "PUB", "--until", "2026-02-30"],
  ["trust", "add", "someone", "--key", "FILE"],
  ["trust", "export", "--at-version", "x"],
  ["policy", "check"],
  ["policy", "set", "production", "FILE"],
  ["record", "show", "1e3"],
  ["record", "verify", "FILE"],
  ["record", "verify", "--vkey", "nonsense"],
  ["account", "create", "robot", "r2"],
  ["account", "create", "person", "alice", "--role", "king"],
  ["account", "role", "set", "person", "alice", "king"],
  ["account", "key", "revoke", "person", "alice", "assay_0123456789abcdef_secret"],
  ["verify", "sha256:0000"],
  ["trust", "add", "someone", "--key", "PUB", "--repository", "other/app"],
  ["account", "key", "create", "service", "ci", "--expires-in-days", "soon"],
  ["account", "key", "create", "service", "ci", "--allow", "pull"],
  ["account", "key", "create", "service", "ci", "--repository", "app", "--allow", "administer"],
  ["account", "key", "rotate", "service", "ci", "0123456789abcdef", "--grace", "soon"],
  ["account", "key", "rotate", "service", "ci", "assay_0123456789abcdef_secret"],
  ["account", "workload", "set", "x", "--issuer", "https://ci.example", "--service-account", "ci"],
  ["account", "workload", "set", "x", "--issuer", "https://ci.example", "--service-account", "ci", "--claim", "sub"],
  ["gate", "set", "app"],
  ["gate", "set", "app", "--policy", "p", "--platforms", "some"],
  ["promote", "app:1.0.0", "delivered:1.0.0"],
  ["promote", `app@${DIGEST}`, `delivered@${DIGEST}`],
  ["promote", `app@${DIGEST}`],
  ["repository", "set", "app"],
  ["repository", "set", "app", "--visibility", "open"],
  ["repository", "set", "app", "--only-release-tags", "--immutable-tag", "stable"],
  ["repository", "set", "app", "--free-promotion", "--promotion-policy", "p"],
  ["repository", "delete", "app"],
  ["repository", "delete", "app", "--whole"],
  ["repository", "delete", "app:latest", "--whole", "--reason", "moved"],
  ["repository", "restore", "last"],
  ["repository", "rename", "app"],
  ["retention", "set", "app"],
  ["quota", "set", "much"],
  ["quota", "set", "10X", "--repository", "app"],
  ["retention", "set", "app", "--rule", "a tags=* first=1"],
  ["webhook", "add", "ci", "https://ci.example/hook", "--kind", "mood"],
  ["webhook", "change", "ci"],
  ["webhook", "change", "ci", "--all-repositories", "--repository", "app"],
  ["webhook", "rotate", "ci", "--grace", "soon"],
  ["webhook", "deliveries", "ci", "--state", "lost"],
  ["webhook", "replay", "ci"],
  ["webhook", "replay", "ci", "--from", "1", "--delivery", "2"],
  ["webhook", "replay", "ci", "--from", "first"],
  ["server"],
  ["server", "stop"],
];

describe("exit codes", () => {
  let desk: Desk;
  /** What came with each exit code other than 0. */
  const errorsSeen: { argv: readonly string[]; stdout: string; error: unknown }[] = [];
  let words: (argv: readonly string[]) => string[];

  beforeAll(async () => {
    desk = new Desk({ ASSAY_TOKEN: "a token", ASSAY_ORG: "default" });
    const { pub } = await desk.keyPair("some");
    const policy = desk.file("p.yaml", "version: 1\nname: p\nrules:\n  - id: r\n    tests:\n      identities: [ci]\n");
    const places: Record<string, string> = {
      FILE: desk.file("file.json", '{"no":"receipt"}'),
      PUB: pub,
      POLICY: policy,
    };
    words = (argv) => argv.map((word) => places[word] ?? word);
  });

  afterAll(() => desk.remove());

  afterEach(() => {
    // Programs get an error they can read, and nothing on standard output that they could take for an answer.
    for (const seen of errorsSeen.splice(0)) {
      expect(seen).toMatchObject({ stdout: "", error: { error: { code: expect.any(String) as string } } });
    }
  });

  /** Runs a verb against a server that answers so; it must never throw, and its error must be JSON where that was asked for. */
  async function exitWith(url: string | undefined, argv: readonly string[]): Promise<number> {
    const { exit, stderr, stdout } = await desk.assayWith({ ASSAY_URL: url }, ...words(argv), "--output", "json");
    if (exit !== 0) errorsSeen.push({ argv, stdout, error: JSON.parse(stderr) as unknown });
    return exit;
  }

  it.each(WRONG)("is 2 for %j %j %j %j %j %j", async (...argv) => {
    expect(await exitWith("http://127.0.0.1:9", argv)).toBe(2);
  });

  it.each(ASKING)("is 3 for %j %j %j where nothing can be found out", async (...argv) => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    expect(await exitWith(nobody, argv)).toBe(3);
    let answer: Answer = { body: "" };
    const server = await startPretender(() => answer);
    try {
      for (answer of [
        { status: 500, body: '{"error":{"code":"broken","message":"broken"}}' },
        { status: 503, body: "" },
        { status: 401, body: "{}" },
        { status: 200, body: "<html>", type: "text/html" },
        { status: 200, body: "[]" },
        { status: 200, body: "{}" },
        { status: 200, body: "" },
      ]) {
        // Whatever bytes come are the bytes of other evidence: that is a "no", and found out.
        const isOther = argv[1] === "download" && answer.status === 200;
        expect([argv.join(" "), answer, await exitWith(server.url, argv)]).toEqual([
          argv.join(" "),
          answer,
          isOther ? 1 : 3,
        ]);
      }
    } finally {
      await server.stop();
    }
  });

  it.each(ASKING)("is 2 for %j %j %j where no server is named", async (...argv) => {
    expect(await exitWith(undefined, argv)).toBe(2);
    expect(await exitWith("", argv)).toBe(2);
  });

  it("is 3, never 1, where the server denies that it knows what a question with a yes or a no is about", async () => {
    const server = await startPretender(() => ({
      status: 404,
      body: '{"error":{"code":"org-unknown","message":"no"}}',
    }));
    try {
      for (const argv of [
        ["verify", DIGEST],
        ["decide", DIGEST, "--policy", "p"],
        ["record", "verify"],
      ]) {
        expect(await exitWith(server.url, argv)).toBe(3);
      }
      expect(await exitWith(server.url, ["evidence", "show", DIGEST])).toBe(1);
    } finally {
      await server.stop();
    }
  });

  it("is 3 for decisions that do not answer the question or contradict themselves", async () => {
    const rule = { rule: "r", kind: "tests", outcome: "satisfied", satisfiedBy: [], rejected: [] };
    const decision = {
      version: 1,
      result: "allowed",
      subject: DIGEST,
      policy: { digest: DIGEST, name: "p" },
      trust: { org: "default", version: 1 },
      asOf: 1,
      time: 1,
      evidence: [],
      rules: [rule],
      reasons: ["r"],
    };
    let given: unknown = decision;
    const server = await startPretender(() => ({
      body: JSON.stringify({ id: DIGEST, sequence: 1, repeated: false, decision: given }),
    }));
    const decide = ["decide", DIGEST, "--policy", "p"];
    try {
      expect(await exitWith(server.url, decide)).toBe(0);
      for (given of [
        { ...decision, subject: `sha256:${"2".repeat(64)}` },
        { ...decision, result: "yes" },
        { ...decision, rules: [] },
        { ...decision, rules: [rule, { ...rule, outcome: "unknown" }] },
        { ...decision, result: "denied" },
        { ...decision, rules: undefined },
      ]) {
        expect([given, await exitWith(server.url, decide)]).toEqual([given, 3]);
      }
      given = decision;
      // The policy in the file is not the one that decided.
      expect(await exitWith(server.url, ["decide", DIGEST, "--policy", "POLICY"])).toBe(3);
    } finally {
      await server.stop();
    }
  });
});
