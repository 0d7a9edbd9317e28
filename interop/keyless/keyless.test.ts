/**
 * What our verifier says of keyless evidence, beside what cosign and sigstore-python say of the same bytes: made by them against a private
 * Sigstore, and made by the virtual instance of the unit tests; good, and damaged in one named way each. Where the verdicts differ on purpose,
 * the reason stands beside the case.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeCrypto } from "../../packages/evidence/node/index.ts";
import { type CosignLayer, formatCosignSignature } from "../../packages/evidence/src/cosign.ts";
import {
  certificateKeyId,
  type Digest,
  digestOf,
  EvidenceError,
  parseDigest,
  parsePublicKeyPem,
  parseTrustedRoot,
  type TrustEntry,
  type TrustRoot,
  verify,
} from "../../packages/evidence/src/index.ts";
import { payloadAbout } from "../../packages/evidence/test/virtual.ts";
import {
  type BundleTerms,
  bundleJson,
  certificate,
  ISSUER,
  SUBJECT,
  trustedRootJson,
  trustRoot,
} from "../../packages/evidence/test/virtual-sigstore.ts";
import { type Home, makeHome } from "../harness.ts";
import { ALICE, ARTIFACT, type Material, makeMaterial, PREDICATE_TYPE } from "./material.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { type Stack, startStack } from "./stack.ts";

type Identity = { issuer: string; subject: string };

const folder = mkdtempSync(join(tmpdir(), "assay-stack-"));
let home: Home;
let stack: Stack;
let registry: Registry;
let material: Material[];
let root: TrustRoot;

beforeAll(async () => {
  home = makeHome();
  [stack, registry] = await Promise.all([startStack(folder), startRegistry()]);
  material = await makeMaterial(stack, home, registry.host);
  root = parseTrustedRoot(Uint8Array.from(readFileSync(stack.trustedRoot)), "stack");
});

afterAll(async () => {
  await registry.stop();
  await stack.stop();
  home.remove();
  rmSync(folder, { recursive: true });
});

/** "verified", or the code of our refusal. */
async function ours(
  bytes: Uint8Array,
  artifact: Digest,
  identity: Identity | null,
  under: TrustRoot = root,
): Promise<string> {
  const terms = {
    id: "signer",
    name: "signer",
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
  };
  let entry: TrustEntry;
  if (identity === null) {
    const publicKeyPem = readFileSync(home.path("cosign.pub"), "utf8");
    entry = { ...terms, kind: "key", publicKeyPem, keyId: parsePublicKeyPem(publicKeyPem).keyId };
  } else {
    const { issuer, subject } = identity;
    const meant = { root: under.name, issuer, subject: { kind: "exact", value: subject } } as const;
    entry = { ...terms, ...meant, kind: "certificate", keyId: certificateKeyId(meant) };
  }
  const trust = { org: "acme", version: 1, entries: [entry], logs: [], roots: [under] };
  const verdict = await verify(nodeCrypto, { bundle: bytes, artifact, trust, times: [] });
  return verdict.status === "verified" ? "verified" : verdict.code;
}

function whom(identity: Identity | null): string[] {
  return identity === null
    ? ["--key", "cosign.pub"]
    : ["--certificate-identity", identity.subject, "--certificate-oidc-issuer", identity.issuer];
}

/** Whether cosign verifies it. */
async function cosigns(
  { outside, identity }: Pick<Material, "outside" | "identity">,
  trustedRoot = stack.trustedRoot,
): Promise<boolean> {
  const { command } = outside;
  const args: string[] = [command, ...whom(identity)];
  if (command.endsWith("attestation")) args.push("--type", PREDICATE_TYPE);
  if ("image" in outside) args.push("--trusted-root", trustedRoot, "--new-bundle-format=false", outside.image);
  else if (outside.file.endsWith(".json")) args.push("--trusted-root", trustedRoot, "--bundle", outside.file, ARTIFACT);
  else {
    // Files of before there were bundles are told whom to trust by variables.
    const kind = outside.file.endsWith(".sig") ? ["--insecure-ignore-tlog", "--signature"] : ["--bundle"];
    args.push("--new-bundle-format=false", ...kind, outside.file, ARTIFACT);
  }
  return (await home.run("cosign", args, { env: stack.environment })).code === 0;
}

async function pythonVerifies(file: string, { issuer, subject }: Identity): Promise<boolean> {
  const { code } = await home.run("sigstore", [
    "--trust-config",
    stack.clientTrustConfig,
    "verify",
    "identity",
    "--bundle",
    file,
    "--cert-identity",
    subject,
    "--cert-oidc-issuer",
    issuer,
    ARTIFACT,
  ]);
  return code === 0;
}

