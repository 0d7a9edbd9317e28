/**
 * The real `notation`: it logs in to a running server, signs there in both envelope formats, and verifies what it signed; and on every case
 * of packages/evidence/test/notation-cases.ts, made by hand, our verdict stands beside its own.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeCrypto } from "../packages/evidence/node/index.ts";
import { type ProvenTime, parseDigest } from "../packages/evidence/src/index.ts";
import { verifyNotation } from "../packages/evidence/src/notation-verify.ts";
import { type TrustRoot, x509Root } from "../packages/evidence/src/trust-root.ts";
import { notationCases } from "../packages/evidence/test/notation-cases.ts";
import { authorityOf, pemOf } from "../packages/evidence/test/virtual-ca.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";
import {
  CA_EXTENSIONS,
  curve,
  type Issued,
  issue,
  pemFile,
  rsa,
  SIGNER_EXTENSIONS,
  stampQuery,
  TSA_EXTENSIONS,
} from "./openssl-authority.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const SIGNATURE = "application/vnd.cncf.notary.signature";
const MEDIA_TYPES = { jws: "application/jose+json", cose: "application/cose" };

/** A home with notation's own configuration: whom it trusts, with what it signs, and where it keeps passwords. */
class Notation {
  readonly home: Home;
  readonly #folder: string;
  constructor(home: Home) {
    this.home = home;
    this.#folder = home.path("config", "notation");
    mkdirSync(this.#folder, { recursive: true });
    // It keeps passwords in a credential helper only; this one keeps them in a file of the home.
    mkdirSync(home.path("bin"));
    const helper = home.path("bin", "docker-credential-interop");
    const script = 'case "$1" in store) cat >"$HOME/credential";; get) cat "$HOME/credential";; list) echo "{}";; esac';
    writeFileSync(helper, `#!/bin/sh\n${script}\n`);
    chmodSync(helper, 0o755);
    writeFileSync(join(this.#folder, "config.json"), JSON.stringify({ credsStore: "interop" }));
  }

  run(args: readonly string[], options: { input?: string } = {}) {
    const env = { PATH: `${this.home.path("bin")}:${process.env["PATH"] ?? ""}`, NOTATION_EXPERIMENTAL: "1" };
    return this.home.run("notation", args, { ...options, env });
  }

  async must(args: readonly string[], options: { input?: string } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`notation ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Trusts these certificates, PEM, and no others; those of timestamp authorities too, if any are given. */
  trust(authorities: readonly string[], timestamps: readonly string[] = []): void {
    rmSync(join(this.#folder, "truststore"), { recursive: true, force: true });
    const store = (type: string, pems: readonly string[]): void => {
      const folder = join(this.#folder, "truststore", "x509", type, "interop");
      mkdirSync(folder, { recursive: true });
      for (const [i, pem] of pems.entries()) writeFileSync(join(folder, `${i}.pem`), pem);
    };
    store("ca", authorities);
    if (timestamps.length > 0) store("tsa", timestamps);
    const policy = {
      name: "all",
      registryScopes: ["*"],
      signatureVerification: { level: "strict" },
      trustStores: ["ca:interop", ...(timestamps.length > 0 ? ["tsa:interop"] : [])],
      trustedIdentities: ["*"],
    };
    const document = JSON.stringify({ version: "1.0", trustPolicies: [policy] });
    writeFileSync(join(this.#folder, "trustpolicy.json"), document, { mode: 0o600 });
  }

  signWith(signer: Issued): void {
    const certPath = pemFile(this.home, `${signer.name}-signing`, [signer.certificate, ...signer.chain]);
    const keys = [{ name: "interop", keyPath: signer.key, certPath }];
    writeFileSync(join(this.#folder, "signingkeys.json"), JSON.stringify({ default: "interop", keys }));
  }
}

const received = (time: number): ProvenTime => ({ source: "received-here", time, evidence: "interop" });

describe("notation", () => {
  let server: Server;
  let home: Home;
  let notation: Notation;
  let image: Image;
  let pinned: string;
  let root: Issued;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    notation = new Notation(home);
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    root = await issue(home, "root", { extensions: CA_EXTENSIONS, key: rsa(2048) });
    notation.trust([pem(root)]);
    await home.must("oras", ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"], {
      input: server.adminToken,
    });
    await notation.must(["login", "--insecure-registry", "-u", "admin", "--password-stdin", server.host], {
      input: server.adminToken,
    });
    pinned = await push("app");
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  const pem = (issued: Issued): string => readFileSync(issued.certificate, "utf8");
  const trustRoot = (timestamps: readonly string[] = []): TrustRoot => x509Root("acme", [pem(root)], timestamps);

  /** Pushes the image to a repository of its own, so that one test's signatures are not another's. */
  async function push(name: string): Promise<string> {
    const reference = `${server.host}/default/${name}`;
    const from = ["--from-oci-layout", `${image.layout}@${image.digest}`];
    await home.must("oras", ["cp", "--to-plain-http", ...from, `${reference}:latest`]);
    return `${reference}@${image.digest}`;
  }

  /** Envelopes of all signatures of an image, as the registry has them. */
  async function envelopes(reference: string): Promise<Uint8Array[]> {
    const discovered = await home.must("oras", ["discover", "--plain-http", "--format", "json", reference]);
    const { referrers } = JSON.parse(discovered) as { referrers: { digest: string; artifactType: string }[] };
    const found: Uint8Array[] = [];
    for (const { digest, artifactType } of referrers) {
      expect(artifactType).toBe(SIGNATURE);
      const repository = reference.split("@")[0] ?? "";
      const manifest = await home.must("oras", ["manifest", "fetch", "--plain-http", `${repository}@${digest}`]);
      const { layers } = JSON.parse(manifest) as { layers: { digest: string }[] };
      expect(layers).toHaveLength(1);
      const blob = home.path("blob");
      rmSync(blob, { force: true });
      await home.must("oras", ["blob", "fetch", "--plain-http", "-o", blob, `${repository}@${layers[0]?.digest}`]);
      found.push(new Uint8Array(readFileSync(blob)));
    }
    return found;
  }

  async function ours(bytes: Uint8Array, under: TrustRoot, times: readonly ProvenTime[] = [received(Date.now())]) {
    return verifyNotation(nodeCrypto, { bytes, root: under, times, artifact: parseDigest(image.digest) });
  }

  it("is refused at login with a wrong password", async () => {
    const login = ["login", "--insecure-registry", "-u", "admin", "--password-stdin", server.host];
    expect((await notation.run(login, { input: "wrong" })).code).not.toBe(0);
    await notation.must(login, { input: server.adminToken });
  });

  it.each([
    ["RSA 2048", rsa(2048), "rsa-2048"],
    ["RSA 3072", rsa(3072), "rsa-3072"],
    ["RSA 4096", rsa(4096), "rsa-4096"],
    ["P-256", curve("P-256"), "p256"],
    ["P-384", curve("P-384"), "p384"],
    ["P-521", curve("P-521"), "p521"],
  ])("signs in the registry with a key of %s in both formats, and both of us believe it", async (_, key, name) => {
    notation.signWith(await issue(home, name, { by: root, extensions: SIGNER_EXTENSIONS, key }));
    for (const format of ["jws", "cose"]) {
      const reference = await push(`${name}-${format}`);
      const sign = ["sign", "--insecure-registry", "--signature-format", format, "--expiry", "24h"];
      await notation.must([...sign, "--user-metadata", "build=17", reference]);
      expect((await notation.run(["verify", "--insecure-registry", reference])).code).toBe(0);
      const [envelope, ...more] = await envelopes(reference);
      expect(more).toEqual([]);
      const result = await ours(envelope ?? new Uint8Array(), trustRoot());
      expect(result).toMatchObject({
        ok: true,
        predicateType: "application/vnd.cncf.notary.payload.v1+json",
        predicate: { targetArtifact: { digest: image.digest, mediaType: MANIFEST, annotations: { build: "17" } } },
        certificate: { subjectText: `CN=${name},O=Acme,ST=Berlin,C=DE` },
      });
      // Once it is known to have expired, it is over.
      const later = [received(Date.now() + 25 * 3_600_000)];
      expect(await ours(envelope ?? new Uint8Array(), trustRoot(), later)).toMatchObject({ code: "outside-validity" });
    }
  });

  it("is refused by both of us under another root", async () => {
    notation.signWith(await issue(home, "mine", { by: root, extensions: SIGNER_EXTENSIONS }));
    await notation.must(["sign", "--insecure-registry", pinned]);
    const stranger = await issue(home, "stranger", { extensions: CA_EXTENSIONS });
    notation.trust([pem(stranger)]);
    try {
      expect((await notation.run(["verify", "--insecure-registry", pinned])).code).not.toBe(0);
      const [envelope = new Uint8Array()] = await envelopes(pinned);
      expect(await ours(envelope, x509Root("acme", [pem(stranger)]))).toMatchObject({ code: "chain-untrusted" });
    } finally {
      notation.trust([pem(root)]);
    }
  });

  it.each(["jws", "cose"])(
    "carries the time of a timestamp authority in a %s envelope, past its certificate's end",
    async (format) => {
      const tsaRoot = await issue(home, `tsa-root-${format}`, { extensions: CA_EXTENSIONS, key: rsa(2048) });
      const tsa = await issue(home, `tsa-${format}`, { by: tsaRoot, extensions: TSA_EXTENSIONS });
      // Long enough to sign, short enough to be over when it is verified.
      const until = new Date(Date.now() + 4_000);
      notation.signWith(await issue(home, `brief-${format}`, { by: root, extensions: SIGNER_EXTENSIONS, until }));
      const reference = await push(`stamped-${format}`);
      const authority = await serveTimestamps(home, tsa);
      try {
        const url = `http://127.0.0.1:${(authority.address() as AddressInfo).port}`;
        const sign = ["sign", "--insecure-registry", "--signature-format", format, "--timestamp-url", url];
        await notation.must([...sign, "--timestamp-root-cert", tsaRoot.certificate, reference]);
      } finally {
        authority.close();
      }
      const [envelope = new Uint8Array()] = await envelopes(reference);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, until.getTime() + 1_500 - Date.now())));
      const verify = ["verify", "--insecure-registry", reference];

