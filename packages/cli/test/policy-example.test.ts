import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

const GUIDE = readFileSync(new URL("../../../docs/policy.md", import.meta.url), "utf8");
const EXAMPLE = [...GUIDE.matchAll(/^```yaml\n([^]*?)^```/gm)]
  .map(([, block = ""]) => block)
  .find((block) => !block.startsWith("version:") && block.includes("provenance:"));

/** What GitHub Actions sets in the build that the example is about. */
const GITHUB = {
  GITHUB_ACTIONS: "true",
  GITHUB_SERVER_URL: "https://github.com",
  GITHUB_REPOSITORY: "example/app",
  GITHUB_REF: "refs/heads/main",
  GITHUB_SHA: "ffac537e6cbbf934b08745a378932722df287a53",
  GITHUB_RUN_ID: "1",
  GITHUB_WORKFLOW_REF: "example/app/.github/workflows/release.yml@refs/heads/main",
};

describe("the guide's provenance rule", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    const { pub } = await desk.keyPair("ci");
    await desk.must("trust", "add", "ci", "--key", pub);
    await desk.must("trust", "add", "backup-ci", "--key", (await desk.keyPair("backup")).pub);
    desk.file("policy.yaml", `version: 1\nname: example\nrules:\n${EXAMPLE ?? ""}`);
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  /** Attests a file's provenance as that build would, and asks for the decision. */
  async function decide(
    name: string,
    env: Readonly<Record<string, string>>,
  ): Promise<{ exit: number; stdout: string }> {
    const file = desk.file(name, name);
    const attested = await desk.assayWith(
      { ...env, ASSAY_KEY: desk.path("ci.key") },
      "attest",
      "provenance",
      file,
      "--builder-id",
      "https://ci.example.com/builder/v1",
      "--build-type",
      "https://example.com/build/v1",
    );
    expect([attested.exit, attested.stderr]).toEqual([0, ""]);
    return await desk.assay("decide", file, "--policy", desk.path("policy.yaml"));
  }

  it("is satisfied by what `attest provenance` says under GitHub Actions", async () => {
    const { exit, stdout } = await decide("good.txt", GITHUB);
    expect(stdout).toMatch(/allowed/i);
    expect(exit).toBe(0);
  });

  it.each([
    ["another workflow", ".github/workflows/other.yml@refs/heads/main", "path-mismatch"],
    ["a branch that the rule does not name", ".github/workflows/release.yml@refs/heads/topic", "source-ambiguous"],
  ])("is not satisfied by %s", async (what, workflow, code) => {
    const { exit, stdout } = await decide(what, { ...GITHUB, GITHUB_WORKFLOW_REF: `example/app/${workflow}` });
    expect(stdout).toContain(code);
    expect(exit).toBe(1);
  });
});