describe("what real clients made", () => {
  it("verifies with us and with cosign, each piece", async () => {
    expect(material.length).toBe(14);
    for (const one of material) {
      expect([one.name, await ours(one.bytes, one.artifact, one.identity)]).toEqual([one.name, "verified"]);
      expect([one.name, await cosigns(one)]).toEqual([one.name, true]);
    }
  });

  it("verifies with sigstore-python, but for entry 0 of a log, which it cannot read", async () => {
    for (const { name, outside, identity, bytes, artifact } of material) {
      if (
        identity === null ||
        !("file" in outside) ||
        outside.command !== "verify-blob" ||
        outside.file === "local.bundle"
      )
        continue;
      expect([name, await pythonVerifies(outside.file, identity)]).toEqual([name, name !== "cosign3-sign-blob.bundle"]);
      expect(await ours(bytes, artifact, identity)).toBe("verified");
    }
  });

  it("verifies for no other signer, with us and with cosign", async () => {
    for (const one of material) {
      if (one.identity === null) continue;
      for (const identity of [
        { ...one.identity, subject: `x${one.identity.subject}` },
        { ...one.identity, issuer: `${one.identity.issuer}0` },
      ]) {
        expect([one.name, await ours(one.bytes, one.artifact, identity)]).toEqual([one.name, "unknown-signer"]);
        expect([one.name, await cosigns({ ...one, identity })]).toEqual([one.name, false]);
      }
    }
  });
});

/** A bundle's JSON, loosely typed on purpose: damage is the point. */
type Json = { [member: string]: never } & {
  verificationMaterial: {
    certificate: object;
    tlogEntries: Entry[];
    timestampVerificationData: { rfc3161Timestamps: object[] };
  };
  dsseEnvelope?: { payload: string; payloadType: string; signatures: { sig: string; keyid?: string }[] };
  messageSignature?: { messageDigest: { algorithm: string; digest: string }; signature: string };
  mediaType: string;
};
type Entry = {
  [member: string]: unknown;
  logId: { keyId: string };
  kindVersion: { kind: string; version: string };
  inclusionProof: { [member: string]: unknown; hashes: string[]; rootHash: string; checkpoint: { envelope: string } };
  canonicalizedBody: string;
};

/** Another digit at the start: other bytes, still base64. */
const other = (base64: string): string => (base64.startsWith("A") ? "B" : "A") + base64.slice(1);

