/** Somebody who has only the documentation brings in what other tools signed, and gets a decision: docs/existing-evidence.md, line by line. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "./clients.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

const PROVENANCE = {
  buildDefinition: {
    buildType: "https://actions.github.io/buildtypes/workflow/v1",
    externalParameters: {
      workflow: {
        ref: "refs/heads/main",
        repository: "https://github.com/acme/widget",
        path: ".github/workflows/release.yml",
      },
    },
    internalParameters: { github: { event_name: "push", runner_environment: "github-hosted" } },
    resolvedDependencies: [
      { uri: "git+https://github.com/acme/widget@refs/heads/main", digest: { gitCommit: "4".repeat(40) } },
    ],
  },
  runDetails: {
    builder: { id: "https://github.com/actions/runner/github-hosted" },
    metadata: { invocationId: "https://github.com/acme/widget/actions/runs/1/attempts/1" },
  },
};

/** As Fulcio issues them: whom for, and on whose word. */
const LEAF = `
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=codeSigning
subjectAltName=critical,URI:https://github.com/acme/widget/.github/workflows/release.yml@refs/heads/main
1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://token.actions.githubusercontent.com
`;

/** Everything that was signed before, by programs that know nothing of Assay. */
const MATERIAL = `
crane auth login "$HOST" --username admin --password "$(cat token)"
for version in 1 2 3; do
  echo $version > content
  tar -cf layer.tar content
  crane append --new_layer layer.tar --new_tag "$HOST/app:$version.0.0"
done
image() { echo "$HOST/app@$(crane digest "$HOST/app:$1")"; }
for pair in cosign builder stranger; do cosign generate-key-pair --output-key-prefix $pair; done
cosign signing-config create --out signing-config.json
cosign sign --yes --key cosign.key --new-bundle-format=false --use-signing-config=false --tlog-upload=false "$(image 1.0.0)"
cosign sign --yes --key cosign.key --signing-config signing-config.json "$(image 2.0.0)"
cosign sign --yes --key stranger.key --signing-config signing-config.json "$(image 3.0.0)"

gpg --batch --passphrase '' --quick-gen-key 'Maintainer <maintainer@example.com>' ed25519 sign 1y
tar -czf tool-1.0.tar.gz content
gpg --batch --armor --detach-sign tool-1.0.tar.gz

echo binary > widget.bin
attest() { cosign attest-blob --yes --type slsaprovenance1 --predicate predicate.json --signing-config signing-config.json "$@" widget.bin; }
attest --key builder.key --bundle bundle.json
(tr -d '\\n' < bundle.json; echo) > widget.bin.intoto.jsonl

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -subj "/O=Acme/CN=Acme root" -days 9 -out ca.pem \\
  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout leaf.pem.key -subj / -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile leaf.ext -out leaf.pem
cosign import-key-pair --key leaf.pem.key --output-key-prefix leaf
attest --key leaf.key --certificate leaf.pem --certificate-chain ca.pem --bundle widget.bin.sigstore.json
`;

/** Lines of one file that differ from those of another of the same length. */
function changedLines(from: string, to: string): number {
  const [before, after] = [from, to].map((path) => readFileSync(path, "utf8").split("\n"));
  expect(after).toHaveLength(before?.length ?? 0);
  return (before ?? []).filter((line, at) => line !== after?.[at]).length;
}

