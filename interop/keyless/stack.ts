/**
 * A private Sigstore on this machine, of the real services: Fulcio, Rekor v2 (rekor-tiles) and the timestamp authority, with an issuer and a
 * certificate log of our own. Everything listens on 127.0.0.1 and ends with `stop`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { formatPem } from "../../packages/evidence/src/pem.ts";
import { freePort } from "../../packages/server/test/free-port.ts";
import { clientProgram } from "../clients.ts";
import { runProgram } from "../harness.ts";
import { type CtLog, startCtLog } from "./ct-log.ts";
import { type Issuer, startIssuer } from "./oidc-issuer.ts";
import { type RekorV1, startRekorV1 } from "./rekor-v1.ts";

export type Stack = {
  /** Issuer of people: certificates for email addresses. */
  people: Issuer;
  /** Issuer of builds: certificates with the claims of GitHub workflows. */
  builds: Issuer;
  /** What cosign 2's options name one by one. */
  urls: { fulcio: string; rekorV1: string; tsa: string };
  /** Files that clients are pointed at. */
  trustedRoot: string;
  signingConfig: string;
  /** The same two for sigstore-python's `--trust-config`. */
  clientTrustConfig: string;
  /** cosign 2's way to be told the same: variables that name files. */
  environment: Record<string, string>;
  stop(): Promise<void>;
};

const START_LIMIT_MS = 30_000;
/** Before anything that the stack makes, so that nothing is of before its key's time. */
const SINCE = "2024-01-01T00:00:00Z";

/** Starts a stack that keeps its files in `folder`. @throws Error with a service's log if it does not get ready. */
export async function startStack(folder: string): Promise<Stack> {
  const children: ChildProcess[] = [];
  const [people, builds, ct, rekorV1] = await Promise.all([startIssuer(), startIssuer(), startCtLog(), startRekorV1()]);
  const stop = async (): Promise<void> => {
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ended = running.map((child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of running) child.kill("SIGTERM");
    await Promise.all(ended);
    await Promise.all([people.stop(), builds.stop(), ct.stop(), rekorV1.stop()]);
  };
  const start = async (name: string, args: readonly string[], ready: string): Promise<void> => {
    const child = spawn(clientProgram(name), args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    let log = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (log += part.toString()));
    const deadline = performance.now() + START_LIMIT_MS;
    while (performance.now() < deadline && child.exitCode === null) {
      if (await answers(ready)) return;
      await sleep(100);
    }
    await stop();
    throw new Error(`${name} did not get ready; its log:\n${log}`);
  };

  const fulcioPort = await port();
  const fulcioGrpc = await port();
  const fulcioMetrics = await port();
  const rekorPort = await port();
  const rekorGrpc = await port();
  const rekorMetrics = await port();
  const tsaPort = await port();
  const fulcio = `http://127.0.0.1:${fulcioPort}`;
  const rekor = `http://127.0.0.1:${rekorPort}`;
  const tsa = `http://127.0.0.1:${tsaPort}`;

  await makeAuthority(folder);
  writeFileSync(join(folder, "fulcio.yaml"), fulcioConfig(people.url, builds.url));
  const rekorKey = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });
  writeFileSync(join(folder, "rekor.pem"), rekorKey, { mode: 0o600 });

  const at = ["--host", "127.0.0.1"];
  await Promise.all([
    start(
      "fulcio",
      // biome-ignore format: one service's options
      ["serve", ...at, "--port", fulcioPort, "--grpc-host", "127.0.0.1", "--grpc-port", fulcioGrpc, "--metrics-port", fulcioMetrics, "--ca", "fileca",
        "--fileca-cert", "ca.pem", "--fileca-key", "ca.key", "--fileca-key-passwd", "interop", "--fileca-watch=false", "--ct-log-url", ct.url,
        "--config-path", "fulcio.yaml"],
      `${fulcio}/api/v2/trustBundle`,
    ),
    start(
      "rekor-tiles",
      // biome-ignore format: one service's options
      ["serve", "--hostname", "127.0.0.1", "--http-port", rekorPort, "--grpc-port", rekorGrpc, "--http-metrics-port", rekorMetrics,
        "--storage-dir", join(folder, "rekor"), "--signer-filepath", "rekor.pem", "--checkpoint-interval", "500ms"],
      `${rekor}/healthz`,
    ),
    start(
      "timestamp-server",
      [
        "serve",
        ...at,
        "--port",
        tsaPort,
        "--scheme",
        "http",
        "--timestamp-signer",
        "memory",
        "--disable-ntp-monitoring",
      ],
      `${tsa}/api/v1/timestamp/certchain`,
    ),
  ]);

  const tsaChain = await (await fetch(`${tsa}/api/v1/timestamp/certchain`)).text();
  const trustedRoot = trustedRootOf({
    folder,
    ct,
    rekorKey: rekorKey.toString(),
    rekor,
    rekorV1,
    fulcio,
    tsa,
    tsaChain,
  });
  const signingConfig = signingConfigOf({ fulcio, rekor, tsa: `${tsa}/api/v1/timestamp`, issuer: people.url });
  const write = (name: string, json: object): string => {
    writeFileSync(join(folder, name), JSON.stringify(json, null, 2));
    return join(folder, name);
  };
  const writeKey = (name: string, spki: Uint8Array): string => {
    writeFileSync(join(folder, name), formatPem("PUBLIC KEY", spki));
    return join(folder, name);
  };
  return {
    people,
    builds,
    urls: { fulcio, rekorV1: rekorV1.url, tsa: `${tsa}/api/v1/timestamp` },
    trustedRoot: write("trusted_root.json", trustedRoot),
    signingConfig: write("signing_config.json", signingConfig),
    clientTrustConfig: write("client_trust_config.json", {
      mediaType: "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
      trustedRoot,
      signingConfig,
    }),
    environment: {
      SIGSTORE_ROOT_FILE: join(folder, "ca.pem"),
      SIGSTORE_REKOR_PUBLIC_KEY: writeKey("rekor-v1.pub", rekorV1.trusted.publicKey.spki),
      SIGSTORE_CT_LOG_PUBLIC_KEY_FILE: writeKey("ct.pub", ct.publicKey),
    },
    stop,
  };
}

