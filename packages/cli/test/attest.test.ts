import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JsonObject, parseBundle, parsePublicKeyPem, parseStatement, pae, type PublicKey } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { parseJunit } from "../src/attest/junit.ts";
import { memoryRegistry } from "./memory-registry.ts";
import { containing, type Ended, runAssay } from "./run.ts";
import { temporaryFolder } from "./tree.ts";

const SHA = "ffac537e6cbbf934b08745a378932722df287a53";
const HELLO = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const ENV = { ASSAY_KEY_PASSWORD: "pw" };
// One key for all: making one costs a scrypt each time it is opened, by design.
let keyPem = "";
let publicPem = "";

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "assay-key-"));
  await runAssay(["key", "generate", "--output-prefix", "k"], { cwd: folder, env: ENV });
  keyPem = readFileSync(join(folder, "k.key"), "utf8");
  publicPem = readFileSync(join(folder, "k.pub"), "utf8");
  rmSync(folder, { recursive: true });
});

function workFolder(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "k.key"), keyPem, { mode: 0o600 });
  writeFileSync(join(folder, "hello.txt"), "hello\n");
  return folder;
}

/** The statement in a bundle file, its signature checked with the public key. */
function statementIn(bytes: Uint8Array): ReturnType<typeof parseStatement> {
  const { content } = parseBundle(bytes);
  if (content.kind !== "dsse") throw new Error("no envelope");
  const { payloadType, payload, signature } = content.envelope;
  const key: PublicKey = parsePublicKeyPem(publicPem);
  expect(nodeCrypto.verify(key, signature, pae(payloadType, payload))).toBe(true);
  return parseStatement(payload);
}

async function attest(
  words: readonly string[],
  folder = workFolder(),
  env: Record<string, string> = {},
): Promise<{ ended: Ended; statement: ReturnType<typeof parseStatement> }> {
  const ended = await runAssay(["attest", ...words, "--key", "k.key", "--bundle", "b.json", "--no-upload"], {
    cwd: folder,
    env: { ...ENV, ...env },
  });
  expect(ended).toMatchObject({ exit: 0, stderr: "" });
  return { ended, statement: statementIn(readFileSync(join(folder, "b.json"))) };
}

describe("assay key", () => {
  it("makes a key file for its owner only and never overwrites one", async () => {
    const folder = temporaryFolder();
    const made = await runAssay(["key", "generate", "--output-prefix", "a/b", "--output", "json"], {
      cwd: folder,
      env: ENV,
    });
    expect(made.exit).toBe(3); // the folder is not made: a key in an unexpected place is worse than an error
    expect(JSON.parse(made.stderr)).toMatchObject({
      error: { code: "directory-missing", message: "the directory a does not exist" },
    });
    expect(await runAssay(["key", "generate"], { cwd: folder, env: ENV })).toMatchObject({ exit: 0 });
    expect(statSync(join(folder, "assay.key")).mode & 0o777).toBe(0o600);
    const before = readFileSync(join(folder, "assay.key"));
    expect(await runAssay(["key", "generate"], { cwd: folder, env: ENV })).toMatchObject({
      exit: 2,
      stderr: containing("file-exists"),
    });
    expect(readFileSync(join(folder, "assay.key"))).toEqual(before);
    const listed = await runAssay(["key", "list", "--output", "json"], { cwd: folder });
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { path: "assay.key", kind: "private, encrypted" },
      { path: "assay.pub", algorithm: "ecdsa-p256-sha256" },
    ]);
  });

  it("asks for a password where there is no terminal by saying which variable to set", async () => {
    const ended = await runAssay(["key", "generate"], { cwd: temporaryFolder() });
    expect(ended).toMatchObject({ exit: 2, stderr: containing("ASSAY_KEY_PASSWORD") });
  });
});

