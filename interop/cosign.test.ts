import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome, type Result, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";

/** cosign's exit code for an image without signatures. */
const NO_SIGNATURES = 10;

describe("cosign with a key pair, an empty signing config and no log", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let altered: Image;
  let reference: string;
  let alteredReference: string;

  const sign = (key: string, target: string): Promise<string> =>
    home.must("cosign", ["sign", "--yes", "--key", key, "--signing-config", "signing-config.json", target]);
  const verify = (key: string, target: string): Promise<Result> =>
    home.run("cosign", ["verify", "--key", key, "--insecure-ignore-tlog", "--output", "json", target]);
  const attest = (type: string, predicate: string, target: string): Promise<string> =>
    home.must("cosign", [
      "attest",
      "--yes",
      "--key",
      "ours.key",
      "--signing-config",
      "signing-config.json",
      "--type",
      type,
      "--predicate",
      predicate,
      target,
    ]);
  const verifyAttestation = (key: string, type: string, target: string): Promise<Result> =>
    home.run("cosign", ["verify-attestation", "--key", key, "--insecure-ignore-tlog", "--type", type, target]);

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["commander", "yaml"] });
    altered = makeImage({ layout: home.path("altered"), packages: ["commander", "yaml"], altered: true });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    reference = await home.must("crane", ["push", image.layout, `${server.host}/default/app:v1.0.0`]);
    alteredReference = await home.must("crane", ["push", altered.layout, `${server.host}/default/app:altered`]);
    await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "ours"]);
    await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "theirs"]);
    await home.must("cosign", ["signing-config", "create", "--out", "signing-config.json"]);
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("finds no signature before there is one", async () => {
    expect((await verify("ours.pub", reference)).code).toBe(NO_SIGNATURES);
  });

  it("signs, and verifies with the same key", async () => {
    await sign("ours.key", reference);
    const { code, stdout, stderr } = await verify("ours.pub", reference);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(image.digest);
  });

  it("refuses a wrong key", async () => {
    const { code } = await verify("theirs.pub", reference);
    expect(code).not.toBe(0);
    expect(code).not.toBe(NO_SIGNATURES);
  });

  it("does not take the signature for an image with one byte altered", async () => {
    expect((await verify("ours.pub", alteredReference)).code).toBe(NO_SIGNATURES);
  });

  it("attests provenance, and verifies it by its type and key", async () => {
    writeFileSync(
      home.path("provenance.json"),
      JSON.stringify({
        buildDefinition: {
          buildType: "https://example.com/build/v1",
          externalParameters: { source: "git+https://example.com/app" },
          resolvedDependencies: [{ uri: "git+https://example.com/app", digest: { gitCommit: "4".repeat(40) } }],
        },
        runDetails: { builder: { id: "https://example.com/builder" } },
      }),
    );
    await attest("slsaprovenance1", "provenance.json", reference);
    const { code, stdout, stderr } = await verifyAttestation("ours.pub", "slsaprovenance1", reference);
    expect(code, stderr).toBe(0);
    const { payload } = JSON.parse(stdout) as { payload: string };
    const statement = JSON.parse(Buffer.from(payload, "base64").toString()) as { predicateType: string };
    expect(statement.predicateType).toBe("https://slsa.dev/provenance/v1");
  });

  it("refuses an attestation by a wrong key, and finds none of another type", async () => {
    expect((await verifyAttestation("theirs.pub", "slsaprovenance1", reference)).code).not.toBe(0);
    expect((await verifyAttestation("ours.pub", "spdxjson", reference)).code).not.toBe(0);
  });

  it("keeps several attestations of several types side by side", async () => {
    writeFileSync(home.path("test-result.json"), JSON.stringify({ result: "PASSED" }));
    await attest("https://in-toto.io/attestation/test-result/v0.1", "test-result.json", reference);
    await attest("https://example.com/custom/v1", "test-result.json", reference);
    for (const type of [
      "slsaprovenance1",
      "https://in-toto.io/attestation/test-result/v0.1",
      "https://example.com/custom/v1",
    ]) {
      const { code, stderr } = await verifyAttestation("ours.pub", type, reference);
      expect(code, stderr).toBe(0);
    }
    expect((await verify("ours.pub", reference)).code).toBe(0);
  });

  it("shows all of it as a tree below the image", async () => {
    const tree = await home.must("cosign", ["tree", reference]);
    expect(tree).toContain("https://sigstore.dev/cosign/sign/v1");
    expect(tree).toContain("https://slsa.dev/provenance/v1");
    expect(tree).toContain("https://in-toto.io/attestation/test-result/v0.1");
    expect(tree.match(/sha256:[0-9a-f]{64}/g)?.length).toBeGreaterThanOrEqual(4);
  });

  it("stores each bundle as a referrer whose annotations tell the kinds apart", async () => {
    const credentials = Buffer.from(`admin:${server.adminToken}`).toString("base64");
    const response = await fetch(`${server.url}/v2/default/app/referrers/${image.digest}`, {
      headers: { authorization: `Basic ${credentials}` },
    });
    expect(response.status).toBe(200);
    type Index = { manifests: { artifactType: string; annotations?: Record<string, string> }[] };
    const { manifests } = (await response.json()) as Index;
    expect(manifests.map(({ artifactType }) => artifactType)).toEqual([BUNDLE, BUNDLE, BUNDLE, BUNDLE]);
    const types = new Set(manifests.map(({ annotations }) => annotations?.["dev.sigstore.bundle.predicateType"]));
    expect(types).toEqual(
      new Set([
        "https://example.com/custom/v1",
        "https://in-toto.io/attestation/test-result/v0.1",
        "https://sigstore.dev/cosign/sign/v1",
        "https://slsa.dev/provenance/v1",
      ]),
    );
  });

  it("verifies at another place what oras has copied there with all that refers to it", async () => {
    const copy = `${server.host}/default/promoted/app`;
    await home.must("oras", ["cp", "-r", "--from-plain-http", "--to-plain-http", reference, `${copy}:v1.0.0`]);
    const { code, stderr } = await verify("ours.pub", `${copy}@${image.digest}`);
    expect(code, stderr).toBe(0);
  });

  it("signs an image index and each image in it", async () => {
    const index = `${server.host}/default/app:multi`;
    await home.must("crane", ["index", "append", "-t", index, "-m", reference, "-m", alteredReference]);
    const digest = await home.must("crane", ["digest", index]);
    const pinned = `${server.host}/default/app@${digest}`;
    await home.must("cosign", [
      "sign",
      "--yes",
      "--recursive",
      "--key",
      "theirs.key",
      "--signing-config",
      "signing-config.json",
      pinned,
    ]);
    for (const target of [pinned, reference, alteredReference]) {
      const { code, stderr } = await verify("theirs.pub", target);
      expect(code, stderr).toBe(0);
    }
  });

  it("signs and attests a file, and refuses the file with one byte altered", async () => {
    const file = home.path("app.bin");
    const content = readFileSync(process.execPath).subarray(0, 1 << 20);
    writeFileSync(file, content);
    const blob = ["--key", "ours.key", "--signing-config", "signing-config.json", "--yes"];
    await home.must("cosign", ["sign-blob", ...blob, "--bundle", "app.bin.sigstore.json", file]);
    await home.must("cosign", [
      "attest-blob",
      ...blob,
      "--bundle",
      "app.bin.attestation.json",
      "--type",
      "slsaprovenance1",
      "--predicate",
      "provenance.json",
      file,
    ]);
    const check = ["--key", "ours.pub", "--insecure-ignore-tlog"];
    const checks = [
      ["verify-blob", ...check, "--bundle", "app.bin.sigstore.json", file],
      ["verify-blob-attestation", ...check, "--bundle", "app.bin.attestation.json", "--type", "slsaprovenance1", file],
    ];
    for (const args of checks) expect((await home.run("cosign", args)).code).toBe(0);
    content[4096] = (content[4096] ?? 0) ^ 1;
    writeFileSync(file, content);
    for (const args of checks) expect((await home.run("cosign", args)).code).not.toBe(0);
  });
});
