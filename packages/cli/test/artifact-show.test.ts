import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startPretender, startTestServer, type TestServer } from "./server.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";

describe("assay artifact show", () => {
  let server: TestServer;
  let desk: Desk;
  let file: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    file = desk.file("app.bin", "a program\n");
    const release = await desk.keyPair("release");
    const stranger = await desk.keyPair("stranger");
    await desk.must("trust", "add", "release", "--key", release.pub, "--primary");
    await desk.must("push", file, "app:1.0.0", "--annotation", "stage=test");
    await desk.must("push", file, "app:latest", "--annotation", "stage=test");
    await desk.must("sign", "app:1.0.0", "--key", release.key);
    await desk.must("attest", "test", "app:1.0.0", "--result", "FAILED", "--key", release.key);
    await desk.must("attest", "test", "app:1.0.0", "--result", "PASSED", "--key", stranger.key);
    const built = ["--builder-id", "https://ci.example/b", "--build-type", "https://ci.example/t"];
    const source = ["--repository-url", "https://git.example/app", "--git-commit", "b".repeat(40)];
    const made = ["--build-url", "https://ci.example/1", "--repository", "default/app", "--key", release.key];
    await desk.must("attest", "provenance", "app:1.0.0", ...built, ...source, ...made);
    desk.file(
      "p.yaml",
      `version: 1\nname: p\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/review/v1', identities: [nobody] }\n`,
    );
    expect((await desk.assay("decide", "app:1.0.0", "--policy", desk.path("p.yaml"))).exit).toBe(1);
    await desk.must("policy", "set", "p", desk.path("p.yaml"));
    expect((await desk.assay("decide", "app:1.0.0", "--policy", "p")).exit).toBe(1);
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  it("tells an image's whole story: what, where, by whom, what is said, what was decided, what refers to it", async () => {
    const { stdout } = await desk.must("artifact", "show", "app:1.0.0");
    expect(stdout).toMatch(/kind +artifact of type application\/vnd\.assay\.files\.v1/);
    expect(stdout).toMatch(/file +app\.bin {2}10 B/);
    expect(stdout).toMatch(/note +stage=test/);
    expect(stdout).toMatch(/default\/app {2}tagged 1\.0\.0 latest {2}pushed by admin .* \(record \d+\)/);
    expect(stdout).toMatch(/Primary provenance\n {2}sha256:[0-9a-f]{64} in default\/app\n {4}verified {2}by release/);
    expect(stdout).toContain(`  ${TESTS}: 2 pieces\n`);
    expect(stdout).toMatch(/verified {2}by release, says FAILED, received/);
    expect(stdout).toMatch(/refused .*\[unknown-signer\]/);
    expect(stdout).toMatch(/Decisions\n {2}denied {2}by policy .*\(record \d+\)/);
    expect(stdout).toMatch(/denied {2}by policy p version 1 \(sha256:[0-9a-f]{12}…\) in default\/app, /);
    expect(stdout).toMatch(/denied {2}by policy p, given with the question \(sha256:[0-9a-f]{12}…\) in default\/app, /);
    expect(stdout).toMatch(
      /Referred to by\n {2}application\/vnd\.dev\.sigstore\.bundle\.v0\.3\+json {2}default\/app@sha256:/,
    );
  });

  it("tells of a file what it is part of", async () => {
    const { stdout } = await desk.must("artifact", "show", file);
    expect(stdout).toMatch(/layer of default\/app@sha256:[0-9a-f]{64} {2}tagged 1\.0\.0 latest/);
    expect(stdout).toContain("none was made about it");
    expect(stdout).toContain("it belongs to a repository (add --repository)");
  });

  it("is the same for programs, whole", async () => {
    const story = (await desk.must("artifact", "show", "app:latest", "--output", "json")).json();
    expect(story).toMatchObject({
      kind: "image",
      content: { kind: "artifact", files: [{ title: "app.bin", size: 10 }], platforms: [] },
      places: [{ repository: "default/app", tags: ["1.0.0", "latest"], pushedBy: "admin" }],
      repository: "default/app",
      decisions: [
        { result: "denied", current: true, policy: { name: "p", version: 1, title: null } },
        { result: "denied", current: true, policy: { name: null, version: null, title: "p" } },
      ],
      referrers: [{ repository: "default/app" }],
      cut: [],
    });
    expect(story["primary"]).toMatch(/^sha256:/);
    expect(story["evidence"]).toHaveLength(4);
  });

  it("says of what nobody knows that nothing is known, and is no refusal", async () => {
    const { stdout } = await desk.must("artifact", "show", `sha256:${"7".repeat(64)}`);
    expect(stdout).toContain("not known here");
    expect(stdout).toContain("nowhere in this server's registry");
    expect(stdout).toContain("there is none");
  });

  it("could not find out, where the server's answer cannot be read or is about something else", async () => {
    for (const body of [{}, { digest: `sha256:${"8".repeat(64)}`, places: [], partOf: [], referrers: [] }]) {
      const pretender = await startPretender(() => ({ body: JSON.stringify(body) }));
      const ran = await desk.assay("artifact", "show", `sha256:${"7".repeat(64)}`, "--server", pretender.url);
      await pretender.stop();
      expect(ran).toMatchObject({ exit: 3, stdout: "" });
      expect(ran.stderr).toContain("[answer-invalid]");
    }
  });
});
