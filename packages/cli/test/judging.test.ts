import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { runAssay } from "./run.ts";
import { startTestServer, type TestServer } from "./server.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";
const MESSAGE = "https://assay.dev/message-signature/v1";
const NO_EVIDENCE = `sha256:${"0".repeat(64)}`;

const POLICY = `version: 1
name: production
rules:
  - id: signed
    evidence:
      predicateType: ${MESSAGE}
      identities: [release]
  - id: tests
    tests:
      identities: [ci]
`;

describe("a signed and tested file on a real server", () => {
  let server: TestServer;
  let desk: Desk;
  let app: string;
  /** The evidence of the tests, by its digest, signed by a key that is trusted for a time only. */
  let tested: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    app = desk.file("app.bin", "a program\n");
    const release = await desk.keyPair("release");
    const ci = await desk.keyPair("ci");
    await desk.keyPair("stranger");
    await desk.must("trust", "add", "release", "--key", release.pub);
    await desk.must("trust", "add", "ci", "--key", ci.pub, "--from", "2020-01-01", "--until", "2099-12-31");
    await desk.must("push", app, `${server.host}/default/app:1.0.0`);
    await desk.must("sign", app, "--key", release.key, "--upload");
    const facts = ["--git-commit", "a".repeat(40), "--repository-url", "https://example.com/app"];
    const results = ["--result", "PASSED", "--key", ci.key, "--bundle", desk.path("tests.json"), ...facts];
    const attested = await desk.must("attest", "test", app, "-t", "file", ...results, "--output", "json");
    tested = String(attested.json()["evidence"]);
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  describe("verify", () => {
    it("says yes, and who said what, when, proven by what", async () => {
      const { exit, stdout } = await desk.assay("verify", app);
      expect(stdout).toMatch(
        /verified +https:\/\/assay\.dev\/message-signature\/v1\n +said by +release \(entry-\d+, key/,
      );
      expect(stdout).toMatch(/when +\d{4}-\d\d-\d\dT.*received here by then \(record \d+\)/);
      expect(stdout).toMatch(/VERIFIED {2}2 of 2/);
      expect(exit).toBe(0);
    });

    it("takes a digest as well, and an image through its registry", async () => {
      const { exit } = await desk.assay("verify", `${server.host}/default/app:1.0.0`);
      expect(exit).toBe(1); // the manifest is another artifact than the file in it, and nothing was said about it
      const fingerprint = (await desk.must("fingerprint", app, "-t", "file")).stdout.trim();
      expect((await desk.assay("verify", `sha256:${fingerprint}`)).exit).toBe(0);
    });

    it("says no about a file that differs by one byte", async () => {
      const altered = desk.file("altered.bin", "a progran\n");
      const { exit, stdout } = await desk.assay("verify", altered);
      expect(stdout).toContain("NOT VERIFIED  there is no evidence about it");
      expect(exit).toBe(1);
    });

    it("says no where the verified evidence is not of the type, or not by the one, that is demanded", async () => {
      expect((await desk.assay("verify", app, "--by", "release")).exit).toBe(0);
      expect((await desk.assay("verify", app, "--by", "ci", "--predicate-type", TESTS)).exit).toBe(0);
      expect((await desk.assay("verify", app, "--by", "release", "--predicate-type", TESTS)).exit).toBe(1);
      expect((await desk.assay("verify", app, "--by", "stranger")).exit).toBe(1);
      expect((await desk.assay("verify", app, "--by", "")).exit).toBe(2);
    });

    it("refuses a signature by a key that nobody trusts", async () => {
      const other = desk.file("other.bin", "another program\n");
      await desk.must("sign", other, "--key", desk.path("stranger.key"), "--upload");
      const { exit, stdout } = await desk.assay("verify", other);
      expect(stdout).toContain("[unknown-signer]");
      expect(exit).toBe(1);
    });

    it("answers programs in JSON", async () => {
      const answer = (await desk.assay("verify", app, "--output", "json", "--by", "ci")).json();
      expect(answer).toMatchObject({
        result: "verified",
        satisfiedBy: [tested],
        trust: { org: "default", version: 2 },
        demanded: { by: "ci", predicateType: null },
      });
      const none = (await desk.assay("verify", NO_EVIDENCE, "--output", "json")).json();
      expect(none).toMatchObject({ result: "not-verified", satisfiedBy: [], evidence: [] });
    });

    it("cannot find out from an organisation that is not there, an image that is not there, a file that is not there", async () => {
      expect((await desk.assay("verify", app, "--org", "nobody")).exit).toBe(3);
      expect((await desk.assay("verify", `${server.host}/default/absent:1`)).exit).toBe(3);
      expect((await desk.assay("verify", "./absent")).exit).toBe(3);
    });
  });

  describe("verify --offline", () => {
    let evidence: string;
    let receipt: string;
    let trust: string;
    const offline = (...more: string[]) =>
      // A server nobody answers at: whatever asked the network would end with 3.
      desk.assayWith({ ASSAY_URL: "http://127.0.0.1:9" }, "verify", app, "--offline", "--trust", trust, ...more);

    beforeAll(async () => {
      evidence = desk.path("evidence.json");
      receipt = desk.path("receipt.json");
      trust = desk.path("trust.json");
      await desk.must("evidence", "download", tested, "-o", evidence, "--receipt", receipt);
      await desk.must("trust", "export", "-o", trust);
    });

    it("verifies with the record's receipt, which proves when the evidence was there", async () => {
      const { exit, stdout } = await offline("--bundle", evidence, "--receipt", receipt);
      expect(stdout).toMatch(/when +\d{4}.*by the record's receipt \(record \d+ of assay-/);
      expect(exit).toBe(0);
    });

    it("takes the bundle that attest wrote: it is the evidence, byte for byte", async () => {
      expect(readFileSync(desk.path("tests.json"))).toEqual(readFileSync(evidence));
      expect((await offline("--bundle", desk.path("tests.json"), "--receipt", receipt)).exit).toBe(0);
    });

    it("says time-unproven without the receipt, for the key is trusted for a time only", async () => {
      const { exit, stdout } = await offline("--bundle", evidence);
      expect(stdout).toContain("[time-unproven]");
      expect(exit).toBe(1);
    });

    it("needs no receipt for a key that is trusted at any time", async () => {
      const { exit, stdout } = await offline("--bundle", `${app}.sigstore.json`);
      expect(stdout).toContain("not proven (this key is trusted at any time)");
      expect(exit).toBe(0);
    });

    it("refuses a receipt of which one byte was altered, even where the evidence would stand without it", async () => {
      const json = JSON.parse(readFileSync(receipt, "utf8")) as { event: string };
      const event = Buffer.from(json.event, "base64");
      event[20] = (event[20] ?? 0) ^ 1;
      const bent = desk.file("bent-receipt.json", JSON.stringify({ ...json, event: event.toString("base64") }));
      const run = await offline("--bundle", evidence, `${app}.sigstore.json`, "--receipt", bent);
      expect(run.stdout).toContain("NOT VERIFIED  1 of 1 receipt(s) do not hold");
      expect(run.exit).toBe(1);
      const text = desk.file("no-receipt.json", "{");
      expect((await offline("--bundle", `${app}.sigstore.json`, "--receipt", text)).exit).toBe(1);
    });

    it("refuses evidence of which one byte was altered", async () => {
      const bytes = readFileSync(evidence, "utf8");
      const at = bytes.indexOf('"payload"') + 20;
      const bent = desk.file(
        "bent.json",
        `${bytes.slice(0, at)}${bytes[at] === "A" ? "B" : "A"}${bytes.slice(at + 1)}`,
      );
      const { exit, stdout } = await offline("--bundle", bent, "--receipt", receipt);
      expect(stdout).toMatch(/refused/);
      expect(exit).toBe(1);
    });

    it("refuses the evidence of another artifact", async () => {
      const altered = desk.file("altered.bin", "a progran\n");
      const run = await desk.assay(
        "verify",
        altered,
        "--offline",
        "--trust",
        trust,
        "--bundle",
        evidence,
        "--receipt",
        receipt,
      );
      expect(run.stdout).toContain("[subject-mismatch]");
      expect(run.exit).toBe(1);
    });

    it("verifies a signature over the bytes themselves, which the digest alone could not", async () => {
      const { key, pub } = await desk.keyPair("ed", "ed25519");
      await desk.must("trust", "add", "ed", "--key", pub);
      const path = desk.path("trust-ed.json");
      await desk.must("trust", "export", "-o", path);
      const bundle = desk.path("ed.json");
      await desk.must("sign", app, "--key", key, "--bundle", bundle);
      expect((await desk.assay("verify", app, "--offline", "--trust", path, "--bundle", bundle)).exit).toBe(0);
    });

    it("says what is missing: evidence, trust, an image's digest", async () => {
      expect((await desk.assay("verify", app, "--offline", "--trust", trust)).exit).toBe(2);
      expect((await desk.assay("verify", app, "--offline", "--bundle", evidence)).exit).toBe(2);
      expect((await desk.assay("verify", app, "--bundle", evidence)).exit).toBe(2);
      const image = await desk.assay(
        "verify",
        `${server.host}/default/app:1`,
        "--offline",
        "--trust",
        trust,
        "--bundle",
        evidence,
      );
      expect(image.stderr).toContain("[digest-missing]");
      expect(image.exit).toBe(2);
      expect((await desk.assay("verify", app, "--offline", "--trust", app, "--bundle", evidence)).exit).toBe(2);
      expect((await offline("--bundle", desk.path("absent.json"))).exit).toBe(3);
    });

    it("answers programs in the form the server's answer has", async () => {
      const answer = (await offline("--bundle", evidence, "--receipt", receipt, "--output", "json")).json();
      expect(answer).toMatchObject({ result: "verified", source: "offline", satisfiedBy: [tested], asOf: null });
      expect(answer["receipts"]).toMatchObject([{ status: "proven", evidence: tested }]);
    });
  });

  describe("decide", () => {
    it("allows with a reason for every rule, from a policy file and from a stored policy", async () => {
      const policy = desk.file("policy.yaml", POLICY);
      const fromFile = await desk.assay("decide", app, "--policy", policy);
      expect(fromFile.stdout).toMatch(/^ALLOWED/);
      expect(fromFile.stdout).toMatch(/yes +signed \(evidence\)\n +by release: sha256:/);
      expect(fromFile.exit).toBe(0);
      await desk.must("policy", "set", "production", policy);
      expect((await desk.assay("decide", app, "--policy", "production")).exit).toBe(0);
    });

    it("denies the file that differs by one byte, and says what is missing", async () => {
      const altered = desk.file("altered.bin", "a progran\n");
      const { exit, stdout } = await desk.assay("decide", altered, "--policy", desk.file("policy.yaml", POLICY));
      expect(stdout).toMatch(/^DENIED/);
      expect(stdout).toContain("missing: a passed test result, signed by ci");
      expect(exit).toBe(1);
    });

    it("answers programs with the decision object, and writes the signed summary", async () => {
      const policy = desk.file("policy.yaml", POLICY);
      const vsa = desk.path("vsa.json");
      const decision = (await desk.assay("decide", app, "--policy", policy, "--vsa", vsa, "--output", "json")).json();
      expect(decision).toMatchObject({ version: 1, result: "allowed", rules: [{ rule: "signed" }, { rule: "tests" }] });
      const bundle = JSON.parse(readFileSync(vsa, "utf8")) as { dsseEnvelope: { payload: string } };
      const statement = JSON.parse(Buffer.from(bundle.dsseEnvelope.payload, "base64").toString()) as Record<
        string,
        unknown
      >;
      expect(statement).toMatchObject({
        predicateType: "https://slsa.dev/verification_summary/v1",
        predicate: { verificationResult: "PASSED" },
      });
    });

    it("cannot find out by a policy that is not there; a file under a policy's name never takes its place", async () => {
      desk.file("absent", POLICY);
      const env = { ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default", HOME: desk.folder };
      const { exit, stderr } = await runAssay(["decide", app, "--policy", "absent"], { cwd: desk.folder, env });
      expect(stderr).toContain("policy-unknown");
      expect(exit).toBe(3);
    });

    it("is used wrongly with a policy that is none, and names its lines", async () => {
      const { exit, stderr } = await desk.assay(
        "decide",
        app,
        "--policy",
        desk.file("bad.yaml", "version: 1\nname: x\nrule: []\n"),
      );
      expect(stderr).toContain("bad.yaml:3:1");
      expect(exit).toBe(2);
    });
  });

  describe("evidence", () => {
    it("lists, shows and downloads, all of it as JSON too", async () => {
      const list = (await desk.must("evidence", "list", app, "--output", "json")).json();
      expect(list["evidence"]).toHaveLength(2);
      expect((await desk.must("evidence", "show", tested, "--output", "json")).json()).toMatchObject({
        predicateType: TESTS,
      });
      expect((await desk.must("evidence", "show", tested)).stdout).toMatch(/received +\d{4}.* from admin/);
      expect((await desk.must("evidence", "download", tested)).stdout).toBe(
        readFileSync(desk.path("tests.json"), "utf8"),
      );
    });

    it("says no to evidence that is not there, and is used wrongly with what is no digest", async () => {
      expect((await desk.assay("evidence", "show", NO_EVIDENCE)).exit).toBe(1);
      expect((await desk.assay("evidence", "download", "sha256:12")).exit).toBe(2);
    });

    it("gives the server a bundle that another tool made, under its own digest", async () => {
      const bundle = desk.path("given.json");
      await desk.must("sign", app, "--key", desk.path("stranger.key"), "--bundle", bundle);
      const added = (
        await desk.must("evidence", "add", bundle, "--receipt", desk.path("given-receipt.json"), "--output", "json")
      ).json();
      expect(added).toMatchObject({ created: true, form: "message-signature", signers: [] });
      expect((await desk.assay("evidence", "add", desk.file("junk.json", "{}"))).exit).toBe(2);
    });
  });

  describe("trust", () => {
    it("lists whom the organisation believes, and exports what the offline verifier reads", async () => {
      const { stdout } = await desk.must("trust", "list");
      expect(stdout).toMatch(/entry-\d+ +release +key sha256:[0-9a-f]{64} +\*\* +\* +at any time/);
      const trust = JSON.parse((await desk.must("trust", "export")).stdout) as { logs: string[]; mediaType: string };
      expect(trust.logs).toHaveLength(1);
      expect((await desk.must("trust", "list", "--at-version", "0", "--output", "json")).json()).toMatchObject({
        entries: [],
      });
    });

    it("never sends a private key", async () => {
      const { exit, stderr } = await desk.assay("trust", "add", "oops", "--key", desk.path("release.key"));
      expect(stderr).toContain("[key-invalid]");
      expect(exit).toBe(2);
    });

    it("removes by name only where one entry has it", async () => {
      const { pub } = await desk.keyPair("twin");
      const add = () => desk.must("trust", "add", "twin", "--key", pub, "--output", "json");
      const scoped = await desk.must(
        "trust",
        "add",
        "twin",
        "--key",
        pub,
        "--repository",
        "default/app",
        "--predicate-type",
        TESTS,
        "--output",
        "json",
      );
      await add();
      expect((await desk.assay("trust", "remove", "twin")).exit).toBe(2);
      const { entry } = scoped.json() as { entry: { id: string } };
      await desk.must("trust", "remove", entry.id);
      await desk.must("trust", "remove", "twin");
      expect((await desk.assay("trust", "remove", "twin")).exit).toBe(1);
    });
  });

  it("checks policies without a server, and names file, line and column", async () => {
    const alone = (file: string, ...more: string[]) =>
      desk.assayWith({ ASSAY_URL: undefined }, "policy", "check", file, ...more);
    expect((await alone(desk.file("policy.yaml", POLICY))).exit).toBe(0);
    const bad = desk.file("bad.yaml", POLICY.replace("atLeast", "").replace("identities: [ci]", "identity: [ci]"));
    const { exit, stdout } = await alone(bad);
    expect(stdout).toMatch(/bad\.yaml:10:7: .*identity/);
    expect(exit).toBe(1);
    expect((await alone(bad, "--output", "json")).json()).toMatchObject({
      valid: false,
      errors: [{ line: expect.any(Number) as number }, {}],
    });
    expect((await desk.must("policy", "list", "--output", "json")).stdout).toContain('"production"');
    expect((await desk.must("policy", "show", "production")).stdout).toBe(POLICY);
    expect((await desk.assay("policy", "show", "absent")).exit).toBe(1);
  });

  it("makes an organisation, an account in it and its key, which works", async () => {
    await desk.must("org", "create", "acme");
    expect((await desk.must("org", "list")).stdout).toMatch(/acme +bootstrap admin/);
    await desk.must("account", "create", "service", "robot", "--role", "reader", "--org", "acme");
    const made = (
      await desk.must("account", "key", "create", "service", "robot", "--org", "acme", "--output", "json")
    ).json();
    const asRobot = { ASSAY_TOKEN: String(made["key"]), ASSAY_ORG: "acme" };
    expect((await desk.assayWith(asRobot, "trust", "list")).exit).toBe(0);
    expect((await desk.assayWith(asRobot, "trust", "add", "x", "--key", desk.path("ci.pub"))).exit).toBe(1);
    // Another organisation and one that is not there are the same to it, and neither is a "no" about the artifact.
    expect((await desk.assayWith({ ...asRobot, ASSAY_ORG: "default" }, "verify", app)).exit).toBe(3);
    expect((await desk.must("account", "key", "list", "service", "robot", "--org", "acme")).stdout).not.toContain(
      String(made["key"]),
    );
  });

  it("shows an event, proves it, and verifies the receipt offline", async () => {
    const receipt = desk.path("r5.json");
    expect((await desk.must("record", "show", "5")).stdout).toMatch(/record +5\n/);
    await desk.must("record", "prove", "5", "-o", receipt);
    const { logs } = JSON.parse((await desk.must("trust", "export")).stdout) as { logs: string[] };
    const vkey = logs[0] ?? "";
    const offline = (...more: string[]) =>
      desk.assayWith({ ASSAY_URL: "http://127.0.0.1:9" }, "record", "verify", receipt, ...more);
    expect((await offline("--vkey", vkey)).stdout).toMatch(/^PROVEN {2}record 5 of assay-/);
    expect((await offline("--vkey", vkey, "--output", "json")).json()).toMatchObject({ result: "proven", sequence: 5 });
    expect((await offline("--vkey", vkey.replace("+", "-"))).exit).toBe(2);
    expect((await offline()).exit).toBe(2); // whose log?
    const bent = JSON.parse(readFileSync(receipt, "utf8")) as { sequence: number };
    desk.file("r5.json", JSON.stringify({ ...bent, sequence: 4 }));
    expect((await offline("--vkey", vkey)).exit).toBe(1);
    expect((await desk.assay("record", "show", "999999")).exit).toBe(1);
    expect((await desk.assay("record", "show", "-1")).exit).toBe(2);
  });
});