describe("assay sign", () => {
  it("signs a file so that its bundle verifies over the bytes", async () => {
    const folder = workFolder();
    expect(await runAssay(["sign", "hello.txt", "--key", "k.key"], { cwd: folder, env: ENV })).toMatchObject({
      exit: 0,
    });
    const { content } = parseBundle(readFileSync(join(folder, "hello.txt.sigstore.json")));
    if (content.kind !== "message") throw new Error("no message signature");
    expect(nodeCrypto.verify(parsePublicKeyPem(publicPem), content.signature, Buffer.from("hello\n"))).toBe(true);
  });

  it.each([true, false])("attaches an image's signature as cosign does (referrers API: %s)", async (referrers) => {
    const fake = await memoryRegistry({ referrers, auth: "bearer" });
    const folder = workFolder();
    const env = { ...ENV, ASSAY_URL: `http://${fake.host}`, ASSAY_TOKEN: "s3cret-token", ASSAY_KEY: "k.key" };
    const pushed = JSON.parse(
      (await runAssay(["push", "hello.txt", "o/a:1", "--output", "json"], { cwd: folder, env })).stdout,
    ) as { digest: string };
    for (let i = 0; i < 2; i += 1)
      expect(await runAssay(["sign", "o/a:1"], { cwd: folder, env })).toMatchObject({ exit: 0, stderr: "" });
    const found = [...fake.manifests].filter(
      ([name, { bytes }]) => name.startsWith("o/a/sha256:") && bytes.includes('"subject"'),
    );
    expect(found).toHaveLength(2);
    const manifest = JSON.parse(found[0]?.[1].bytes.toString() ?? "") as {
      annotations: object;
      artifactType: string;
      layers: { digest: string }[];
      subject: { digest: string };
    };
    expect(manifest).toMatchObject({
      artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json",
      annotations: {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
      },
      subject: { digest: pushed.digest },
    });
    const statement = statementIn(fake.blobs.get(manifest.layers[0]?.digest ?? "") ?? Buffer.alloc(0));
    expect(statement).toMatchObject({
      predicateType: "https://sigstore.dev/cosign/sign/v1",
      subjects: [{ digest: { sha256: pushed.digest.slice(7) } }],
    });
    const fallback = fake.manifests.get(`o/a/${pushed.digest.replace(":", "-")}`);
    const listed = JSON.parse(fallback?.bytes.toString() ?? "{}") as { manifests?: unknown[] };
    expect(listed.manifests?.length).toBe(referrers ? undefined : 2);
  });

  it.each([
    [["sign", "hello.txt"], "key-missing"],
    [["sign", "hello.txt", "--key", "hello.txt"], "key-invalid"],
    [["sign", "./absent", "--key", "k.key"], "file-missing"],
    [["sign", "hello.txt", "--key", "k.key", "--attach"], "usage"],
    [["sign", "hello.txt", "--key", "k.key", "--upload"], "server-missing"],
  ])("%j fails with %s", async (words, code) => {
    const ended = await runAssay(words, { cwd: workFolder(), env: ENV });
    expect(ended.stderr).toContain(`[${code}]`);
    expect(ended.exit).toBe(code === "file-missing" ? 3 : 2);
  });

  it("says so when the password is wrong", async () => {
    const ended = await runAssay(["sign", "hello.txt", "--key", "k.key"], {
      cwd: workFolder(),
      env: { COSIGN_PASSWORD: "other" },
    });
    expect(ended).toMatchObject({ exit: 2, stderr: containing("cosign-key-password") });
  });
});

