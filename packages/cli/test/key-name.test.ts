import { readFileSync } from "node:fs";
import fc from "fast-check";
import { parsePublicKeyPem } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keyDigits, keyName, signerName } from "../src/key-name.ts";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

const ARMOURED = new URL("fixtures/release.asc", import.meta.url).pathname;

describe("a key's name", () => {
  const id = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));

  it("is read in every spelling that programs show", () => {
    fc.assert(
      fc.property(id, (bytes) => {
        const hex = bytes.toString("hex");
        for (const spelling of [hex, keyName("key", hex), keyName("openpgp", hex), bytes.toString("base64")]) {
          expect(keyDigits(spelling)).toBe(hex);
        }
      }),
    );
    const gpg = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
    expect(keyDigits(gpg)).toBe("0123456789abcdef0123456789abcdef01234567");
  });

  it("is nothing shorter, longer or other than a key's digits", () => {
    for (const text of ["", "release", "sha256:", "sha512:ab", "ab".repeat(31), "ab".repeat(33), "0123456789ABCDEF"]) {
      expect([text, keyDigits(text)]).toEqual([text, undefined]);
    }
  });

  it("says of digits alone what they can be", () => {
    expect(signerName("ab".repeat(20))).toBe(`openpgp:${"ab".repeat(20)}`);
    expect(signerName("ab".repeat(32))).toBe(`sha256:${"ab".repeat(32)}`);
    expect(signerName("ab".repeat(32), true)).toBe(`openpgp:${"ab".repeat(32)}`);
  });
});

describe("a key in what people read", () => {
  let server: TestServer;
  let desk: Desk;
  let file: string;
  /** The digits, and the one spelling of them. */
  let hex: string;
  let name: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    file = desk.file("app.bin", "a program\n");
    const { key, pub } = await desk.keyPair("release");
    hex = parsePublicKeyPem(readFileSync(pub, "utf8")).keyId;
    name = `sha256:${hex}`;
    await desk.must("sign", file, "--key", key, "--bundle", desk.path("early.json"), "--upload");
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  it("is spelled alike wherever it is shown, before it is trusted and after", async () => {
    const refused = await desk.assay("verify", file);
    expect(refused.stdout).toContain(`The bundle names the key ${name}, which is not trusted.`);
    const [key, pub] = [desk.path("release.key"), desk.path("release.pub")];
    const added = await desk.must("trust", "add", "release", "--key", pub);
    await desk.must("trust", "add", "maintainer", "--gpg", ARMOURED);
    await desk.must("sign", file, "--key", key, "--bundle", desk.path("late.json"));
    const given = await desk.must("evidence", "add", desk.path("late.json"), "--output", "json");
    const evidence = String(given.json()["evidence"]);
    const outputs = [
      added,
      await desk.must("key", "list", pub),
      await desk.must("trust", "list"),
      await desk.must("trust", "diff", "0", "2"),
      await desk.must("verify", file, "--explain"),
      await desk.must("evidence", "list", file),
      await desk.must("evidence", "add", desk.path("late.json")),
      await desk.must("evidence", "show", evidence),
      await desk.must("evidence", "search", "--signer", name),
    ].map(({ stdout }) => stdout);
    const base64 = Buffer.from(hex, "hex").toString("base64");
    for (const text of outputs) {
      expect(text).toContain(name);
      expect(text).not.toContain(base64);
      expect(text.replaceAll(name, "")).not.toContain(hex.slice(0, 16));
    }
    expect(outputs[2]).toMatch(/maintainer +openpgp:[0-9a-f]{40} /);
    expect(outputs[3]).toMatch(/\+ maintainer \(.*, openpgp:[0-9a-f]{40}\)/);
    expect(outputs[4]).toContain("release (");
    expect(outputs[4]).toContain(`, key ${name})`);
  });

  it("is taken in every spelling that was ever shown", async () => {
    for (const spelling of [hex, name, Buffer.from(hex, "hex").toString("base64")]) {
      expect((await desk.assay("verify", file, "--by", spelling)).exit).toBe(0);
      expect((await desk.must("evidence", "search", "--signer", spelling)).stdout).toContain(name);
    }
    expect((await desk.assay("verify", file, "--by", `sha256:${"0".repeat(64)}`)).exit).toBe(1);
    const { exit, stderr } = await desk.assay("evidence", "search", "--signer", "release");
    expect(exit).toBe(2);
    expect(stderr).toContain("`assay trust list`");
  });
});
