import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, apiOf } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const SIGNATURE = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE = "https://slsa.dev/provenance/v1";

const POLICY = `
version: 1
name: release
rules:
  - id: signed
    evidence: { predicateType: "${SIGNATURE}", identities: [ours] }
  - id: built
    provenance: { identities: [ours], builders: ["https://example.com/builder"] }
`;

describe("Assay's verdict on what cosign has signed", () => {
  let server: Server;
  let api: Api;
  let home: Home;
  let image: Image;
  let altered: Image;
  let foreign: Image;

  const cosign = (verb: string, key: string, target: string, ...more: string[]): Promise<string> =>
    home.must("cosign", [verb, "--yes", "--key", key, "--signing-config", "signing-config.json", ...more, target]);

  beforeAll(async () => {
    server = await startServer();
    api = apiOf(server);
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["commander", "yaml"] });
    altered = makeImage({ layout: home.path("altered"), packages: ["commander", "yaml"], altered: true });
    foreign = makeImage({ layout: home.path("foreign"), packages: ["yaml"] });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    const reference = await home.must("crane", ["push", image.layout, `${server.host}/default/app:v1.0.0`]);
    await home.must("crane", ["push", altered.layout, `${server.host}/default/app:altered`]);
    const foreignReference = await home.must("crane", ["push", foreign.layout, `${server.host}/default/app:foreign`]);
    await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "ours"]);
    await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "theirs"]);
    await home.must("cosign", ["signing-config", "create", "--out", "signing-config.json"]);
    await api.trust("default", {
      name: "ours",
      publicKeyPem: readFileSync(home.path("ours.pub"), "utf8"),
      repositories: ["default/app"],
      primary: true,
    });
    writeFileSync(
      home.path("provenance.json"),
      JSON.stringify({
        buildDefinition: {
          buildType: "https://example.com/build/v1",
          externalParameters: {},
          resolvedDependencies: [{ uri: "git+https://example.com/app", digest: { gitCommit: "4".repeat(40) } }],
        },
        runDetails: { builder: { id: "https://example.com/builder" } },
      }),
    );
    const provenance = ["--type", "slsaprovenance1", "--predicate", "provenance.json"];
    await cosign("sign", "ours.key", reference);
    await cosign("attest", "ours.key", reference, ...provenance);
    await cosign("sign", "theirs.key", foreignReference);
    await cosign("attest", "theirs.key", foreignReference, ...provenance);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("is verified, by whom, for what the trusted key signed", async () => {
    const evidence = await api.evidence("default", image.digest, "default/app");
    expect(new Set(evidence.map(({ predicateType }) => predicateType))).toEqual(new Set([SIGNATURE, PROVENANCE]));
    for (const { status } of evidence) expect(status).toMatchObject({ status: "verified", by: { name: "ours" } });
  });

  it("is refused for a wrong key's signature, which cosign refuses too", async () => {
    const evidence = await api.evidence("default", foreign.digest, "default/app");
    expect(evidence).toHaveLength(2);
    for (const { status } of evidence) expect(status).toMatchObject({ status: "refused", code: "unknown-signer" });
    const check = [
      "verify",
      "--key",
      "ours.pub",
      "--insecure-ignore-tlog",
      `${server.host}/default/app@${foreign.digest}`,
    ];
    expect((await home.run("cosign", check)).code).not.toBe(0);
  });

  it("allows the signed image with a reason for each rule", async () => {
    const { decision } = await api.decide("default", image.digest, "default/app", POLICY);
    expect(decision).toMatchObject({ result: "allowed" });
    expect(decision.rules.map(({ outcome }) => outcome)).toEqual(["satisfied", "satisfied"]);
    expect(decision.reasons).toHaveLength(2);
  });

  it("denies the image with one byte altered, and the one that a wrong key signed", async () => {
    for (const { digest } of [altered, foreign]) {
      const { decision } = await api.decide("default", digest, "default/app", POLICY);
      expect(decision).toMatchObject({ result: "denied" });
      expect(decision.reasons).toHaveLength(2);
    }
  });

  it("denies the signed image in a repository the key is not trusted for", async () => {
    await home.must("crane", [
      "copy",
      `${server.host}/default/app@${image.digest}`,
      `${server.host}/default/elsewhere`,
    ]);
    const { decision } = await api.decide("default", image.digest, "default/elsewhere", POLICY);
    expect(decision).toMatchObject({ result: "denied" });
  });

  it("stands in a verification summary that cosign verifies as a bundle of ours", async () => {
    const { id } = await api.decide("default", image.digest, "default/app", POLICY);
    const headers = { authorization: `Bearer ${server.adminToken}` };
    const vsa = await fetch(`${server.url}/api/assay/v1/decisions/${id}/vsa`, { headers });
    writeFileSync(home.path("vsa.json"), await vsa.text());
    const { keys } = (await api.call("GET", "/keys")) as { keys: { purpose: string; publicKeyPem: string }[] };
    writeFileSync(home.path("vsa.pub"), keys.find(({ purpose }) => purpose === "vsa")?.publicKeyPem ?? "");
    const digest = image.digest.slice("sha256:".length);
    const check = ["verify-blob-attestation", "--key", "vsa.pub", "--insecure-ignore-tlog", "--bundle", "vsa.json"];
    const subject = ["--type", "https://slsa.dev/verification_summary/v1", "--digest", digest, "--digestAlg", "sha256"];
    const { code, stderr } = await home.run("cosign", [...check, ...subject]);
    expect(code, stderr).toBe(0);
  });
});
