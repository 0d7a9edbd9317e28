import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

const EXAMPLES = fileURLToPath(new URL("../../../docs/examples", import.meta.url));

/** Rules for Prometheus, which interop/operations/alarms.test.ts holds against a server. */
const NO_POLICIES = ["alerts.yaml"];

it.each(readdirSync(EXAMPLES).filter((name) => name.endsWith(".yaml") && !NO_POLICIES.includes(name)))(
  "holds that docs/examples/%s is a valid policy",
  async (name) => {
    const desk = new Desk();
    const { stdout, exit } = await desk.assay("policy", "check", join(EXAMPLES, name));
    desk.remove();
    expect(stdout).toContain("is a valid policy");
    expect(exit).toBe(0);
  },
);

/** What GitHub's own builder says of a build, as docs/existing-evidence.md has it (interop/stranger.test.ts makes it with cosign). */
const OF_GITHUB = {
  buildDefinition: {
    buildType: "https://actions.github.io/buildtypes/workflow/v1",
    externalParameters: {
      workflow: {
        ref: "refs/heads/main",
        repository: "https://github.com/acme/widget",
        path: ".github/workflows/r.yml",
      },
    },
    resolvedDependencies: [
      { uri: "git+https://github.com/acme/widget@refs/heads/main", digest: { gitCommit: "4".repeat(40) } },
    ],
  },
  runDetails: { builder: { id: "https://github.com/actions/runner/github-hosted" } },
};

describe("the example policies, as they are", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    for (const name of ["release", "release-manager", "ci", "builder"]) {
      await desk.must("trust", "add", name, "--key", (await desk.keyPair(name)).pub);
    }
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  async function decide(what: string, example: string): Promise<string> {
    const { stdout, stderr } = await desk.assay("decide", what, "--policy", join(EXAMPLES, example));
    return stdout.split(" ")[0] ?? stderr;
  }

  const by = (name: string): string[] => ["--key", desk.path(`${name}.key`)];

  it("signed.yaml asks for a signature, in whatever form", async () => {
    const file = desk.file("signed.bin", "signed\n");
    expect(await decide(file, "signed.yaml")).toBe("DENIED");
    await desk.must("sign", file, ...by("release"), "--upload");
    expect(await decide(file, "signed.yaml")).toBe("ALLOWED");
  });

  it("built.yaml asks for what a GitHub workflow says", async () => {
    const file = desk.file("built.bin", "built\n");
    const predicate = desk.file("github.json", JSON.stringify(OF_GITHUB));
    const says = ["--predicate-type", "https://slsa.dev/provenance/v1", "--predicate", predicate];
    expect(await decide(file, "built.yaml")).toBe("DENIED");
    await desk.must("attest", "custom", file, "-t", "file", ...says, ...by("builder"));
    expect(await decide(file, "built.yaml")).toBe("ALLOWED");
  });

  it.each([
    ["production-file.yaml", "file"],
    ["production-image.yaml", "image"],
  ])("%s asks for a signature, passed tests and provenance, all three", async (example, kind) => {
    const file = desk.file(`${kind}.bin`, `${kind}\n`);
    const what = kind === "file" ? file : "app:1.0.0";
    if (kind === "image") await desk.must("push", file, what);
    const source = ["--repository-url", "https://git.example.com/acme/app", "--ref", "refs/heads/main"];
    const commit = ["--git-commit", "b".repeat(40)];
    const builder = ["--builder-id", "https://ci.example.com/builder/v1", "--build-type", "https://ci.example.com/t"];
    const upload = kind === "file" ? ["--upload"] : [];
    for (const said of [
      ["sign", what, ...by("release-manager"), ...upload],
      ["attest", "test", what, "--result", "PASSED", ...by("ci")],
      ["attest", "provenance", what, ...builder, ...source, ...commit, ...by("ci")],
    ]) {
      expect(await decide(what, example)).toBe("DENIED");
      await desk.must(...said);
    }
    expect(await decide(what, example)).toBe("ALLOWED");
  });
});