describe("assay attest", () => {
  it("signs a statement about an artifact, with what the flags and the CI say", async () => {
    const words = [
      "artifact",
      "hello.txt",
      "--artifact-type",
      "file",
      "--build-url",
      "https://ci/1",
      "--flow",
      "project-a",
      "--trail",
      "trail-1",
      "--name",
      "backend",
      "--annotate",
      "k=v=w",
    ];
    const { statement } = await attest(words, workFolder(), {
      GITHUB_ACTIONS: "true",
      GITHUB_SHA: SHA,
      GITHUB_REPOSITORY: "o/r",
      GITHUB_RUN_ID: "1",
    });
    expect(statement).toEqual({
      type: "v1",
      subjects: [{ name: "hello.txt", digest: { sha256: HELLO } }],
      predicateType: "https://assay.dev/attestation/artifact/v1",
      predicate: {
        artifactType: "file",
        filename: "hello.txt",
        flow: "project-a",
        trail: "trail-1",
        name: "backend",
        buildUrl: "https://ci/1",
        commitUrl: `https://github.com/o/r/commit/${SHA}`,
        gitCommit: SHA,
        repositoryUrl: "https://github.com/o/r",
        ci: "github",
        annotations: { k: "v=w" },
      },
    });
  });

  it("guesses a file or an image as other verbs do, and attaches to an image", async () => {
    const guessed = await attest(["artifact", "hello.txt"]);
    expect(guessed.statement).toMatchObject({
      subjects: [{ name: "hello.txt", digest: { sha256: HELLO } }],
      predicate: { artifactType: "file", filename: "hello.txt" },
    });
    const fake = await memoryRegistry({ auth: "bearer" });
    const folder = workFolder();
    const env = { ...ENV, ASSAY_URL: `http://${fake.host}`, ASSAY_TOKEN: "s3cret-token" };
    const pushed = await runAssay(["push", "hello.txt", "o/a:1", "--output", "json"], { cwd: folder, env });
    const { digest } = JSON.parse(pushed.stdout) as { digest: string };
    const { ended, statement } = await attest(["artifact", "o/a:1", "--attach"], folder, env);
    expect(statement).toMatchObject({
      subjects: [{ digest: { sha256: digest.slice(7) } }],
      predicate: { artifactType: "oci" },
    });
    expect(ended.stdout).toContain("attached sha256:");
  });

  it("binds the structure of a directory as well", async () => {
    const folder = workFolder();
    const { statement } = await attest(["artifact", ".", "-t", "dir", "-x", "b.json,k.key"], folder);
    expect(statement.predicate).toMatchObject({
      artifactType: "dir",
      structure: { format: "assay-dir-v1", digest: containing("sha256:") },
    });
  });

  it("makes SLSA provenance from the CI", async () => {
    const { statement } = await attest(["provenance", `sha256:${HELLO}`], workFolder(), {
      GITHUB_ACTIONS: "true",
      GITHUB_SHA: SHA,
      GITHUB_REF: "refs/heads/main",
      GITHUB_REPOSITORY: "o/r",
      GITHUB_RUN_ID: "1",
      GITHUB_WORKFLOW_REF: "o/r/.github/workflows/w.yml@refs/heads/main",
    });
    expect(statement).toMatchObject({
      subjects: [{ digest: { sha256: HELLO } }],
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {
        buildDefinition: {
          externalParameters: {
            workflow: {
              repository: "https://github.com/o/r",
              ref: "refs/heads/main",
              path: ".github/workflows/w.yml",
            },
          },
          resolvedDependencies: [{ uri: "git+https://github.com/o/r@refs/heads/main", digest: { gitCommit: SHA } }],
        },
        runDetails: {
          builder: { id: "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main" },
          metadata: { invocationId: "https://github.com/o/r/actions/runs/1" },
        },
      },
    });
  });

  it("reads the result of tests from JUnit reports", async () => {
    const folder = workFolder();
    writeFileSync(join(folder, "a.xml"), '<testsuite><testcase classname="c" name="one"/></testsuite>');
    writeFileSync(
      join(folder, "b.xml"),
      '<testsuites><testsuite><testcase name="two"><failure>x</failure></testcase></testsuite></testsuites>',
    );
    const { statement } = await attest(["test", "hello.txt", "-t", "file", "--junit", "a.xml", "b.xml"], folder);
    expect(statement.predicate).toMatchObject({
      result: "FAILED",
      passedTests: ["c.one"],
      failedTests: ["two"],
      configuration: [],
    } satisfies JsonObject);
    const stated = await attest(["test", "hello.txt", "-t", "file", "--result", "PASSED"], folder);
    expect(stated.statement.predicate).toEqual({ result: "PASSED", configuration: [] });
  });

  it("signs a predicate of one's own", async () => {
    const folder = workFolder();
    writeFileSync(join(folder, "p.json"), '{"a":[1]}');
    const { statement } = await attest(
      ["custom", "hello.txt", "-t", "file", "--predicate", "p.json", "--predicate-type", "https://x.example/y"],
      folder,
    );
    expect(statement).toMatchObject({ predicateType: "https://x.example/y", predicate: { a: [1] } });
  });

  it.each([
    [["artifact", "."], "subject-is-directory"],
    [["artifact", "absent:1"], "host-missing"],
    [["artifact", "hello.txt", "-t", "file", "--git-commit", "HEAD"], "commit-invalid"],
    [["artifact", "hello.txt", "-t", "file", "--trail", "t"], "trail-without-flow"],
    [["artifact", "hello.txt", "-t", "file", "--flow", "a b"], "flow-name-invalid"],
    [["artifact", "hello.txt", "-t", "file", "--exclude", "x"], "option-needs-dir"],
    [["artifact", "hello.txt", "-t", "file", "--attach"], "usage"],
    [["provenance", "hello.txt", "-t", "file"], "builder-missing"],
    [["provenance", "hello.txt", "-t", "file", "--predicate", "dup.json"], "json-duplicate-key"],
    [["provenance", "hello.txt", "-t", "file", "--predicate", "empty.json"], "provenance-invalid"],
    [["test", "hello.txt", "-t", "file"], "tests-missing"],
    [["test", "hello.txt", "-t", "file", "--junit", "none.xml"], "tests-missing"],
    [["test", "hello.txt", "-t", "file", "--junit", "fail.xml", "--result", "PASSED"], "result-contradicted"],
    [["custom", "hello.txt", "-t", "file", "--predicate", "empty.json", "--predicate-type", "x"], "usage"],
  ])("%j fails with %s and leaves no bundle", async (words, code) => {
    const folder = workFolder();
    writeFileSync(join(folder, "dup.json"), '{"a":1,"a":2}');
    writeFileSync(join(folder, "empty.json"), "{}");
    writeFileSync(join(folder, "none.xml"), "<testsuites/>");
    writeFileSync(join(folder, "fail.xml"), '<testsuite><testcase name="a"><error/></testcase></testsuite>');
    const ended = await runAssay(["attest", ...words, "--key", "k.key", "--bundle", "b.json", "--no-upload"], {
      cwd: folder,
      env: ENV,
    });
    expect(ended.stderr).toContain(`[${code}]`);
    expect(ended.exit).toBe(2);
    expect(existsSync(join(folder, "b.json"))).toBe(false);
  });

  it("gives the bundle to the server, and keeps the file when the server refuses", async () => {
    const seen: { url: string | undefined; body: { bundle: object; repository?: string } }[] = [];
    let status = 201;
    const http = createServer((request, response) => {
      let text = "";
      request
        .on("data", (chunk) => (text += chunk))
        .on("end", () => {
          seen.push({ url: request.url, body: JSON.parse(text) as { bundle: object } });
          response
            .writeHead(status)
            .end(
              JSON.stringify(
                status === 201
                  ? { evidence: `sha256:${HELLO}`, receipt: { sequence: 3 } }
                  : { error: { code: "quota", message: "full" } },
              ),
            );
        });
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void http.close());
    const folder = workFolder();
    const env = {
      ...ENV,
      ASSAY_URL: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
      ASSAY_ORG: "org",
      ASSAY_TOKEN: "t",
    };
    const words = [
      "attest",
      "artifact",
      "hello.txt",
      "-t",
      "file",
      "--key",
      "k.key",
      "--bundle",
      "b.json",
      "--repository",
      "org/a",
      "--output",
      "json",
    ];
    const ended = await runAssay(words, { cwd: folder, env });
    expect(JSON.parse(ended.stdout)).toMatchObject({
      evidence: `sha256:${HELLO}`,
      receipt: { sequence: 3 },
      subject: `sha256:${HELLO}`,
    });
    expect(seen[0]).toEqual({
      url: "/api/assay/v1/orgs/org/attestations",
      body: { repository: "org/a", bundle: readFileSync(join(folder, "b.json"), "utf8") },
    });
    status = 409;
    const refused = await runAssay(
      words.map((word) => (word === "b.json" ? "c.json" : word)),
      { cwd: folder, env },
    );
    expect(refused.exit).toBe(1);
    expect(JSON.parse(refused.stderr)).toEqual({ error: { code: "quota", message: "full" } });
    expect(existsSync(join(folder, "c.json"))).toBe(true);
  });
});

describe("a JUnit report", () => {
  const parse = (xml: string): ReturnType<typeof parseJunit> => parseJunit(Buffer.from(xml), "r.xml");

  it("counts nested suites, skipped tests and errors", () => {
    const xml =
      '<testsuites><testsuite name="a"><testsuite name="b"><testcase name="p"/><testcase name="s"><skipped/></testcase></testsuite><testcase name="e"><error/></testcase></testsuite></testsuites>';
    expect(parse(xml)).toEqual({ passed: ["p"], failed: ["e"], skipped: ["s"] });
  });

  it("that counts more failures than it shows has failed", () => {
    expect(parse('<testsuite name="x" failures="1" errors="1"><testcase name="p"/></testsuite>').failed).toHaveLength(
      1,
    );
  });

  it.each([
    ['<!DOCTYPE a [<!ENTITY x "y">]><testsuite/>'],
    ["<!DOCTYPE testsuite SYSTEM 'file:///etc/passwd'><testsuite/>"],
    ['<testsuite><testcase name="&x;"/></testsuite>'],
    ["<testsuite>"],
    ["<html/>"],
    [""],
    ["<testsuite/><testsuite/>"],
    ['<testsuite failures="many"/>'],
    ["<testsuite><testcase/></testsuite>"],
    ['<?xml version="1.0" encoding="UTF-16"?><testsuite/>'],
    ["<testsuite>".repeat(100)],
    ['<testsuite a="1" a="2"/>'],
  ])("is refused when it is %s", (xml) => {
    expect(() => parse(xml)).toThrow(expect.objectContaining({ code: "junit-invalid", exit: 2 }));
  });

  it("is refused when it is not UTF-8", () => {
    expect(() => parseJunit(Buffer.from([0x3c, 0xff]), "r.xml")).toThrow(/not UTF-8/);
  });
});
