/** What somebody is told who brings evidence that other tools made and does the wrong thing first. */
import { createMessage, generateKey, readPrivateKey, sign } from "openpgp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

const BYTES = "a tarball\n";

const policy = (rule: string): string => `version: 1\nname: p\nrules:\n  - id: signed\n    ${rule}\n`;

describe("on the way from a signature to a decision", () => {
  let server: TestServer;
  let desk: Desk;
  let tool: string;
  let signature: string;
  let certificate: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    tool = desk.file("tool.tar", BYTES);
    const { privateKey, publicKey } = await generateKey({ userIDs: [{ name: "Maintainer" }], format: "armored" });
    certificate = desk.file("maintainer.asc", publicKey);
    const message = await createMessage({ binary: Buffer.from(BYTES) });
    const signingKeys = await readPrivateKey({ armoredKey: privateKey });
    const signed: unknown = await sign({ message, signingKeys, detached: true, format: "armored" });
    if (typeof signed !== "string") throw new Error("no armoured signature was made");
    signature = desk.file("tool.tar.asc", signed);
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  describe("trust add", () => {
    it("names --gpg for an OpenPGP certificate, and a root for one of X.509, where a key is asked for", async () => {
      const gpg = await desk.assay("trust", "add", "maintainer", "--key", certificate);
      expect(gpg.stderr).toContain("Give it by --gpg");
      expect(gpg.exit).toBe(2);
      const pem = desk.file("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
      const x509 = await desk.assay("trust", "add", "house", "--key", pem);
      expect(x509.stderr).toContain("assay trust root set");
      expect(x509.exit).toBe(2);
    });
  });

  describe("evidence add", () => {
    it("says what to do with a public key, with a file of lines, and with what may be a bare signature", async () => {
      const { pub } = await desk.keyPair("release");
      for (const [file, hint] of [
        [certificate, "assay trust add NAME --gpg"],
        [pub, "assay trust add NAME --key"],
        [desk.file("all.intoto.jsonl", "{}\n{}\n"), "assay evidence import"],
        [desk.file("tool.sig", "MEUC"), "--signature and --artifact"],
      ] as const) {
        const { exit, stderr } = await desk.assay("evidence", "add", file);
        expect(stderr).toContain(hint);
        expect(exit).toBe(2);
      }
    });

    it("says that what it keeps is not judged yet", async () => {
      const { stdout } = await desk.must("evidence", "add", "--signature", signature, "--artifact", tool);
      expect(stdout).toContain(`What it is worth, \`assay verify ${tool}\` says.`);
    });
  });

  describe("verify and decide", () => {
    it("tell whom to trust, then to push the bytes, and then say yes", async () => {
      const rule = desk.file("gpg.yaml", policy("signature: { identities: [maintainer] }"));
      expect((await desk.assay("verify", tool)).stdout).toContain("`assay trust add NAME` says whom to believe");
      await desk.must("trust", "add", "maintainer", "--gpg", certificate);
      expect((await desk.assay("verify", tool)).stdout).toContain(`\`assay push ${tool} NAME:TAG\``);
      const denied = await desk.assay("decide", tool, "--policy", rule);
      expect(denied.stdout).toMatch(/^next {4}`assay verify --explain` .*docs\/reasons\.md/m);
      await desk.must("push", tool, "tool:1.0.0");
      const verified = await desk.must("verify", tool);
      expect(verified.stdout).not.toContain("docs/reasons.md");
      expect((await desk.must("decide", tool, "--policy", rule)).stdout).not.toMatch(/^next/m);
      const image = await desk.assay("decide", "tool:1.0.0", "--policy", rule);
      expect(image.stdout).toContain("name the file itself");
      expect(image.exit).toBe(1);
    });

    it("say where there is no evidence that other bytes are another artifact", async () => {
      const damaged = desk.file("damaged.tar", `${BYTES}x`);
      const { exit, stdout } = await desk.assay("verify", damaged);
      expect(stdout).toContain("one byte changed makes another artifact");
      expect(exit).toBe(1);
    });

    it("name the types of what does not count because of its type", async () => {
      const rule = policy("evidence: { predicateType: https://sigstore.dev/cosign/sign/v1, identities: [maintainer] }");
      const { stdout } = await desk.assay("decide", tool, "--policy", desk.file("typed.yaml", rule));
      expect(stdout).toContain('of other types: "https://assay.dev/message-signature/v1"');
    });

    it("name the verbs where no policy of that name is stored", async () => {
      const { exit, stderr } = await desk.assay("decide", tool, "--policy", "absent");
      expect(stderr).toContain("`assay policy set absent FILE`");
      expect(stderr).not.toContain("PUT /api");
      expect(exit).toBe(3);
    });
  });

  describe("with no server", () => {
    const away = { ASSAY_URL: "http://127.0.0.1:9", ASSAY_TOKEN: undefined };
    let exported: string;
    let trust: string;

    beforeAll(async () => {
      [exported, trust] = [desk.path("tool.evidence.json"), desk.path("trust.json")];
      await desk.must("evidence", "export", tool, "--to", exported, "--trust-to", trust);
    });

    it("takes a detached OpenPGP signature as it is, and says no about other bytes", async () => {
      const offline = ["--offline", "--bundle", signature, "--trust", trust];
      const { exit, stdout } = await desk.assayWith(away, "verify", tool, ...offline);
      expect(stdout).toMatch(/said by +maintainer/);
      expect(exit).toBe(0);
      const altered = await desk.assayWith(away, "verify", desk.path("damaged.tar"), ...offline);
      expect(altered.stdout).toContain("[signature-invalid]");
      expect(altered.exit).toBe(1);
    });

    it("says that a signature over the bytes needs them", async () => {
      const without = await desk.assayWith(away, "evidence", "check", exported, "--trust", trust);
      expect(without.stdout).toContain("add --artifact FILE");
      expect(without.exit).toBe(1);
      const withThem = await desk.assayWith(away, "evidence", "check", exported, "--trust", trust, "--artifact", tool);
      expect(withThem.stdout.match(/sha256:[0-9a-f]{64}/g)).toHaveLength(2); // the artifact and the evidence, once each
      expect(withThem.exit).toBe(0);
    });

    it("names the trust file's verb where something else is given for it", async () => {
      const { exit, stderr } = await desk.assayWith(away, "evidence", "check", exported, "--trust", certificate);
      expect(stderr).toContain("as written by `assay trust export`");
      expect(exit).toBe(2);
    });
  });
});
