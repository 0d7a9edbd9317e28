/**
 * `npm run demo`: Assay's one path, for real, in about half a minute. A server on this machine, a real image and a real file, pushed,
 * signed and attested with crane, cosign and `assay`; the question whether they may be used; a reasoned yes; one byte altered; a reasoned no.
 *
 * It ends with 0 only if every answer came as expected, and with 3 if crane or cosign are not installed. What it makes lies in temporary folders that it removes.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Home, makeHome, missingClients, type Server, startServer } from "../interop/harness.ts";
import { makeImage } from "../interop/image.ts";
import { Stage } from "../interop/stage.ts";
import { ROOT } from "./repository.ts";

/** Installed packages that the image is made of, one layer each. */
const PACKAGES = ["commander", "undici", "yaml"];
/** A program that is on every machine that has run `npm ci`. */
const PROGRAM = "node_modules/esbuild/bin/esbuild";

const SOURCE = "https://git.example.com/acme/app";
const COMMIT = "4f0c2a8e1b7d4c3f9a6e5d2b1c0f8e7d6a5b4c3d";
const BUILDER = "https://ci.example.com/builder/v1";
const SIGNATURE_TYPES = ["https://sigstore.dev/cosign/sign/v1", "https://assay.dev/message-signature/v1"];
const CI_TYPES = ["https://in-toto.io/attestation/test-result/v0.1", "https://slsa.dev/provenance/v1"];

const REPORT = `<testsuite name="app" tests="3">
  <testcase classname="app" name="starts"/><testcase classname="app" name="answers"/><testcase classname="app" name="stops"/>
</testsuite>
`;
const PROVENANCE = {
  buildDefinition: {
    buildType: "https://ci.example.com/build/v1",
    externalParameters: { source: { uri: `git+${SOURCE}@refs/heads/main`, digest: { gitCommit: COMMIT } } },
    resolvedDependencies: [{ uri: `git+${SOURCE}@refs/heads/main`, digest: { gitCommit: COMMIT } }],
  },
  runDetails: { builder: { id: BUILDER } },
};

/** Alters one bit in the middle of a file. */
function alter(from: string, to: string): string {
  const bytes = readFileSync(from);
  const at = bytes.length >> 1;
  const before = bytes[at] ?? 0;
  bytes[at] = before ^ 1;
  writeFileSync(to, bytes);
  const hex = (byte: number): string => `0x${byte.toString(16).padStart(2, "0")}`;
  return `byte ${at} of ${bytes.length}: ${hex(before)} is now ${hex(before ^ 1)}`;
}

