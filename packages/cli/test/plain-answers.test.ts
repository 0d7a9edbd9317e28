import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { type Ended, runAssay } from "./run.ts";
import { startTestServer, type TestServer } from "./server.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";
const JUNIT = '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>';

describe("answers that cannot be taken for more than they are", () => {
  let server: TestServer;
  let desk: Desk;
  let app: string;
  let failed: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    app = desk.file("app.bin", "a program\n");
    const ci = await desk.keyPair("ci");
    await desk.must("trust", "add", "ci", "--key", ci.pub);
    await desk.must("push", app, `${server.host}/default/app:1.0.0`);
    const junit = ["--junit", desk.file("j.xml", JUNIT), "--key", ci.key, "--bundle", desk.path("failed.json")];
    const attested = await desk.must("attest", "test", app, "-t", "file", ...junit);
    expect(attested.stdout).toContain("says FAILED");
    expect(attested.stdout).toContain(`file ${app}`);
    failed = /evidence (sha256:[0-9a-f]{64})/.exec(attested.stdout)?.[1] ?? "";
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  /** In the desk's folder, for files named as images are. */
  const there = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> => {
    const here = { ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default", HOME: desk.folder };
    return runAssay(args, { cwd: desk.folder, env: { ...here, ASSAY_KEY_PASSWORD: "for tests", ...env } });
  };

  describe("a signed result that is FAILED", () => {
    it("is shown beside the piece by verify, evidence list and evidence show, online and offline", async () => {
      const verified = await desk.assay("verify", app, "--predicate-type", TESTS);
      expect(verified.stdout).toMatch(/\n +says +FAILED\n/);
      expect(verified.stdout).toMatch(/VERIFIED {2}1 of 1 piece of evidence .*: the signatures, not whether/);
      expect(verified.stdout).toContain("but 1 of them says FAILED");
      expect(verified.stdout).toContain(`file ${app}`);
      expect(verified.exit).toBe(0);
      const listed = await desk.must("evidence", "list", app);
      expect(listed.stdout).toMatch(/\n +says +FAILED\n/);
      expect(listed.stdout).toContain(`file ${app}`);
      expect((await desk.must("evidence", "show", failed)).stdout).toMatch(/\nsays +FAILED\n/);
      await desk.must("trust", "export", "-o", desk.path("trust.json"));
      const files = ["--trust", desk.path("trust.json"), "--bundle", desk.path("failed.json")];
      expect((await desk.must("verify", app, "--offline", ...files)).stdout).toContain("says FAILED");
    });

    it("stands in the JSON, with what kind of thing was asked about", async () => {
      expect((await desk.assay("verify", app, "--output", "json")).json()).toMatchObject({
        kind: "file",
        named: app,
        evidence: [{ says: "FAILED" }],
      });
      expect((await desk.must("evidence", "show", failed, "--output", "json")).json()).toMatchObject({
        says: "FAILED",
      });
    });

    it("is not said of a test that passed", async () => {
      const other = desk.file("good.bin", "a good program\n");
      await desk.must("attest", "test", other, "-t", "file", "--result", "PASSED", "--key", desk.path("ci.key"));
      const { stdout } = await desk.must("verify", other);
      expect(stdout).toMatch(/says +PASSED/);
      expect(stdout).not.toContain("but 1 of them");
    });
  });

  it("shows what does not meet the demands apart, under its own heading", async () => {
    const { exit, stdout } = await desk.assay("verify", app, "--by", "nobody");
    expect(stdout).toMatch(/\nnot by nobody, or not verified:\nverified/);
    expect(exit).toBe(1);
  });

  it("says that a receipt about other evidence is not used, and which evidence it is about", async () => {
    const other = desk.file("fresh.bin", "fresh\n");
    await desk.must("sign", other, "--key", desk.path("ci.key"));
    await desk.must("evidence", "download", failed, "-o", desk.path("e.json"), "--receipt", desk.path("r.json"));
    await desk.must("trust", "export", "-o", desk.path("trust.json"));
    const files = [
      "--trust",
      desk.path("trust.json"),
      "--bundle",
      `${other}.sigstore.json`,
      "--receipt",
      desk.path("r.json"),
    ];
    const { stdout } = await desk.must("verify", other, "--offline", ...files);
    expect(stdout).not.toContain("proven    receipt");
    expect(stdout).toContain(`not used  receipt ${desk.path("r.json")}\n          proves    other evidence, ${failed}`);
    const json = (await desk.must("verify", other, "--offline", ...files, "--output", "json")).json();
    expect(json).toMatchObject({ receipts: [{ status: "not-used", evidence: failed }] });
  });

  describe("a name that could be a file's and an image's", () => {
    beforeAll(() => {
      desk.file("app:1.0.0", "not the image\n");
    });

    it("is refused, naming both ways to say which", async () => {
      for (const args of [["verify"], ["evidence", "list"], ["decide", "--policy", "p"], ["sign", "--key", "ci.key"]]) {
        const { exit, stderr } = await there([...args, "app:1.0.0"]);
        expect(stderr).toContain("[subject-ambiguous]");
        expect(stderr).toContain("./app:1.0.0");
        expect([args, exit]).toEqual([args, 2]);
      }
    });

    it("is answered once that is said, and the answer says what it is about", async () => {
      const file = await there(["verify", "./app:1.0.0"]);
      expect(file.stdout).toContain("file ./app:1.0.0");
      const image = await there(["verify", "app:1.0.0", "--artifact-type", "oci"]);
      expect(image.stdout).toContain("image app:1.0.0");
      expect(image.stdout).toContain("in default/app");
      const decided = await there(["decide", "app.bin", "--policy", "./p.yaml"]);
      expect(decided.exit).toBe(3); // there is no such policy file; the artifact was never the trouble
    });
  });

  it("refuses to judge another organisation's image by this one's trust, and names --org", async () => {
    await desk.must("org", "create", "acme");
    await desk.must("push", app, `${server.host}/acme/app:2.0.0`, "--org", "acme");
    const other = await desk.assay("verify", "acme/app:2.0.0");
    expect(other.stderr).toContain("--org acme");
    expect(other.exit).toBe(2);
    const short = await desk.assay("verify", "app:1.0.0", "--org", "acme");
    expect(short.stderr).toContain("acme/app:1.0.0");
    expect(short.exit).toBe(2);
    expect((await desk.assay("decide", "acme/app:2.0.0", "--policy", "p")).exit).toBe(2);
    expect((await desk.assay("verify", "acme/app:2.0.0", "--org", "acme")).exit).toBe(1);
    // Said in so many words: the same bytes, used from a repository of this organisation.
    expect((await desk.assay("verify", "acme/app:2.0.0", "--repository", "default/app")).exit).toBe(1);
  });

  it("says that neither file nor image is there; and that half a digest is none", async () => {
    const missing = await desk.assay("verify", "nofile.txt");
    expect(missing.stderr).toContain("there is no file nofile.txt here, and no image of that name");
    expect(missing.exit).toBe(3);
    const odd = await desk.assay("verify", "NoFile.txt");
    expect(odd.stderr).toContain("there is no file NoFile.txt here");
    expect(odd.exit).toBe(2);
    expect((await desk.assay("verify", "sha256:0000")).stderr).toContain('"sha256:0000" is not a digest');
  });

  it("says that a file is not a bundle, or not a receipt, by its name", async () => {
    const text = desk.file("hello.txt", "hello\n");
    const added = await desk.assay("evidence", "add", text);
    expect(added.stderr).toContain(`${text} is not a bundle`);
    expect(added.exit).toBe(2);
    await desk.must("record", "verify");
    await desk.must("record", "prove", "3", "-o", desk.path("r3.json"));
    const whole = readFileSync(desk.path("r3.json"), "utf8");
    const cut = desk.file("cut.json", whole.slice(0, 100));
    const proven = await desk.assay("record", "verify", cut);
    expect(proven.stderr).toContain(`${cut}: It is not a receipt`);
    expect(proven.stderr).toContain("assay record prove");
    expect(proven.exit).toBe(2);
    const bent = { ...(JSON.parse(whole) as Record<string, unknown>), sequence: 2 };
    const wrong = await desk.assay("record", "verify", desk.file("bent.json", JSON.stringify(bent)));
    expect(wrong.stderr).not.toContain("witness");
    expect(wrong.exit).toBe(1);
  });

  describe("trust add", () => {
    it("completes a repository of one component and says so; refuses another organisation's", async () => {
      const { pub } = await desk.keyPair("scoped");
      const added = await desk.must("trust", "add", "scoped", "--key", pub, "--repository", "app");
      expect(added.stdout).toMatch(/about +default\/app\n/);
      expect(added.stderr).toContain("app is taken as default/app");
      const other = await desk.assay("trust", "add", "scoped", "--key", pub, "--repository", "acme/app");
      expect(other.stderr).toContain("Write it as default/NAME");
      expect(other.exit).toBe(2);
    });

    it("warns of a type that is no URI and of a time that is past", async () => {
      const { pub } = await desk.keyPair("late");
      const odd = ["--predicate-type", "nonsense", "--until", "2020-01-01"];
      const { stderr } = await desk.must("trust", "add", "late", "--key", pub, ...odd);
      expect(stderr).toContain("is not a URI");
      expect(stderr).toContain("--until 2020-01-01 is past");
    });

    it("exports over an older trust file and says so, and never over anything else", async () => {
      const path = desk.path("again.json");
      await desk.must("trust", "export", "-o", path);
      expect((await desk.must("trust", "export", "-o", path)).stdout).toContain("in place of that of default");
      const { exit, stderr } = await desk.assay("trust", "export", "-o", app);
      expect(stderr).toContain("is no trust file");
      expect(exit).toBe(2);
      expect(readFileSync(app, "utf8")).toBe("a program\n");
    });
  });

  it("warns in policy set of whom the trust does not name, and stores the policy", async () => {
    const yaml = `version: 1\nname: p\nrules:\n  - id: t\n    tests:\n      identities: [ci, relaese]\n      except: [secnod]\n`;
    const { stdout, stderr } = await desk.must("policy", "set", "p", desk.file("p2.yaml", yaml));
    expect(stderr).toMatch(/names "relaese": trust version \d+ of default has no entry of that name/);
    expect(stderr).toContain('"secnod"');
    expect(stderr).not.toContain('"ci"');
    expect(stdout).toContain("policy p version 1");
  });

  it("says in decide that a decision is the same as before", async () => {
    expect((await desk.assay("decide", app, "--policy", "p")).stdout).not.toContain("same decision as before");
    const { stdout } = await desk.assay("decide", app, "--policy", "p");
    expect(stdout).toMatch(/^DENIED {2}sha256:[0-9a-f]{64} {2}file .*app\.bin\n/);
    expect(stdout).toMatch(/the same decision as before: made \d{4}-/);
  });

  it("takes a key trusted under two names for either, within their scopes, online and offline", async () => {
    const { key, pub } = await desk.keyPair("twice");
    const other = desk.file("twice.bin", "twice\n");
    await desk.must("trust", "add", "first", "--key", pub);
    await desk.must("trust", "add", "second", "--key", pub);
    await desk.must("trust", "add", "elsewhere", "--key", pub, "--repository", "default/none");
    await desk.must("sign", other, "--key", key, "--upload");
    await desk.must("trust", "export", "-o", desk.path("twice.json"));
    const offline = ["--offline", "--trust", desk.path("twice.json"), "--bundle", `${other}.sigstore.json`];
    for (const how of [[], offline]) {
      expect((await desk.must("verify", other, "--by", "second", ...how)).stdout).toContain("also as   second (entry-");
      expect((await desk.assay("verify", other, "--by", "first", ...how)).exit).toBe(0);
      expect((await desk.assay("verify", other, "--by", "elsewhere", ...how)).exit).toBe(1);
    }
  });

  describe("what an account was given", () => {
    it("is taken back: a key stops working, a role is changed and taken, the account is removed", async () => {
      await desk.must("account", "create", "person", "bob");
      const again = await desk.assay("account", "create", "person", "bob", "--role", "member");
      expect(again.stderr).toContain("assay account role set person bob member");
      await desk.must("account", "role", "set", "person", "bob", "member");
      const made = (await desk.must("account", "key", "create", "person", "bob", "--output", "json")).json();
      const asBob = { ASSAY_TOKEN: String(made["key"]) };
      expect((await desk.assayWith(asBob, "trust", "list")).exit).toBe(0);
      await desk.must("account", "role", "take", "person", "bob");
      expect((await desk.assayWith(asBob, "trust", "list")).exit).toBe(1);
      expect((await desk.assay("account", "role", "take", "person", "bob")).exit).toBe(1);
      await desk.must("account", "role", "set", "person", "bob", "reader");
      expect((await desk.assayWith(asBob, "trust", "list")).exit).toBe(0);
      await desk.must("account", "key", "revoke", "person", "bob", String(made["id"]));
      expect((await desk.assayWith(asBob, "trust", "list")).exit).toBe(3);
      expect((await desk.must("account", "key", "list", "person", "bob")).stdout).toContain("revoked 2");
      expect((await desk.assay("account", "key", "revoke", "person", "bob", "0000000000000000")).exit).toBe(1);
      await desk.must("account", "remove", "person", "bob");
      expect((await desk.must("account", "list", "person")).stdout).not.toContain("bob");
    });

    it("is a secret where it is a whole key: one given for its id is refused and never repeated", async () => {
      const key = `assay_0123456789abcdef_${"s".repeat(43)}`;
      const { exit, stderr } = await desk.assay("account", "key", "revoke", "person", "bob", key);
      expect(stderr).not.toContain("sssss");
      expect(exit).toBe(2);
    });

    it("is not listed for an account that is not there", async () => {
      const { exit, stderr } = await desk.assay("account", "key", "list", "person", "nosuch");
      expect(stderr).toContain('there is no person "nosuch"');
      expect(exit).toBe(1);
      await desk.must("account", "create", "service", "idle");
      expect((await desk.must("account", "key", "list", "service", "idle")).stdout).toContain("it has no keys");
    });
  });
});