/** One damage each; `theirs` is a good bundle by the same signer about something else. `why` stands where we and cosign differ. */
const damages: Record<string, { alter: (mine: Json, theirs: Json) => void; why?: string }> = {
  "the log entry dropped": { alter: (mine) => void (mine.verificationMaterial.tlogEntries = []) },
  "the log entry of another signature": {
    alter: (mine, theirs) => void (mine.verificationMaterial.tlogEntries = theirs.verificationMaterial.tlogEntries),
  },
  "the log entry twice": {
    alter: ({ verificationMaterial: { tlogEntries } }) => void tlogEntries.push(...tlogEntries.slice(0, 1)),
  },
  "a true log entry of another signature beside its own": {
    alter: (mine, theirs) =>
      void mine.verificationMaterial.tlogEntries.push(...theirs.verificationMaterial.tlogEntries),
  },
  "an entry of an unknown log beside its own": {
    alter: (mine, theirs) => {
      for (const entry of theirs.verificationMaterial.tlogEntries)
        mine.verificationMaterial.tlogEntries.push({ ...entry, logId: { keyId: other(entry.logId.keyId) } });
    },
  },
  "another log": {
    alter: (mine) => eachEntry(mine, (entry) => void (entry.logId = { keyId: other(entry.logId.keyId) })),
  },
  "another kind": {
    alter: (mine) => eachEntry(mine, (entry) => void (entry.kindVersion.kind = "dsse")),
    why: "cosign rebuilds the body of a Rekor v2 entry and asks nothing of what the bundle says of it; we hold that against it, too.",
  },
  "another index": {
    alter: (mine) => eachEntry(mine, (entry) => void (entry["logIndex"] = "7")),
  },
  "another index in the proof": {
    alter: (mine) => eachEntry(mine, (entry) => void (entry.inclusionProof["logIndex"] = "7")),
    why: "cosign takes the entry's own index for the proof, and does not read the proof's; with us they must agree.",
  },
  "another tree size in the proof": {
    alter: (mine) => eachEntry(mine, (entry) => void (entry.inclusionProof["treeSize"] = "9")),
    why: "cosign takes the checkpoint's size and does not read the proof's; with us they must agree.",
  },
  "another root in the proof": {
    alter: (mine) =>
      eachEntry(mine, ({ inclusionProof }) => void (inclusionProof.rootHash = other(inclusionProof.rootHash))),
    why: "cosign takes the checkpoint's root and does not read the proof's; with us they must agree.",
  },
  "another checkpoint": {
    alter: (mine, theirs) =>
      eachEntry(mine, ({ inclusionProof }) => {
        inclusionProof.checkpoint = theirs.verificationMaterial.tlogEntries[0]?.inclusionProof.checkpoint ?? {
          envelope: "",
        };
      }),
  },
  "a checkpoint signed by somebody else": {
    alter: (mine) =>
      eachEntry(mine, ({ inclusionProof: { checkpoint } }) => {
        checkpoint.envelope = checkpoint.envelope.replace(/(.{20})\n$/, `${"A".repeat(20)}\n`);
      }),
  },
  "another body": {
    alter: (mine, theirs) =>
      eachEntry(mine, (entry) => {
        entry.canonicalizedBody = theirs.verificationMaterial.tlogEntries[0]?.canonicalizedBody ?? "";
      }),
    why: "cosign proves the body that it rebuilds, and does not read the bundle's; with us they must be the same.",
  },
  "the timestamp dropped": {
    alter: (mine) => void (mine.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [] }),
  },
  "the timestamp of another signature": {
    alter: (mine, theirs) => {
      mine.verificationMaterial.timestampVerificationData = theirs.verificationMaterial.timestampVerificationData;
    },
  },
  "the timestamp twice": {
    alter: ({ verificationMaterial: { timestampVerificationData: data } }) =>
      void data.rfc3161Timestamps.push(...data.rfc3161Timestamps.slice(0, 1)),
  },
  "the certificate of another signature": {
    alter: (mine, theirs) => void (mine.verificationMaterial.certificate = theirs.verificationMaterial.certificate),
  },
  "another signature": {
    alter: (mine, theirs) => {
      mine.messageSignature &&= { ...mine.messageSignature, signature: theirs.messageSignature?.signature ?? "" };
      mine.dsseEnvelope &&= { ...mine.dsseEnvelope, signatures: theirs.dsseEnvelope?.signatures ?? [] };
    },
  },
  "another content": {
    alter: (mine, theirs) => {
      mine.messageSignature &&= {
        ...mine.messageSignature,
        messageDigest: theirs.messageSignature?.messageDigest ?? { algorithm: "", digest: "" },
      };
      mine.dsseEnvelope &&= { ...mine.dsseEnvelope, payload: theirs.dsseEnvelope?.payload ?? "" };
    },
  },
  "another whole content": {
    alter: (mine, theirs) => {
      Object.assign(mine, { messageSignature: theirs.messageSignature, dsseEnvelope: theirs.dsseEnvelope });
    },
  },
  "an unknown member": { alter: (mine) => void Object.assign(mine, { extra: 1 }) },
  "version 0.2": { alter: (mine) => void (mine.mediaType = "application/vnd.dev.sigstore.bundle+json;version=0.2") },
  "version 0.1": { alter: (mine) => void (mine.mediaType = "application/vnd.dev.sigstore.bundle+json;version=0.1") },
  "version 0.4": { alter: (mine) => void (mine.mediaType = "application/vnd.dev.sigstore.bundle.v0.4+json") },
};

function eachEntry(json: Json, alter: (entry: Entry) => void): void {
  for (const entry of json.verificationMaterial.tlogEntries) alter(entry);
}

describe("a damaged bundle", () => {
  const cases = ["cosign3-sign-blob.bundle", "cosign3-attest-blob.bundle", "sigstore-python-sign.bundle"];
  it.each(cases)("%s gets the same answer from us and from cosign", async (name) => {
    const mine = material.find((one) => one.name === name);
    if (mine === undefined || !("file" in mine.outside)) throw new Error(`there is no ${name}`);
    const { command } = mine.outside;
    const identity = { issuer: stack.people.url, subject: ALICE };
    // By the same signer about another file.
    writeFileSync(home.path("other.txt"), "another artifact\n");
    const token = stack.people.token({ sub: "alice", email: ALICE, email_verified: true });
    const predicate = ["--predicate", "predicate.json", "--type", PREDICATE_TYPE];
    const signing = ["--trusted-root", stack.trustedRoot, "--signing-config", stack.signingConfig];
    const how = command === "verify-blob" ? ["sign-blob"] : ["attest-blob", ...predicate];
    const who = ["--yes", "--identity-token", token, "--bundle", "theirs.json", "other.txt"];
    await home.must("cosign", [...how, ...signing, ...who]);
    const read = (bytes: Uint8Array | string): Json => JSON.parse(Buffer.from(bytes).toString()) as Json;
    const theirs = read(readFileSync(home.path("theirs.json"), "utf8"));
    const answers: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const [damage, { alter, why }] of Object.entries(damages)) {
      const damaged = read(mine.bytes);
      alter(damaged, structuredClone(theirs));
      const text = JSON.stringify(damaged);
      writeFileSync(home.path("damaged.json"), text);
      const we = (await ours(new TextEncoder().encode(text), mine.artifact, identity)) === "verified";
      const they = await cosigns({ identity, outside: { command, file: "damaged.json" } });
      answers[damage] =
        we === they ? "the same" : `${we ? "we verify" : "we refuse"}, cosign ${they ? "verifies" : "refuses"}`;
      // Where the answers differ, ours is the stricter one.
      expected[damage] = why === undefined ? "the same" : "we refuse, cosign verifies";
    }
    expect(answers).toEqual(expected);
  });
});

