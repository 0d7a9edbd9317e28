/**
 * `assay verify --offline` as a whole process, from start to exit, beside the programs people would use instead: `cosign verify-blob` with a key and
 * with a certificate (both offline, on the same bundle and the same trust root), and `gpgv`. What is verified are the fixtures of
 * packages/evidence: a file of a few bytes, so that it is start and verification that are measured. Ours and the peer take turns, so that other load on the
 * machine falls on both alike; the ratio of medians is peer ÷ ours.
 *
 * It measures what users install: `npm run build` first, or it runs from source and says so. cosign is taken from COSIGN_BIN or the cache of
 * `npm run interop`. A peer that is absent is said to be absent.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  certificateKeyId,
  digestOf,
  formatOpenPgpSignature,
  formatTrustFile,
  parsePublicKeyPem,
  parseTrustedRoot,
  type TrustEntry,
  type TrustRoot,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { openPgp } from "@assay/evidence/openpgp";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const FIXTURES = join(ROOT, "packages/evidence/test/fixtures/sigstore");
const BUNDLE = join(ROOT, "dist", "assay.mjs");
const isBuilt = existsSync(BUNDLE);
const ASSAY = [process.execPath, join(ROOT, "bin", "assay")];
const RUNS = 15;
/** How many times as long as the peer ours may take: bounds against a regression, no praise. Node alone takes as long to start as cosign to do it all. */
const MOST = { cosign: 6, gpgv: 60 } as const;

type Comparison = {
  readonly name: string;
  readonly ours: readonly string[];
  readonly peer: { readonly name: keyof typeof MOST; readonly command: readonly string[] } | string;
};

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const folder = mkdtempSync(join(tmpdir(), "assay-bench-"));
try {
  process.exitCode = (await comparisons()).map(compare).every((reached) => reached) ? 0 : 1;
} finally {
  spawnSync("gpgconf", ["--homedir", folder, "--kill", "all"]);
  rmSync(folder, { recursive: true, force: true });
}

function trustFile(name: string, entry: TrustEntry, roots: TrustRoot[] = []): string {
  const path = join(folder, `${name}.trust`);
  writeFileSync(path, formatTrustFile({ org: "acme", version: 1, entries: [entry], logs: [], roots }));
  return path;
}

async function comparisons(): Promise<Comparison[]> {
  const file = join(FIXTURES, "artifact.txt");
  const verifyWith = (trust: string, bundle: string): string[] => [
    ...ASSAY,
    "verify",
    file,
    "--artifact-type",
    "file",
    "--offline",
    "--trust",
    trust,
    "--bundle",
    bundle,
  ];
  const terms = {
    id: "bench",
    name: "bench",
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
  };
  const cosign = findCosign();
  const absent = "cosign is absent: set COSIGN_BIN or run `npm run interop`";

  const publicKeyPem = readFileSync(join(FIXTURES, "cosign.pub"), "utf8");
  const keyTrust = trustFile("key", {
    ...terms,
    kind: "key",
    publicKeyPem,
    keyId: parsePublicKeyPem(publicKeyPem).keyId,
  });
  const keyBundle = join(FIXTURES, "cosign3-sign-blob-key.bundle");

  const material = JSON.parse(readFileSync(join(FIXTURES, "material.json"), "utf8")) as {
    name: string;
    identity: { issuer: string; subject: string } | null;
  }[];
  const identity = material.find(({ name }) => name === "cosign3-sign-blob.bundle")?.identity;
  if (identity === undefined || identity === null) throw new Error("the fixture of a keyless bundle is gone");
  const meant = {
    root: "stack",
    issuer: identity.issuer,
    subject: { kind: "exact", value: identity.subject },
  } as const;
  const rootPath = join(FIXTURES, "trusted_root.json");
  const keylessTrust = trustFile(
    "keyless",
    { ...terms, ...meant, kind: "certificate", keyId: certificateKeyId(meant) },
    [parseTrustedRoot(readFileSync(rootPath), "stack")],
  );
  const keylessBundle = join(FIXTURES, "cosign3-sign-blob.bundle");

  const list: Comparison[] = [
    {
      name: "bundle by a key",
      ours: verifyWith(keyTrust, keyBundle),
      peer:
        cosign === undefined
          ? absent
          : {
              name: "cosign",
              command: [
                cosign,
                "verify-blob",
                "--key",
                join(FIXTURES, "cosign.pub"),
                "--bundle",
                keyBundle,
                "--trusted-root",
                rootPath,
                "--use-signed-timestamps",
                file,
              ],
            },
    },
    {
      name: "keyless bundle v0.3",
      ours: verifyWith(keylessTrust, keylessBundle),
      peer:
        cosign === undefined
          ? absent
          : {
              name: "cosign",
              command: [
                cosign,
                "verify-blob",
                "--bundle",
                keylessBundle,
                "--trusted-root",
                rootPath,
                "--use-signed-timestamps",
                "--certificate-identity",
                identity.subject,
                "--certificate-oidc-issuer",
                identity.issuer,
                file,
              ],
            },
    },
  ];
  for (const algorithm of ["ed25519", "rsa3072"]) {
    list.push(openPgpComparison(algorithm, file, (trust, bundle) => verifyWith(trust, bundle), terms));
  }
  return list;
}

