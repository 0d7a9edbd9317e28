/** Repositories as a person manages them at the command line: against a real server. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
let desk: Desk;
let digest: string;

beforeAll(async () => {
  server = await startTestServer();
  desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
  const pushed = await desk.must("push", desk.file("hello.txt", "hello\n"), "hello:1.0.0");
  digest = /sha256:[0-9a-f]{64}/.exec(pushed.stdout)?.[0] ?? "";
});

afterAll(async () => {
  await server.stop();
  desk.remove();
});

describe("assay repository", () => {
  it("shows what is said of one, changes it, and says since when", async () => {
    expect((await desk.must("repository", "list")).stdout).toContain("default/hello");
    await desk.must("repository", "set", "hello", "--description", "greets", "--immutable-tag", "stable");
    const shown = (await desk.must("repository", "show", "default/hello")).stdout;
    expect(shown).toMatch(/^description +greets$/m);
    expect(shown).toMatch(/^immutable +release tags, stable$/m);
    expect((await desk.must("repository", "history", "hello")).stdout).toContain("greets");
    await desk.must("repository", "set", "hello", "--only-release-tags");
    expect((await desk.must("repository", "show", "hello")).stdout).toMatch(/^immutable +release tags$/m);
  });

  it("shows who tried to move a release", async () => {
    const moved = await desk.assay("push", desk.file("other.txt", "other\n"), "hello:1.0.0");
    expect(moved.exit).not.toBe(0);
    expect((await desk.must("repository", "refused", "hello")).stdout).toMatch(/admin +1\.0\.0/);
  });

  it("deletes, lists what is deleted, and brings it back", async () => {
    await desk.must("push", desk.file("hello.txt", "hello\n"), "hello:2.0.0");
    const gone = (await desk.must("repository", "delete", "hello:2.0.0", "--reason", "too early")).stdout;
    const [, event = ""] = /assay repository restore (\d+)/.exec(gone) ?? [];
    expect((await desk.must("repository", "deleted", "hello")).stdout).toContain("default/hello:2.0.0");
    expect((await desk.must("repository", "restore", event)).stdout).toContain("restored");
    expect((await desk.assay("repository", "restore", event)).exit).toBe(1);
    expect((await desk.must("repository", "deleted")).stdout).toBe("nothing\n");
  });

  it("gives another name, and keeps the former one", async () => {
    await desk.must("repository", "create", "before", "--immutable", "all-tags");
    expect((await desk.must("repository", "rename", "before", "after")).stdout).toContain(
      "default/before is default/after",
    );
    expect((await desk.assay("repository", "show", "before")).exit).toBe(1);
    expect((await desk.must("repository", "show", "after")).stdout).toMatch(/^immutable +all tags$/m);
  });
});

describe("assay promote", () => {
  it("copies by digest under a tag, and says when all was there already", async () => {
    const promoted = (await desk.must("promote", `hello@${digest}`, "delivered:1.0.0")).stdout;
    expect(promoted).toContain(`default/delivered@${digest}`);
    expect((await desk.must("promote", `default/hello@${digest}`, "delivered:1.0.0")).stdout).toMatch(
      /^there already/m,
    );
    expect((await desk.assay("promote", `hello@sha256:${"0".repeat(64)}`, "delivered")).exit).toBe(1);
  });
});