type Layer = { mediaType: string; digest: string; size: number; annotations: Record<string, string> };
type Manifest = { mediaType: string; layers: Layer[] };

/** What cosign 2 stored about an image: its manifest, and where. */
async function stored(
  name: string,
): Promise<{ url: string; repository: string; manifest: Manifest; material: Material }> {
  const found = material.find((one) => one.name === name);
  if (found === undefined || !("image" in found.outside)) throw new Error(`there is no ${name}`);
  const [, repository = ""] = /^[^/]+\/([^@:]+)/.exec(found.outside.image) ?? [];
  const tag = found.outside.command === "verify" ? "sig" : "att";
  const url = `http://${registry.host}/v2/${repository}/manifests/${found.artifact.replace(":", "-")}.${tag}`;
  const manifest = (await (await fetch(url)).json()) as Manifest;
  return { url, repository, manifest, material: found };
}

const ANNOTATION = {
  signature: "dev.cosignproject.cosign/signature",
  certificate: "dev.sigstore.cosign/certificate",
  bundle: "dev.sigstore.cosign/bundle",
  timestamp: "dev.sigstore.cosign/rfc3161timestamp",
};
type RekorBundle = {
  SignedEntryTimestamp: string;
  Payload: { body: string; integratedTime: number; logIndex: number };
};

function inBundle(layer: Layer, alter: (bundle: RekorBundle) => void): void {
  const bundle = JSON.parse(layer.annotations[ANNOTATION.bundle] ?? "") as RekorBundle;
  alter(bundle);
  layer.annotations[ANNOTATION.bundle] = JSON.stringify(bundle);
}

/** One damage each to a layer; `theirs` is a good one about another image. */
const layerDamages: Record<string, { alter: (mine: Layer, theirs: Layer) => void; why?: string }> = {
  "the signature of another": {
    alter: (mine, theirs) => copy(ANNOTATION.signature, mine, theirs),
    why: "An envelope brings its signature; we refuse a second one beside it, and cosign does not look.",
  },
  "no log entry": { alter: (mine) => drop(ANNOTATION.bundle, mine) },
  "the log entry of another": { alter: (mine, theirs) => copy(ANNOTATION.bundle, mine, theirs) },
  "no certificate": { alter: (mine) => drop(ANNOTATION.certificate, mine) },
  "the certificate of another": { alter: (mine, theirs) => copy(ANNOTATION.certificate, mine, theirs) },
  "no timestamp": { alter: (mine) => drop(ANNOTATION.timestamp, mine) },
  "another promise": {
    alter: (mine) =>
      inBundle(mine, (bundle) => void (bundle.SignedEntryTimestamp = other(bundle.SignedEntryTimestamp))),
  },
  "another time": { alter: (mine) => inBundle(mine, ({ Payload }) => void (Payload.integratedTime += 1)) },
  "another index": { alter: (mine) => inBundle(mine, ({ Payload }) => void (Payload.logIndex += 1)) },
  "the content of another": {
    alter: (mine, theirs) => void Object.assign(mine, { digest: theirs.digest, size: theirs.size }),
  },
};

function copy(name: string, mine: Layer, theirs: Layer): void {
  mine.annotations[name] = theirs.annotations[name] ?? "";
}

function drop(name: string, { annotations }: Layer): void {
  delete annotations[name];
}

