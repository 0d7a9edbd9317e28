/** Roles in repositories, keys that follow one another, workload identities, and the admin token's end, as a person meets them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
let desk: Desk;

beforeAll(async () => {
  server = await startTestServer();
  desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
  await desk.must("account", "create", "service", "ci", "--role", "member");
});

afterAll(async () => {
  await server.stop();
  desk.remove();
});

describe("a role in some repositories", () => {
  it("is given by a short or a whole name, shown, and taken", async () => {
    await desk.must("account", "create", "person", "alice");
    const given = await desk.must("account", "role", "set", "person", "alice", "reader", "--repository", "app");
    expect(given.stdout).toContain("reader in default/app");
    await desk.must("account", "role", "set", "person", "alice", "snapshotter", "--repository", "default/team/**");
    const members = (await desk.must("org", "members")).stdout;
    expect(members).toMatch(/person:alice +reader +default\/app/);
    expect(members).toMatch(/person:alice +snapshotter +default\/team\/\*\*/);
    expect(members).toMatch(/service:default\/ci +member +default/);
    await desk.must("account", "role", "take", "person", "alice", "--repository", "app");
    expect((await desk.must("org", "members")).stdout).not.toContain("default/app");
    expect((await desk.assay("account", "role", "take", "person", "alice", "--repository", "app")).exit).toBe(1);
  });
});

describe("a robot's key", () => {
  it("is bound to repositories and actions, says so, and is good for nothing else", async () => {
    const robot = ["account", "key", "create", "service", "ci", "--repository", "bound", "--allow", "pull"];
    const made = (await desk.must(...robot, "--output", "json")).json();
    expect(made["scope"]).toEqual({ repositories: ["default/bound"], actions: ["pull"] });
    expect((await desk.must("account", "key", "list", "service", "ci")).stdout).toContain("pull in default/bound");
    const as = { ASSAY_TOKEN: String(made["key"]) };
    expect((await desk.assayWith(as, "trust", "list")).exit).not.toBe(0);
    const file = desk.file("bound.txt", "bound\n");
    expect((await desk.assayWith(as, "push", file, "bound:1.0.0")).exit).not.toBe(0);
    await desk.must("push", file, "bound:1.0.0");
    expect((await desk.assayWith(as, "pull", "bound:1.0.0", "--into", desk.path("pulled"))).exit).toBe(0);
    expect((await desk.assay(...robot, "--expires-in-days", "never")).exit).not.toBe(0);
  });
});

describe("a rotated key", () => {
  it("goes on working until its grace ends, beside the new one", async () => {
    const old = (await desk.must("account", "key", "create", "service", "ci", "--output", "json")).json();
    const rotated = await desk.must("account", "key", "rotate", "service", "ci", String(old["id"]), "--output", "json");
    const made = rotated.json();
    for (const key of [old["key"], made["key"]]) {
      expect((await desk.assayWith({ ASSAY_TOKEN: String(key) }, "trust", "list")).exit).toBe(0);
    }
    const grace = Number(made["oldWorksUntil"]) - Number(made["created"]);
    expect(grace).toBe(24 * 3_600_000);
    expect((await desk.must("account", "key", "list", "service", "ci")).stdout).toContain(`then ${String(made["id"])}`);
    const next = await desk.must("account", "key", "rotate", "service", "ci", String(made["id"]), "--grace", "0");
    expect(next.stdout).toContain("it has stopped");
    expect((await desk.assayWith({ ASSAY_TOKEN: String(made["key"]) }, "trust", "list")).exit).toBe(3);
  });
});

describe("a workload identity", () => {
  const set = (...more: string[]) =>
    desk.assay(
      "account",
      "workload",
      "set",
      "release",
      "--issuer",
      "https://token.actions.githubusercontent.com",
      "--service-account",
      "ci",
      ...more,
    );

  it("is set with the server for its audience, listed, and removed", async () => {
    const made = await set("--claim", "repository_id=2002", "--claim", "sub=repo:a/b:ref:x=y", "--repository", "app");
    expect(made.exit, made.stderr).toBe(0);
    expect(made.stdout).toContain(server.url);
    expect(made.stdout).toContain("repository_id=2002, sub=repo:a/b:ref:x=y");
    const listed = (await desk.must("account", "workload", "list")).stdout;
    expect(listed).toMatch(/release .*githubusercontent.* ci +default\/app/);
    await desk.must("account", "workload", "remove", "release");
    expect((await desk.must("account", "workload", "list")).stdout).toContain("none yet");
    expect((await desk.assay("account", "workload", "remove", "release")).exit).toBe(1);
  });

  it("without a claim is refused before anybody is asked", async () => {
    const { exit, stderr } = await set();
    expect([exit, stderr]).toEqual([2, expect.stringContaining("every job of the issuer")]);
  });
});

describe("the admin token", () => {
  it("is not disabled while nobody else could administer, and then is", async () => {
    expect((await desk.assay("account", "disable-admin-token")).exit).toBe(1);
    await desk.must("account", "create", "person", "boss", "--role", "admin");
    await desk.must("account", "key", "create", "person", "boss");
    expect((await desk.must("account", "disable-admin-token")).stdout).toContain("ASSAY_ENABLE_ADMIN=1");
    expect((await desk.assay("org", "list")).exit).toBe(3);
  });
});
