/** verify() on one core, by form of evidence: whole verdicts per second, beside the bare check of one signature of the same kind by node:crypto. */
import { performance } from "node:perf_hooks";
import { nodeCrypto } from "../node/index.ts";
import { openPgp } from "../openpgp/index.ts";
import {
  certificateKeyId,
  digestOf,
  formatOpenPgpSignature,
  type KeyAlgorithm,
  pae,
  parseDigest,
  parseTrustedRoot,
  type TrustRoot,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  type VerifyRequest,
  verify,
  x509Root,
} from "../src/index.ts";
import { fixture, fixtureBytes } from "../test/fixtures.ts";
import { plainCertificate, RSA, signature, TestKey } from "../test/openpgp-builder.ts";
import { bundleBytes, bundleJson, certificate, trustRoot } from "../test/virtual-sigstore.ts";
import {
  artifactOf,
  entryFor,
  keyOf,
  messageBundle,
  payloadAbout,
  receivedAt,
  statementBundle,
  trustIn,
} from "../test/virtual.ts";

/**
 * Verdicts per second and core: of a signature by a key, and of what takes more: certificates, log entries, OpenPGP, or a signature that is checked
 * from the digest alone, which only portable code can do.
 */
const TARGETS = { key: 500, chain: 100 } as const;
const SECONDS = 1;

type Case = {
  readonly name: string;
  readonly kind: keyof typeof TARGETS;
  readonly request: VerifyRequest;
  readonly bare?: KeyAlgorithm;
};

const { digest: artifact, bytes: artifactBytes } = artifactOf();
const predicate = { steps: Array.from({ length: 40 }, (_, index) => ({ name: `step ${index}`, passed: true })) };
const payload = payloadAbout(artifact, { predicate });

/** A trust version in which anybody with a certificate of the root is believed. */
function believing(root: TrustRoot, issuer: string | null): TrustVersion {
  const meant = { root: root.name, issuer, subject: { kind: "pattern", value: "**" } } as const;
  const { scope, validFrom, validUntil, primary } = entryFor(keyOf("bench"));
  const entry = {
    ...meant,
    scope,
    validFrom,
    validUntil,
    primary,
    kind: "certificate",
    id: "bench",
    name: "bench",
  } as const;
  return { ...trustIn({ ...entry, keyId: certificateKeyId(meant) }), roots: [root] };
}

async function keyCases(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const bare of ["ecdsa-p256-sha256", "ed25519", "rsa-pkcs1-sha256", "ecdsa-p384-sha384"] as const) {
    const key = keyOf("bench", bare);
    const bundle = await statementBundle(key, artifact, { predicate });
    cases.push({
      name: `bundle, key, ${bare}`,
      kind: "key",
      bare,
      request: { bundle, artifact, trust: trustIn(entryFor(key)), times: [] },
    });
  }
  const key = keyOf("bench");
  const trust = trustIn(entryFor(key));
  const { dsseEnvelope } = JSON.parse(utf8Decode(await statementBundle(key, artifact))) as { dsseEnvelope: object };
  const envelope = utf8Encode(JSON.stringify(dsseEnvelope));
  const message = await messageBundle(key, artifactBytes);
  cases.push({
    name: "bare DSSE envelope, P-256",
    kind: "key",
    request: { bundle: envelope, artifact, trust, times: [] },
  });
  cases.push({
    name: "bundle over bytes, key, P-256, by the digest",
    kind: "chain",
    request: { bundle: message, artifact, trust, times: [] },
  });
  return cases;
}