describe("a damaged layer of cosign 2", () => {
  it.each([
    ["cosign2-sign.bundle", "cosign2-sign-other.bundle"],
    ["cosign2-attest.bundle", "cosign2-attest-other.bundle"],
  ])("%s gets the same answer from us and from cosign", async (name, otherName) => {
    const mine = await stored(name);
    const theirs = await stored(otherName);
    const { bytes: _, artifact, identity } = mine.material;
    const [theirLayer] = theirs.manifest.layers;
    if (theirLayer === undefined) throw new Error(`${otherName} has no layer`);
    const content = new Map<string, Uint8Array>();
    for (const { repository, manifest } of [mine, theirs]) {
      for (const { digest } of manifest.layers) {
        const blob = await fetch(`http://${registry.host}/v2/${repository}/blobs/${digest}`);
        content.set(digest, new Uint8Array(await blob.arrayBuffer()));
      }
    }
    // So that a manifest of the first repository can name it.
    await fetch(`http://${registry.host}/v2/${mine.repository}/blobs/uploads/?digest=${theirLayer.digest}`, {
      method: "POST",
      body: Uint8Array.from(content.get(theirLayer.digest) ?? []),
    });
    const answers: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const [damage, { alter, why }] of Object.entries(layerDamages)) {
      const manifest = structuredClone(mine.manifest);
      const [layer] = manifest.layers;
      if (layer === undefined) throw new Error(`${name} has no layer`);
      alter(layer, structuredClone(theirLayer));
      const headers = { "content-type": manifest.mediaType };
      const put = await fetch(mine.url, { method: "PUT", headers, body: JSON.stringify(manifest) });
      expect(put.status).toBe(201);
      const we = await oursOfLayer(
        { ...layer, bytes: content.get(layer.digest) ?? new Uint8Array(0) },
        artifact,
        identity,
      );
      const they = await cosigns(mine.material);
      answers[damage] =
        we === they ? "the same" : `we ${we ? "verify" : "refuse"}, cosign ${they ? "verifies" : "refuses"}`;
      expected[damage] = why === undefined || we === they ? "the same" : "we refuse, cosign verifies";
    }
    expect(answers).toEqual(expected);
  });
});

async function oursOfLayer(layer: CosignLayer, artifact: Digest, identity: Identity | null): Promise<boolean> {
  let bytes: Uint8Array;
  try {
    bytes = formatCosignSignature(layer);
  } catch (error) {
    // What cannot be read is not taken in.
    if (error instanceof EvidenceError) return false;
    throw error;
  }
  return (await ours(bytes, artifact, identity)) === "verified";
}

describe("what the virtual Sigstore of the unit tests makes", () => {
  const message = new TextEncoder().encode("the artifact\n");
  const artifact = digestOf(nodeCrypto, message);
  const statement = payloadAbout(artifact, { predicateType: PREDICATE_TYPE });
  const cases: [string, BundleTerms, string | null][] = [
    ["v0.3, an envelope, Rekor v2", { statement, entries: ["hashedrekord 0.0.2"] }, null],
    ["v0.3, a message, Rekor v2", { message, entries: ["hashedrekord 0.0.2"] }, null],
    ["v0.3, a message, Rekor v1", { message, entries: ["hashedrekord 0.0.1"] }, null],
    ["v0.3, an envelope, Rekor v1", { statement, entries: ["dsse 0.0.1"] }, null],
    ["v0.2, an envelope, Rekor v1's older kind", { version: "0.2", statement, entries: ["intoto 0.0.2"] }, null],
    [
      "v0.1, a message, a promise alone",
      { version: "0.1", message, entries: ["hashedrekord 0.0.1"], entry: { proof: false } },
      null,
    ],
    ["in both logs", { message, entries: ["hashedrekord 0.0.1", "hashedrekord 0.0.2"] }, null],
    [
      "Rekor v2's first way to log envelopes",
      { statement, entries: ["dsse 0.0.2"] },
      "cosign 3.1 reads only what rekor-tiles 2.3 writes; older public entries stand in this kind, which binds the same, and sigstore-js reads it.",
    ],
  ];

  it.each(cases)("is good for cosign as for us: %s", async (_, terms, why) => {
    const holder = certificate();
    const text = JSON.stringify(bundleJson({ holder, ...terms }));
    writeFileSync(home.path("virtual.json"), text);
    writeFileSync(home.path("virtual_root.json"), JSON.stringify(trustedRootJson()));
    const identity = { issuer: ISSUER, subject: SUBJECT };
    expect(await ours(new TextEncoder().encode(text), parseDigest(artifact), identity, trustRoot())).toBe("verified");
    const command = terms.message === undefined ? "verify-blob-attestation" : "verify-blob";
    const they = await cosigns(
      { identity, outside: { command, file: "virtual.json" } },
      home.path("virtual_root.json"),
    );
    expect(they).toBe(why === null);
  });
});
