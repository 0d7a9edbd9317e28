import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome, type Result } from "./harness.ts";

const ASSAY = fileURLToPath(new URL("../bin/assay", import.meta.url));
const TYPE = "https://example.com/statement/v1";

describe.each(["p256", "rsa"])("what `assay` signs with a %s key", (algorithm) => {
  let home: Home;

  const assay = (...args: string[]): Promise<string> =>
    home.must(process.execPath, [ASSAY, ...args], { env: { ASSAY_KEY_PASSWORD: "interop" } });
  const cosign = (verb: string, key: string, file: string, ...more: string[]): Promise<Result> =>
    home.run("cosign", [verb, "--key", key, "--insecure-ignore-tlog", ...more, file]);

  beforeAll(async () => {
    home = makeHome();
    writeFileSync(home.path("app.bin"), "a program\n");
    writeFileSync(home.path("altered.bin"), "a Program\n");
    writeFileSync(home.path("statement.json"), '{"made":"well"}');
    await assay("key", "generate", "--output-prefix", "release", "--algorithm", algorithm);
    await assay("key", "generate", "--output-prefix", "stranger", "--algorithm", algorithm);
    await assay("sign", "app.bin", "--key", "release.key", "--bundle", "signature.json");
    const statement = ["--predicate", "statement.json", "--predicate-type", TYPE, "--bundle", "statement.bundle.json"];
    await assay("attest", "custom", "app.bin", "-t", "file", "--key", "release.key", "--no-upload", ...statement);
  });

  afterAll(() => home.remove());

  it("verifies in cosign: a file's signature, and a statement about it", async () => {
    const blob = await cosign("verify-blob", "release.pub", "app.bin", "--bundle", "signature.json");
    expect(blob.stderr).toContain("Verified OK");
    const attested = ["--bundle", "statement.bundle.json", "--type", TYPE];
    const statement = await cosign("verify-blob-attestation", "release.pub", "app.bin", ...attested);
    expect(statement.stderr).toContain("Verified OK");
  });

  it("is refused by cosign for other bytes and under another key", async () => {
    for (const [key, file] of [
      ["release.pub", "altered.bin"],
      ["stranger.pub", "app.bin"],
    ] as const) {
      expect((await cosign("verify-blob", key, file, "--bundle", "signature.json")).code).not.toBe(0);
      const attested = ["--bundle", "statement.bundle.json", "--type", TYPE];
      expect((await cosign("verify-blob-attestation", key, file, ...attested)).code).not.toBe(0);
    }
  });

  it("is signed by a key file that cosign opens too", async () => {
    const shown = await home.run("cosign", ["public-key", "--key", "release.key"]);
    expect(shown.stdout).toContain("BEGIN PUBLIC KEY");
  });
});
