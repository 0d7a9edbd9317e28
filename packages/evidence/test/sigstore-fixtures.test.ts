/**
 * What real clients made against a real private Sigstore (`interop/keyless/fixtures.ts`): cosign 3 and sigstore-python's bundles, cosign 2's layers
 * and files. Each verifies for its own artifact and signer, and for nobody and nothing else; no alteration of any field goes unnoticed, but those on the list.
 */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  certificateKeyId,
  digestOf,
  parseDigest,
  parsePublicKeyPem,
  parseTrustedRoot,
  type Step,
  type TrustEntry,
  type TrustVersion,
  utf8Decode,
  type Verified,
  verify,
} from "../src/index.ts";
import { alterations } from "./alter.ts";
import { fixtureBytes } from "./fixtures.ts";
import { outcomeOf, sha256Of } from "./virtual.ts";

type Material = { name: string; artifact: string; identity: { issuer: string; subject: string } | null };

const fixture = (name: string): Uint8Array => fixtureBytes(`sigstore/${name}`);
const list = JSON.parse(utf8Decode(fixture("material.json"))) as Material[];
const root = parseTrustedRoot(fixture("trusted_root.json"), "stack");
const publicKeyPem = utf8Decode(fixture("cosign.pub"));

const terms = {
  id: "signer",
  name: "signer",
  scope: { repositories: ["**"], predicateTypes: ["*"] },
  validFrom: null,
  validUntil: null,
  primary: false,
};

function entryOf(identity: Material["identity"]): TrustEntry {
  if (identity === null) return { ...terms, kind: "key", publicKeyPem, keyId: parsePublicKeyPem(publicKeyPem).keyId };
  const meant = {
    root: "stack",
    issuer: identity.issuer,
    subject: { kind: "exact", value: identity.subject },
  } as const;
  return { ...terms, ...meant, kind: "certificate", keyId: certificateKeyId(meant) };
}

function trusting(entry: TrustEntry): TrustVersion {
  return { org: "acme", version: 1, entries: [entry], logs: [], roots: [root] };
}

async function verified(name: string): Promise<Verified> {
  const material = list.find((one) => one.name === name);
  if (material === undefined) throw new Error(`there is no ${name}`);
  const verdict = await verify(nodeCrypto, {
    bundle: fixture(name),
    artifact: parseDigest(material.artifact),
    trust: trusting(entryOf(material.identity)),
    times: [],
  });
  if (verdict.status !== "verified") throw new Error(`${verdict.code}: ${verdict.message}`);
  return verdict;
}

/** The checks that did not pass, at any depth. */
function failures(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => [
    ...(step.outcome === "passed" ? [] : [`${step.check} ${step.outcome}`]),
    ...failures(step.steps ?? []),
  ]);
}

describe.each(list)("$name", ({ name, artifact, identity }) => {
  const entry = entryOf(identity);
  const digest = parseDigest(artifact);

  test("verifies for its artifact and its signer", async () => {
    const { signer, steps } = await verified(name);
    expect(signer.kind).toBe(identity === null ? "key" : "certificate");
    const { issuer, subject } = signer.certificate ?? {};
    expect(issuer === undefined ? null : { issuer, subject }).toEqual(identity);
    expect(failures(steps)).toEqual([]);
  });

  test("verifies for no other", async () => {
    expect(await outcomeOf(fixture(name), sha256Of("another"), trusting(entry))).toBe("subject-mismatch");
    if (identity === null) return;
    for (const other of [
      { ...identity, issuer: `${identity.issuer}0` },
      { ...identity, subject: `x${identity.subject}` },
    ]) {
      expect(await outcomeOf(fixture(name), digest, trusting(entryOf(other)))).toBe("unknown-signer");
    }
  });
});

describe("what the forms prove beside who signed:", () => {
  test("a workflow's certificate says what was built where", async () => {
    const { signer } = await verified("cosign3-attest-blob-workflow.bundle");
    expect(signer.certificate?.claims).toMatchObject({
      sourceRepositoryUri: "https://github.com/acme/app",
      buildTrigger: "push",
      runnerEnvironment: "github-hosted",
    });
  });

  test("each is dated by its timestamp or its log, but for those that carry neither", async () => {
    const sources = new Map<string, string>();
    for (const { name } of list) sources.set(name, (await verified(name)).time?.source ?? "nothing");
    expect(Object.fromEntries(sources)).toMatchInlineSnapshot(`
      {
        "cosign2-attest-key.bundle": "log",
        "cosign2-attest.bundle": "rfc3161",
        "cosign2-sign-blob-bundle.bundle": "log",
        "cosign2-sign-blob-key.bundle": "nothing",
        "cosign2-sign-key.bundle": "log",
        "cosign2-sign.bundle": "rfc3161",
        "cosign3-attest-blob-key.bundle": "rfc3161",
        "cosign3-attest-blob-workflow.bundle": "rfc3161",
        "cosign3-attest-blob.bundle": "rfc3161",
        "cosign3-sign-blob-key.bundle": "rfc3161",
        "cosign3-sign-blob.bundle": "rfc3161",
        "sigstore-python-sign.bundle": "rfc3161",
      }
    `);
  });

  test("a signature of cosign 2 over an image is shown under a type of its own, with what it says", async () => {
    const { statement } = await verified("cosign2-sign.bundle");
    expect(statement.predicateType).toBe("https://assay.dev/cosign/simple-signing/v1");
    expect(Object.keys(statement.predicate)).toEqual(["critical", "optional"]);
  });
});