function chainCases(): Case[] {
  const holder = certificate();
  const keyless = bundleBytes(bundleJson({ statement: payload, holder, entries: ["hashedrekord 0.0.2"] }));
  const stack = parseTrustedRoot(fixtureBytes("sigstore/trusted_root.json"), "stack");
  const material = JSON.parse(fixture("sigstore/material.json")) as {
    name: string;
    artifact: string;
    identity: { issuer: string } | null;
  }[];
  const cosign2 = material.find(({ name }) => name === "cosign2-sign.bundle");
  if (cosign2 === undefined || cosign2.identity === null) throw new Error("the fixture of cosign 2 is gone");
  const notary = x509Root("acme", [fixture("notation/root.pem")], [fixture("notation/tsa-root.pem")]);
  const notation = (name: string): VerifyRequest => ({
    bundle: fixtureBytes(`notation/${name}`),
    artifact: digestOf(nodeCrypto, fixtureBytes("notation/manifest.oci")),
    trust: believing(notary, null),
    times: [receivedAt(Date.parse("2026-12-01"))],
  });
  return [
    {
      name: "bundle v0.3, certificate, SCT, Rekor v2, RFC 3161",
      kind: "chain",
      request: { bundle: keyless, artifact, trust: believing(trustRoot(), "https://issuer.example.com"), times: [] },
    },
    {
      name: "cosign 2 in a registry, certificate, Rekor v1",
      kind: "chain",
      request: {
        bundle: fixtureBytes("sigstore/cosign2-sign.bundle"),
        artifact: parseDigest(cosign2.artifact),
        trust: believing(stack, cosign2.identity.issuer),
        times: [],
      },
    },
    { name: "notation JWS, P-256", kind: "chain", request: notation("p256.jws") },
    { name: "notation COSE, P-256", kind: "chain", request: notation("p256.cose") },
  ];
}

function openPgpCases(): Case[] {
  const terms = {
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
  };
  return [new TestKey(), new TestKey({ algorithm: RSA, bits: 3072 })].map((key) => {
    const armored = plainCertificate(key);
    const entry = { ...terms, kind: "openpgp", id: "o", name: "o", certificate: armored, keyId: key.hex } as const;
    const bundle = formatOpenPgpSignature({ subject: artifact, signature: signature(key, artifactBytes) });
    const name = `OpenPGP, detached, ${key.algorithm === RSA ? "RSA 3072" : "Ed25519"}`;
    const request = {
      bundle,
      artifact,
      artifactBytes,
      trust: trustIn(entry),
      times: [receivedAt(Date.parse("2026-12-01"))],
      openpgp: openPgp,
    };
    return { name, kind: "chain", request };
  });
}

/** Calls per second of `work`, over about a second, after a warm-up. */
async function rate(work: () => unknown): Promise<number> {
  for (let count = 0; count < 50; count += 1) await work();
  const started = performance.now();
  let calls = 0;
  while (performance.now() - started < SECONDS * 1000) {
    for (let count = 0; count < 10; count += 1) await work();
    calls += 10;
  }
  return calls / ((performance.now() - started) / 1000);
}

/** The same of a bare signature over an envelope's encoding. */
function bareRate(algorithm: KeyAlgorithm): Promise<number> {
  const key = keyOf("bench", algorithm);
  const signed = pae("application/vnd.in-toto+json", payload);
  const made = key.sign(signed);
  return rate(() => nodeCrypto.verify(key.publicKey, made, signed));
}

let missed = false;
for (const { name, kind, request, bare } of [...(await keyCases()), ...chainCases(), ...openPgpCases()]) {
  const whole = await rate(async () => {
    const verdict = await verify(nodeCrypto, request);
    if (verdict.status !== "verified") throw new Error(`${name}: ${verdict.code}: ${verdict.message}`);
  });
  const alone = bare === undefined ? undefined : await bareRate(bare);
  const isMissed = whole < TARGETS[kind];
  missed ||= isMissed;
  const beside =
    alone === undefined
      ? ""
      : `   bare signature ${alone.toFixed(0).padStart(6)}/s, ratio ${(whole / alone).toFixed(2)}`;
  process.stdout.write(
    `${name.padEnd(52)} ${whole.toFixed(0).padStart(6)}/s${beside}${isMissed ? `   MISSED (${TARGETS[kind]}/s)` : ""}\n`,
  );
}
process.exitCode = missed ? 1 : 0;