      notation.trust([pem(root)], [pem(tsaRoot)]);
      try {
        expect((await notation.run(verify)).code).toBe(0);
        const stamped = await ours(envelope, trustRoot([pem(tsaRoot)]));
        expect(stamped).toMatchObject({ ok: true, times: [{ source: "rfc3161" }] });
        // Without anything else that proves a time, too.
        expect(await ours(envelope, trustRoot([pem(tsaRoot)]), [])).toMatchObject({ ok: true });
        // Without a timestamp authority the certificate is over, and under another one the timestamp is nobody's.
        notation.trust([pem(root)]);
        expect((await notation.run(verify)).code).not.toBe(0);
        expect(await ours(envelope, trustRoot())).toMatchObject({ code: "certificate-expired" });
        notation.trust([pem(root)], [pem(root)]);
        expect((await notation.run(verify)).code).not.toBe(0);
        expect(await ours(envelope, trustRoot([pem(root)]))).toMatchObject({ code: "timestamp-invalid" });
      } finally {
        notation.trust([pem(root)]);
      }
    },
  );

  it.each(["jws", "cose"] as const)(
    "agrees with us on a %s envelope with any byte altered, but for the name of an unsigned header",
    async (format) => {
      const fixtures = new URL("../packages/evidence/test/fixtures/notation/", import.meta.url);
      const fixture = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, fixtures)));
      const manifest = fixture("manifest.oci");
      const digest = parseDigest(`sha256:${createHash("sha256").update(manifest).digest("hex")}`);
      const anchor = new TextDecoder().decode(fixture("root.pem"));
      const bytes = fixture(`p256.${format}`);
      const layout = home.path("altered");
      // We refuse unsigned headers that we do not know, which is what another name makes of this one; notation passes over them.
      const agent = "io.cncf.notary.signingAgent";
      const from = Buffer.from(bytes).indexOf(agent);
      expect(from).toBeGreaterThan(0);
      notation.trust([anchor]);
      const differing: string[] = [];
      for (let at = 0; at < bytes.length; at += 23) {
        if (at >= from && at < from + agent.length) continue;
        const altered = bytes.with(at, (bytes[at] ?? 0) ^ 0x01);
        const request = { root: x509Root("acme", [anchor]), times: [received(Date.now())], artifact: digest };
        const answer = await verifyNotation(nodeCrypto, { bytes: altered, ...request });
        signedLayout(layout, { manifest, digest }, altered, MEDIA_TYPES[format]);
        const { code } = await notation.run(["verify", "--oci-layout", "--scope", "local/app", `${layout}@${digest}`]);
        if (answer.ok !== (code === 0)) differing.push(`byte ${at}: we say ${answer.ok ? "good" : answer.code}`);
      }
      notation.trust([pem(root)]);
      expect(differing).toEqual([]);
    },
  );

  it("agrees with us on every envelope made by hand, or for the reason that stands beside it", async () => {
    const layout = home.path("layout");
    const manifest = new Uint8Array(readFileSync(join(image.layout, "blobs", "sha256", image.digest.slice(7))));
    const now = Date.now();
    const differing: string[] = [];
    for (const { name, envelope, format, anchor, ours: expected, theirs, because } of notationCases(
      { mediaType: MANIFEST, digest: image.digest, size: manifest.length },
      now,
    )) {
      notation.trust([pemOf(anchor.der)]);
      signedLayout(layout, { manifest, digest: image.digest }, envelope, MEDIA_TYPES[format]);
      const { code, stderr } = await notation.run([
        "verify",
        "--oci-layout",
        "--scope",
        "local/app",
        `${layout}@${image.digest}`,
      ]);
      const answer = await verifyNotation(nodeCrypto, {
        bytes: envelope,
        root: { ...trustRoot(), certificateAuthorities: [authorityOf(anchor)] },
        times: [received(now)],
        artifact: parseDigest(image.digest),
      });
      const said = answer.ok ? "good" : answer.code;
      if (said !== expected || (code === 0) !== theirs) {
        differing.push(`${name}: we say ${said}, notation ${code === 0 ? "good" : stderr.trim().split("\n").at(-1)}`);
      }
      // INVARIANT of the list: whoever differs from notation says why.
      if ((expected === "good") !== theirs && because === undefined) differing.push(`${name}: no reason is given`);
    }
    notation.trust([pem(root)]);
    expect(differing).toEqual([]);
  });
});