/** A key made and used by gpg, whose signature both read. */
function openPgpComparison(
  algorithm: string,
  file: string,
  verifyWith: (trust: string, bundle: string) => string[],
  terms: Omit<TrustEntry & { kind: "openpgp" }, "kind" | "certificate" | "keyId">,
): Comparison {
  const name = `OpenPGP, detached, ${algorithm}`;
  const gpg = (...args: string[]): Buffer => {
    const common = [
      "--homedir",
      folder,
      "--batch",
      "--yes",
      "--quiet",
      "--pinentry-mode",
      "loopback",
      "--passphrase",
      "",
    ];
    const { status, stdout, stderr } = spawnSync("gpg", [...common, ...args]);
    if (status !== 0) throw new Error(`gpg ${args.join(" ")}: ${stderr.toString()}`);
    return stdout;
  };
  if (spawnSync("gpg", ["--version"]).status !== 0)
    return { name, ours: [], peer: "gpg, which makes what is verified, is not installed" };
  const user = `${algorithm}@example.org`;
  gpg("--quick-gen-key", user, algorithm, "sign", "never");
  const certificate = gpg("--armor", "--export", user).toString();
  const artifact = join(folder, `${algorithm}.txt`);
  copyFileSync(file, artifact);
  const detached = `${artifact}.sig`;
  gpg("--local-user", user, "--output", detached, "--detach-sign", artifact);
  const bundle = join(folder, `${algorithm}.bundle`);
  const subject = digestOf(nodeCrypto, readFileSync(file));
  writeFileSync(bundle, formatOpenPgpSignature({ subject, signature: Uint8Array.from(readFileSync(detached)) }));
  const { fingerprint } = openPgp.readCertificate(certificate);
  const trust = trustFile(algorithm, { ...terms, kind: "openpgp", certificate, keyId: fingerprint });
  const keyring = join(folder, `${algorithm}.gpg`);
  gpg("--output", keyring, "--export", user);
  const hasGpgv = spawnSync("gpgv", ["--version"]).status === 0;
  return {
    name,
    ours: verifyWith(trust, bundle),
    peer: hasGpgv
      ? { name: "gpgv", command: ["gpgv", "--keyring", keyring, detached, artifact] }
      : "gpgv is not installed",
  };
}

function compare({ name, ours, peer }: Comparison): boolean {
  const from = isBuilt ? "assay verify --offline" : "assay verify --offline FROM SOURCE (run `npm run build` first)";
  if (ours.length === 0) {
    print(`${name}: NOT MEASURED, ${typeof peer === "string" ? peer : ""}`);
    return true;
  }
  run(ours);
  const times = { ours: [] as number[], peer: [] as number[], node: [] as number[] };
  if (typeof peer !== "string") run(peer.command);
  for (let i = 0; i < RUNS; i += 1) {
    times.ours.push(run(ours));
    times.node.push(run([process.execPath, "--eval", ""]));
    if (typeof peer !== "string") times.peer.push(run(peer.command));
  }
  const here = `${name}: ${from} ${median(times.ours).toFixed(0)} ms (of which Node's bare start ${median(times.node).toFixed(0)})`;
  if (typeof peer === "string") {
    print(`${here}; NOT COMPARED, ${peer}`);
    return true;
  }
  const ratio = median(times.peer) / median(times.ours);
  const reached = !isBuilt || 1 / ratio <= MOST[peer.name];
  print(
    `${here}, ${peer.name} ${median(times.peer).toFixed(0)} ms, ratio ${ratio.toFixed(2)}${reached ? "" : "  MISSED"}`,
  );
  return reached;
}

/** Milliseconds that a command takes; it must say "verified". */
function run([program = "", ...args]: readonly string[]): number {
  const started = performance.now();
  // No configuration of whoever runs this, and nothing looked up on the network.
  const { status, stderr, stdout, error } = spawnSync(program, args, {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: folder },
  });
  const ms = performance.now() - started;
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${error?.message ?? `${stdout}${stderr}`}`);
  return ms;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function findCosign(): string | undefined {
  const named = process.env["COSIGN_BIN"];
  const path = named === undefined || named === "" ? join(ROOT, ".cache", "interop", "bin", "cosign") : named;
  return existsSync(path) ? path : undefined;
}