describe("what other tools signed", () => {
  let server: Server;
  let home: Home;
  let blocks: string[];
  /** What each block said. */
  const said: string[] = [];

  async function bash(script: string, env: Record<string, string> = {}): Promise<string> {
    const { code, stdout, stderr } = await home.run("bash", ["-euo", "pipefail", "-c", script], {
      env: {
        HOST: server.host,
        GNUPGHOME: home.path("gnupg"),
        COSIGN_PASSWORD: "",
        LANG: "C.UTF-8",
        PATH: `${dirname(clientProgram("crane"))}:${join(root, "bin")}:${process.env["PATH"] ?? ""}`,
        ...env,
      },
    });
    expect(code, `${script}\n${stdout}${stderr}`).toBe(0);
    return stdout;
  }

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    writeFileSync(home.path("token"), `${server.adminToken}\n`);
    writeFileSync(home.path("predicate.json"), JSON.stringify(PROVENANCE));
    writeFileSync(home.path("leaf.ext"), LEAF);
    mkdirSync(home.path("gnupg"), { mode: 0o700 });
    await bash(MATERIAL);
    const text = readFileSync(join(root, "docs/existing-evidence.md"), "utf8");
    blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((found) => found[1] ?? "");
    for (const [number, block] of blocks.entries()) {
      // The last one is on another machine: no login, and a server that nobody answers at.
      const away = { ASSAY_URL: "http://127.0.0.1:9", XDG_CONFIG_HOME: home.path("elsewhere") };
      const script = block.replaceAll("https://assay.example", server.url);
      said.push(await bash(script, number === blocks.length - 1 ? away : {}));
    }
  }, 240_000);

  afterAll(async () => {
    await home.run("gpgconf", ["--homedir", home.path("gnupg"), "--kill", "all"]);
    home.remove();
    await server.stop();
  });

  it("is allowed where the signer is trusted: cosign 2 and 3, GPG, provenance by a key and by a certificate", () => {
    const [, images, file, byKey, byCertificate] = said;
    expect(images?.match(/^ALLOWED/gm)).toHaveLength(2);
    expect(file).toMatch(/^ALLOWED .* file tool-1\.0\.tar\.gz$/m);
    expect(file).toMatch(/ by maintainer: sha256:/);
    expect(byKey).toMatch(/^ALLOWED/m);
    expect(byKey).toMatch(/ by builder: sha256:/);
    expect(byCertificate).toMatch(/^ALLOWED/m);
    expect(byCertificate).toMatch(/ by workflows: sha256:/);
  });

  it("is denied where it is damaged, by a stranger, or from another source, with the reason", () => {
    const [damaged = "", stranger = "", explained = "", fork = ""] = (said[5] ?? "").split(
      /^(?:not )?(?:denied|verified).*\n/m,
    );
    expect(damaged).toMatch(/^DENIED/);
    expect(damaged).toContain("nothing is said about these very bytes");
    expect(stranger).toMatch(/^DENIED/);
    expect(stranger).toContain("unknown-signer");
    expect(explained).toMatch(/✗ /);
    expect(explained).toContain("`assay trust add NAME` says whom to believe");
    expect(fork).toMatch(/^DENIED/);
    expect(fork).toContain("source-mismatch");
  });

  it.each([
    ["cosign 2's image", "app:1.0.0", "signed.yaml", ""],
    ["cosign 3's image", "app:2.0.0", "signed.yaml", ""],
    ["the file signed with GPG", "tool-1.0.tar.gz", "signed.yaml", "s/\\[release\\]/[maintainer]/"],
    ["provenance by a key", "widget.bin", "built.yaml", ""],
    ["provenance by a certificate", "widget.bin", "built.yaml", "s/\\[builder\\]/[workflows]/"],
  ])("fits the example policies with one line changed at most: %s", async (_, what, example, change) => {
    const asked = join(root, "docs/examples", example);
    const answer = await bash(`sed '${change}' ${asked} > mine.yaml; assay decide ${what} --policy mine.yaml`);
    expect(answer).toMatch(/^ALLOWED/);
    expect(changedLines(asked, home.path("mine.yaml"))).toBe(change === "" ? 0 : 1);
  });

  it.each([
    ["app:1.0.0", "production-image.yaml", "release"],
    ["app:2.0.0", "production-image.yaml", "release"],
    ["tool-1.0.tar.gz", "production-file.yaml", "maintainer"],
  ])("counts for %s as the signature that %s asks for, one line changed", async (what, example, signer) => {
    const asked = join(root, "docs/examples", example);
    const change = `s/\\[release-manager\\]/[${signer}]/`;
    const answer = await bash(`sed '${change}' ${asked} > mine.yaml; assay decide ${what} --policy mine.yaml || true`);
    expect(answer).toMatch(/^yes +signed-by-release \(signature\)/m);
    expect(answer).toMatch(/^no +tests-passed/m);
    expect(changedLines(asked, home.path("mine.yaml"))).toBe(1);
  });

  it("is told as one story, and verifies elsewhere", () => {
    const [story = "", , elsewhere] = said.slice(6);
    expect(story).toMatch(/verified {2}by release/);
    expect(story).toMatch(/allowed {2}by policy image version 1/);
    expect(story).toMatch(/allowed {2}by policy tarball, given with the question \(sha256:[0-9a-f]{12}…\)/);
    expect(story).toMatch(/layer of default\/tool@sha256:/);
    expect(elsewhere?.match(/^VERIFIED {2}1 of 1/gm)).toHaveLength(3);
  });
});