async function port(): Promise<string> {
  return String(await freePort());
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).status === 200;
  } catch (error) {
    // fetch reports a refused connection as a TypeError; anything else is a mistake of ours.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** A root of P-384 and an issuing authority of P-256 under it, both with an organisation and a name: sigstore-python wants them. */
async function makeAuthority(folder: string): Promise<void> {
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runProgram("openssl", args, {
      cwd: folder,
      env: { PATH: process.env["PATH"] ?? "" },
    });
    if (code !== 0) throw new Error(`openssl ${args.join(" ")} ended with ${code}\n${stderr}`);
  };
  writeFileSync(
    join(folder, "ca.cnf"),
    "[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n" +
      "[issuing]\nbasicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nextendedKeyUsage=codeSigning\n" +
      "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
  );
  await openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "root.key");
  // biome-ignore format: one command
  await openssl("req", "-new", "-x509", "-key", "root.key", "-out", "root.pem", "-days", "3650", "-subj", "/O=interop.example/CN=root", "-config", "/dev/null", "-extensions", "root", "-config", "ca.cnf");
  await openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "issuing.key");
  await openssl("req", "-new", "-key", "issuing.key", "-out", "issuing.csr", "-subj", "/O=interop.example/CN=issuing");
  // biome-ignore format: one command
  await openssl("x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "3650", "-sha384", "-extfile", "ca.cnf", "-extensions", "issuing", "-out", "issuing.pem");
  await openssl("pkcs8", "-topk8", "-in", "issuing.key", "-out", "ca.key", "-passout", "pass:interop", "-v2", "aes256");
  const pem = (name: string): string => readFileSync(join(folder, name), "utf8");
  writeFileSync(join(folder, "ca.pem"), pem("issuing.pem") + pem("root.pem"));
}

function fulcioConfig(people: string, builds: string): string {
  const issuer = (url: string, type: string): string =>
    `  ${url}:\n    issuer-url: ${url}\n    client-id: sigstore\n    type: ${type}\n`;
  return `oidc-issuers:\n${issuer(people, "email")}${issuer(builds, "github-workflow")}`;
}

/** DER of each certificate in a PEM text, in base64. */
function certificates(pem: string): { rawBytes: string }[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((block) => ({
    rawBytes: new X509Certificate(block).raw.toString("base64"),
  }));
}

type RootParts = {
  folder: string;
  ct: CtLog;
  rekorKey: string;
  rekor: string;
  rekorV1: RekorV1;
  fulcio: string;
  tsa: string;
  tsaChain: string;
};

function trustedRootOf({ folder, ct, rekorKey, rekor, rekorV1, fulcio, tsa, tsaChain }: RootParts): object {
  const rekorSpki = createPublicKey(createPrivateKey(rekorKey)).export({ format: "der", type: "spki" });
  // C2SP signed-note: the id of an Ed25519 key hashes name, newline, type and the 32 bytes of the key.
  const rekorId = createHash("sha256").update("127.0.0.1\n\x01").update(rekorSpki.subarray(-32)).digest("base64");
  const ctId = createHash("sha256").update(ct.publicKey).digest("base64");
  const log = (baseUrl: string, spki: Uint8Array, keyDetails: string, keyId: string): object => ({
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: Buffer.from(spki).toString("base64"), keyDetails, validFor: { start: SINCE } },
    logId: { keyId },
  });
  const authority = (uri: string, commonName: string, organization: string, pem: string): object => ({
    subject: { organization, commonName },
    uri,
    certChain: { certificates: certificates(pem) },
    validFor: { start: SINCE },
  });
  return {
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [
      log(rekor, rekorSpki, "PKIX_ED25519", rekorId),
      log(
        rekorV1.url,
        rekorV1.trusted.publicKey.spki,
        "PKIX_ECDSA_P256_SHA_256",
        Buffer.from(rekorV1.trusted.logId).toString("base64"),
      ),
    ],
    certificateAuthorities: [
      authority(fulcio, "issuing", "interop.example", readFileSync(join(folder, "ca.pem"), "utf8")),
    ],
    ctlogs: [log(ct.url, ct.publicKey, "PKIX_ECDSA_P256_SHA_256", ctId)],
    timestampAuthorities: [authority(`${tsa}/api/v1/timestamp`, "Test TSA", "local", tsaChain)],
  };
}

function signingConfigOf(urls: { fulcio: string; rekor: string; tsa: string; issuer: string }): object {
  const service = (url: string, majorApiVersion: number): object[] => [
    { url, majorApiVersion, validFor: { start: SINCE }, operator: "interop.example" },
  ];
  return {
    mediaType: "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    caUrls: service(urls.fulcio, 1),
    oidcUrls: service(urls.issuer, 1),
    rekorTlogUrls: service(urls.rekor, 2),
    tsaUrls: service(urls.tsa, 1),
    rekorTlogConfig: { selector: "ANY" },
    tsaConfig: { selector: "ANY" },
  };
}