async function play(server: Server, home: Home): Promise<boolean> {
  const env = { ASSAY_URL: server.url, ASSAY_TOKEN: server.adminToken, ASSAY_ORG: "default" };
  const stage = new Stage(home, env, [server.adminToken]);
  const { host } = server;
  const example = (name: string): string => fileURLToPath(new URL(`docs/examples/${name}`, ROOT));
  for (const name of ["production-image.yaml", "production-file.yaml"]) copyFileSync(example(name), home.path(name));
  writeFileSync(home.path("tests.xml"), REPORT);
  writeFileSync(home.path("provenance.json"), JSON.stringify(PROVENANCE));

  stage.chapter("A place for artifacts");
  stage.say(`Assay is running: ${server.url}, with an empty data directory.
Nothing else was installed. Its organisation is called "default".`);

  stage.chapter("Push an image and a file");
  const image = makeImage({ layout: home.path("image"), packages: PACKAGES });
  copyFileSync(fileURLToPath(new URL(PROGRAM, ROOT)), home.path("tool"));
  stage.say(`The image holds the packages ${PACKAGES.join(", ")}; the file "tool" is esbuild.
crane knows nothing of Assay: to it this is a registry like any other.`);
  await stage.run(0, "crane", "auth", "login", host, "-u", "admin", "-p", server.adminToken);
  await stage.run(0, "crane", "push", "image", `${host}/default/app:v1.0.0`);
  await stage.run(0, "assay", "push", "tool", `${host}/default/tool:v1.0.0`);

  stage.chapter("Whom to believe, and about what");
  stage.say("A release manager has a key made by cosign, the CI one made by assay: they are the same kind of file.");
  await stage.run(0, "cosign", "generate-key-pair", "--output-key-prefix", "release");
  await stage.run(0, "assay", "key", "generate", "--output-prefix", "ci");
  stage.say(
    "Each is trusted for its own kind of statement only. What the CI says of a build is the artifact's primary provenance.",
  );
  const about = ["--repository", "default/app", "default/tool", "--predicate-type"];
  await stage.run(0, "assay", "trust", "add", "release-manager", "--key", "release.pub", ...about, ...SIGNATURE_TYPES);
  await stage.run(0, "assay", "trust", "add", "ci", "--key", "ci.pub", "--primary", ...about, ...CI_TYPES);

  stage.chapter("What is enough?");
  stage.say(readFileSync(home.path("production-image.yaml"), "utf8").trimEnd());
  await stage.run(0, "assay", "policy", "check", "production-image.yaml");
  await stage.run(0, "assay", "policy", "check", "production-file.yaml");
  stage.say("Nobody has said anything about the image yet. May it be used?");
  const decideImage = (expected: 0 | 1, reference: string) =>
    stage.run(expected, "assay", "decide", reference, "--policy", "./production-image.yaml");
  const decideFile = (expected: 0 | 1, file: string) =>
    stage.run(expected, "assay", "decide", file, "--policy", "./production-file.yaml", "--repository", "default/tool");
  const app = `${host}/default/app:v1.0.0`;
  await decideImage(1, app);

  stage.chapter("Evidence for the image");
  stage.say(`cosign signs; its signature is pushed beside the image, and Assay takes it as evidence. (Where it warns that it cannot reach
Sigstore's public servers: it need not, and in this demo no program can leave this machine.)`);
  await stage.run(0, "cosign", "signing-config", "create", "--out", "signing-config.json");
  const cosign = (verb: string, key: string, ...more: string[]) =>
    stage.run(0, "cosign", verb, "--yes", "--key", key, "--signing-config", "signing-config.json", ...more);
  const pinned = `${host}/default/app@${image.digest}`;
  await cosign("sign", "release.key", pinned);
  stage.say(
    "The CI attests the build with cosign, and the tests with assay: both are in-toto statements in Sigstore bundles.",
  );
  await cosign("attest", "ci.key", "--type", "slsaprovenance1", "--predicate", "provenance.json", pinned);
  const source = ["--repository-url", SOURCE, "--git-commit", COMMIT, "--ref", "refs/heads/main"];
  const asCi = ["--key", "ci.key", ...source];
  await stage.run(
    0,
    "assay",
    "attest",
    "test",
    pinned,
    "-t",
    "oci",
    "--junit",
    "tests.xml",
    "--repository",
    "default/app",
    ...asCi,
  );

  stage.chapter("Evidence for the file");
  const receipt = ["--receipt", "tool.receipt.json"];
  await cosign("sign-blob", "release.key", "--bundle", "tool.sigstore.json", "tool");
  await stage.run(0, "assay", "evidence", "add", "tool.sigstore.json", "--repository", "default/tool", ...receipt);
  stage.say("The receipt proves, to anybody who knows the log's key, when the signature was there.");
  const ofTool = ["tool", "-t", "file", "--repository", "default/tool", ...asCi];
  await stage.run(0, "assay", "attest", "provenance", ...ofTool, "--builder-id", BUILDER);
  await stage.run(0, "assay", "attest", "test", ...ofTool, "--junit", "tests.xml");

  stage.chapter("May they be used?  Yes, and here is why");
  const yesImage = await decideImage(0, app);
  const yesFile = await decideFile(0, "tool");
  stage.expect(
    "a yes says ALLOWED",
    [yesImage, yesFile].every(({ stdout }) => stdout.startsWith("ALLOWED")),
  );

  stage.chapter("One byte of the file altered");
  mkdirSync(home.path("altered"));
  stage.say(`In altered/tool ${alter(home.path("tool"), home.path("altered/tool"))}.`);
  await stage.run(0, "assay", "push", "altered/tool", `${host}/default/tool:v1.0.1`);
  const noFile = await decideFile(1, "altered/tool");
  stage.say(
    "Offering the true file's signature for it does not help, neither to cosign nor to assay: it is about other bytes.",
  );
  const withKey = ["--key", "release.pub", "--insecure-ignore-tlog"];
  await stage.run("refusal", "cosign", "verify-blob", ...withKey, "--bundle", "tool.sigstore.json", "altered/tool");
  await stage.run(0, "assay", "trust", "export", "--file", "trust.json");
  const evidence = ["--bundle", "tool.sigstore.json", ...receipt, "--repository", "default/tool"];
  const offline = ["--offline", "--trust", "trust.json", ...evidence];
  await stage.run(1, "assay", "verify", "altered/tool", ...offline);
  stage.say("The same question about the true file, answered without any server:");
  await stage.run(0, "assay", "verify", "tool", ...offline);

  stage.chapter("One byte of the image altered");
  const altered = makeImage({ layout: home.path("altered-image"), packages: PACKAGES, altered: true });
  stage.say("An attacker who may push tries to put an altered image in the place of v1.0.0. Releases do not move:");
  await stage.run("refusal", "crane", "push", "altered-image", app);
  stage.say("Then as v1.0.1, signed with a key of the attacker's own:");
  await stage.run(0, "crane", "push", "altered-image", `${host}/default/app:v1.0.1`);
  await stage.run(0, "cosign", "generate-key-pair", "--output-key-prefix", "attacker");
  await cosign("sign", "attacker.key", `${host}/default/app@${altered.digest}`);
  await stage.run("refusal", "cosign", "verify", ...withKey, `${host}/default/app@${altered.digest}`);
  const noImage = await decideImage(1, `${host}/default/app:v1.0.1`);
  stage.expect(
    "a no says DENIED",
    [noFile, noImage].every(({ stdout }) => stdout.startsWith("DENIED")),
  );

  stage.chapter("Nothing of this can be taken back");
  stage.say("All of it, denials too, stands in a log that only grows; anybody can check that.");
  await stage.run(0, "assay", "record", "verify");
  await stage.run(0, "assay", "server", "check", "--data", server.dataFolder);
  return stage.end();
}

const missing = missingClients(["crane", "cosign"]);
if (missing.length > 0) {
  console.error(
    `The demo drives ${missing.join(" and ")}, which \`npm run interop\` installs and which cannot be found.`,
  );
  console.error(`Install only what the demo needs with: node scripts/interop-install.ts ${missing.join(" ")}`);
  process.exit(3);
}

const server = await startServer({ env: { ASSAY_LOG_LEVEL: "warn" } });
const home = makeHome();
try {
  process.exitCode = (await play(server, home)) ? 0 : 1;
} finally {
  home.remove();
  await server.stop();
}