/** Fields on which no verdict depends, by file, path and how the walk names what it did to them. */
const reviewed: readonly { of: RegExp; path: RegExp; change: RegExp; reason: string }[] = [
  {
    of: /^(cosign3|sigstore)/,
    path: /^mediaType$/,
    change: /^altered by one bit at 39$/,
    reason: "It becomes version 0.2, which demands the same of this bundle.",
  },
  {
    of: /-key\.bundle$/,
    path: /^verificationMaterial\.publicKey\.hint$/,
    change: /^(dropped|emptied)$/,
    reason: "It only chooses which trusted key to try. Without it all are tried; the signature decides either way.",
  },
  {
    of: /^cosign3-.*-key\.bundle$/,
    path: /^verificationMaterial\.tlogEntries/,
    change: /./,
    reason:
      "Nobody demands a log of a key that is trusted by itself, and Rekor v2 proves no time: the entry is a step of the explanation only.",
  },
  {
    of: /^(cosign3|sigstore)/,
    path: /^verificationMaterial\.timestampVerificationData\.rfc3161Timestamps\[0\]$/,
    change: /^duplicated$/,
    reason: "The same time by the same authority counts once: nothing grows with how often it is said.",
  },
  {
    of: /^sigstore-python/,
    path: /^verificationMaterial\.timestampVerificationData\.rfc3161Timestamps\[0\]\.signedTimestamp$/,
    change: /^altered .*at ([3-9]\d\d|1\d\d\d)$/,
    reason:
      "It asks for the authority's certificate in the token. That is a candidate; the root holds the same one, and is believed.",
  },
  {
    of: /^sigstore-python/,
    path: /^verificationMaterial\.tlogEntries\[0\]\.integratedTime$/,
    change: /^(dropped|nulled)$/,
    reason: "It writes the zero that protobuf's JSON leaves out.",
  },
  {
    of: /^cosign2-(sign|attest)\.bundle$/,
    path: /^rfc3161timestamp$/,
    change: /./,
    reason:
      "The log signed a time as well. A timestamp that is false counts for nothing, as with Sigstore's own clients.",
  },
  {
    of: /^cosign2/,
    path: /^(bundle|certificate)$/,
    change: /^(given a (space|newline)|cut)$/,
    reason:
      "White space around an annotation's JSON or PEM; the signature within is the same, and known by its own digest.",
  },
];

/** A time within which all of this was made: so that a key's signature, too, needs what dates it. */
const WINDOW = { validFrom: Date.parse("2026-01-01"), validUntil: Date.parse("2036-01-01") };

describe("no alteration verifies, but those on the list:", () => {
  const needed = new Set<string>();

  test.each(list)("$name", async ({ name, artifact, identity }) => {
    const undated = name === "cosign2-sign-blob-key.bundle";
    const trust = trusting({ ...entryOf(identity), ...(undated ? {} : WINDOW) });
    const bytes = fixture("artifact.txt");
    const more = parseDigest(artifact) === digestOf(nodeCrypto, bytes) ? { artifactBytes: bytes } : {};
    expect(await outcomeOf(fixture(name), parseDigest(artifact), trust, more)).toBe("verified");
    const unlisted: string[] = [];
    for (const { path, change, bundle } of alterations(fixture(name))) {
      if ((await outcomeOf(bundle, parseDigest(artifact), trust, more)) !== "verified") continue;
      const row = reviewed.find((field) => field.of.test(name) && field.path.test(path) && field.change.test(change));
      if (row === undefined) unlisted.push(`${path} ${change}`);
      else needed.add(row.reason);
    }
    expect(unlisted).toEqual([]);
  });

  test("every row of the list is needed", () => {
    expect(reviewed.filter(({ reason }) => !needed.has(reason))).toEqual([]);
  });
});