/** A timestamp authority over HTTP (RFC 3161 §3.4) that answers with `openssl ts -reply`. */
async function serveTimestamps(home: Home, tsa: Issued): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      stampQuery(home, tsa, Buffer.concat(chunks)).then(
        (reply) => response.writeHead(200, { "content-type": "application/timestamp-reply" }).end(reply),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** An OCI layout of a manifest with one signature on it, and of nothing else. */
function signedLayout(
  layout: string,
  { manifest, digest }: { manifest: Uint8Array; digest: string },
  envelope: Uint8Array,
  mediaType: string,
): void {
  rmSync(layout, { recursive: true, force: true });
  mkdirSync(join(layout, "blobs", "sha256"), { recursive: true });
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const store = (bytes: Uint8Array): { digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(layout, "blobs", "sha256", hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const subject = { mediaType: MANIFEST, ...store(manifest) };
  expect(subject.digest).toBe(digest);
  const signature = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: SIGNATURE, ...store(Buffer.from("{}")) },
    layers: [{ mediaType, ...store(envelope) }],
    subject,
    annotations: { "io.cncf.notary.x509chain.thumbprint#S256": "[]" },
  };
  const referrer = { mediaType: MANIFEST, ...store(Buffer.from(JSON.stringify(signature))), artifactType: SIGNATURE };
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [subject, referrer] }));
}
